"""Conversion of id maps, whose pixels are instance numbers, to COCO annotations of one category."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from visionzoo.datasets.file_names import files_with, known_name, once_each
from visionzoo.datasets.findings import Findings, shown
from visionzoo.datasets.mask_files import read_ids
from visionzoo.errors import DataError, first_of
from visionzoo.structures.detections import encode_mask
from visionzoo.structures.image_names import IMAGE_ENDINGS
from visionzoo.structures.image_size import require_size, size_of_file
from visionzoo.system.text_files import read_text

_MOST_INSTANCES = 1000  # in one image


def images_of(
    root: Path, split: Path | None = None, *, img_folder: str = "imgs", map_folder: str = "instances"
) -> list[tuple[Path, Path]]:
    """Return pairs of an image and its id map ``<map_folder>/<name>.png``, in the order of ``split`` or sorted by name.

    Endings may have any case. Hidden files are skipped with a note, as are images without an id map.

    Args:
        root: folder of the data set.
        split: a file with one name per line, with or without an ending. A name that is there twice is used once, with
            a note. Default: all id maps.
        img_folder, map_folder: folders in ``root``.

    Raises:
        DataError: there is no id map, an image or id map is missing, or two files have the same name. One error covers
            all names.
    """
    with Findings(root, expected="images with id maps", advice="copy them, or correct the names") as findings:
        maps = _by_name(root / map_folder, (".png",), findings)
        images = _by_name(root / img_folder, IMAGE_ENDINGS, findings)
        names = sorted(maps) if split is None else _listed(split, maps.keys() | images.keys(), findings)
        if not names and not findings:
            raise DataError(
                split or root / map_folder, expected="id maps <name>.png", found="none", advice="check the folder"
            )
        if split is None:
            findings.note("images without an id map, left out", len(images.keys() - maps.keys()))
        for name in names:
            _require_one(maps.get(name), name, "id map", root / map_folder, findings)
            _require_one(images.get(name), name, "image", root / img_folder, findings)
    return [(images[name][0], maps[name][0]) for name in names]


def to_coco(pairs: Iterable[tuple[Path, Path]], category: str = "salient") -> dict:
    """Convert id maps to a COCO record with one category.

    Args:
        pairs: images and their id maps; 0 is background, k is instance k.
        category: name of the category.

    Returns:
        The record, with one annotation for each instance.

    Raises:
        DataError: an image or a map cannot be read, a map differs from its image in size or has more than 1000
            different numbers, or no map has an instance. One error covers all files.
    """
    images: list[dict] = []
    annotations: list[dict] = []
    with Findings("id maps", expected="maps of instances", advice="export or copy them again") as findings:
        for number, (image, path) in enumerate(pairs, start=1):
            ids = _read(image, path, findings)
            images.append({"id": number, "file_name": image.name, "height": ids.shape[0], "width": ids.shape[1]})
            annotations += [{"id": len(annotations) + at, **each} for at, each in enumerate(_instances(ids, number), 1)]
    if not annotations:
        raise DataError(
            path.parent if images else "id maps",
            expected="at least one instance",
            found=f"{len(images)} maps of 0 only",
            advice="export the numbers of the instances",
        )
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": category}]}


def _read(image: Path, path: Path, findings: Findings) -> np.ndarray:
    """Return the ids; an empty map after an error."""
    try:
        size = size_of_file(image)[::-1]
        ids = read_ids(path)
        require_size(ids.shape, size, path, what="an id map", like=image.name, advice="export it in the image's size")
    except DataError as error:
        found = error.found or "a file that cannot be read"
        findings.wrong(error.where, "file", expected=str(error.expected), found=found)
        return np.zeros((0, 0), np.int32)
    count = len(np.unique(ids[ids != 0]))
    if count > _MOST_INSTANCES:  # a photo or a depth map; a mask for each number would fill the memory
        findings.wrong(path, "ids", expected=f"at most {_MOST_INSTANCES} instances", found=f"{count} numbers")
        return np.zeros((0, 0), np.int32)
    return ids


def _instances(ids: np.ndarray, image_id: int) -> Iterator[dict]:
    for value in np.unique(ids[ids != 0]):
        mask = ids == value
        rows, columns = np.nonzero(mask)
        x, y = int(columns.min()), int(rows.min())
        yield {
            "image_id": image_id,
            "category_id": 1,
            "bbox": [x, y, int(columns.max()) + 1 - x, int(rows.max()) + 1 - y],
            "area": int(mask.sum()),
            "segmentation": encode_mask(mask),
            "iscrowd": 0,
        }


def _by_name(folder: Path, endings: Sequence[str], findings: Findings) -> dict[str, list[Path]]:
    by_name: dict[str, list[Path]] = {}
    for path in files_with(folder, endings, findings):
        by_name.setdefault(path.stem, []).append(path)
    return by_name


def _listed(split: Path, known: Collection[str], findings: Findings) -> list[str]:
    what = "a list with one name per line"
    if not split.is_file():
        raise DataError(split, expected=what, found="no such file", advice="check --split")
    lines = [line.strip() for line in read_text(split, what, "check it").splitlines()]
    names = [known_name(line, known, IMAGE_ENDINGS) or line for line in lines if line]
    return once_each(names, findings, "names")


def _require_one(paths: Sequence[Path] | None, name: str, what: str, folder: Path, findings: Findings) -> None:
    if paths is None or len(paths) != 1:
        found = "none" if not paths else first_of(path.name for path in paths)
        findings.wrong(shown(name), what, expected=f"one {what} in {folder}", found=found)
