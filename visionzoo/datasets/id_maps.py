"""Conversion of id maps, whose pixels are instance numbers, to COCO annotations of one category."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from visionzoo.datasets.mask_files import read_ids
from visionzoo.errors import DataError
from visionzoo.structures.detections import encode_mask
from visionzoo.structures.image_names import IMAGE_ENDINGS
from visionzoo.structures.image_size import require_size, size_of_file
from visionzoo.system.text_files import read_text


def images_of(
    root: Path, split: Path | None = None, *, img_folder: str = "imgs", map_folder: str = "instances"
) -> list[tuple[Path, Path]]:
    """Return pairs of an image and its id map ``<map_folder>/<name>.png``, in the order of ``split`` or sorted by name.

    Args:
        root: folder of the data set.
        split: a file with one name per line. Default: all id maps.
        img_folder, map_folder: folders in ``root``.

    Raises:
        DataError: there is no id map, or an image or id map is missing.
    """
    maps = root / map_folder
    if split is None:
        names = sorted(path.stem for path in maps.glob("*.png"))
    else:
        if not split.is_file():
            raise DataError(
                split, expected="a list with one name per line", found="no such file", advice="check --split"
            )
        lines = read_text(split, "a list with one name per line", "check it").splitlines()
        names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise DataError(split or maps, expected="id maps <name>.png", found="none", advice="check the folder")
    return [(_image(root / img_folder, name), _existing(maps / f"{name}.png")) for name in names]


def to_coco(pairs: Iterable[tuple[Path, Path]], category: str = "salient") -> dict:
    """Convert id maps to a COCO record with one category.

    Args:
        pairs: images and their id maps; 0 is background, k is instance k.
        category: name of the category.

    Returns:
        The record, with one annotation for each instance.

    Raises:
        DataError: a map cannot be read, or differs from its image in size.
    """
    images: list[dict] = []
    annotations: list[dict] = []
    for number, (image, path) in enumerate(pairs, start=1):
        ids = read_ids(path)
        size = size_of_file(image)[::-1]
        require_size(ids.shape, size, path, what="an id map", like=image.name, advice="export it in the image's size")
        images.append({"id": number, "file_name": image.name, "height": ids.shape[0], "width": ids.shape[1]})
        annotations += [{"id": len(annotations) + at, **each} for at, each in enumerate(_instances(ids, number), 1)]
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": category}]}


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


def _image(folder: Path, name: str) -> Path:
    for ending in IMAGE_ENDINGS:
        if (folder / f"{name}{ending}").is_file():
            return folder / f"{name}{ending}"
    raise DataError(
        folder, expected=f"an image {name}.jpg (or .png)", found="none", advice="copy it, or leave it off the list"
    )


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise DataError(path, expected="an id map", found="no such file", advice="copy it, or leave it off the list")
    return path
