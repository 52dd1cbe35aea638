"""Folders of images and of maps of classes: ADE20K, Cityscapes-like folders and one's own data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Unpack

from visionzoo.datasets.findings import Findings
from visionzoo.datasets.missing_files import advice
from visionzoo.datasets.panoptic.dataset import MOST_CLASSES, colour_of
from visionzoo.datasets.sample_list import LoadingOptions, SampleList
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.errors import ConfigError, DataError, first_of, in_cwd, require_none_missing
from visionzoo.registry import DATASETS
from visionzoo.structures.image_names import IMAGE_ENDINGS, is_left_over
from visionzoo.system.text_files import read_text

_ADVICE = advice("ade20k")
MAP_ENDINGS = (".png", ".bmp", ".tif", ".tiff")
# Files with the names of the classes, in the order in which they are searched.
NAME_FILES = ("classes.txt", "labels.txt", "objectInfo150.txt")


@DATASETS.register_module()
class SemanticFolders(SampleList):
    """Images, and for each a map with the class of every pixel.

    On disk::

        <data_root>/<img_folder>/<name>.jpg                  also in subfolders
        <data_root>/<seg_folder>/<name><seg_suffix>.png      one number for each pixel; 255 has no label
        <data_root>/classes.txt                              one name per line, or the table objectInfo150.txt of ADE20K

    A sample has ``img_path``, ``seg_map_path``, ``num_classes`` and ``reduce_zero_label``; ``LoadSemanticMap`` reads
    the map. ``metainfo`` has ``classes``, ``thing_classes``, which is empty, ``stuff_classes``, which is ``classes``,
    ``category_ids``, the number of each class in the files, and ``palette``.

    Args:
        data_root: a folder, or ``tiny://ade20k?train=32&val=8`` for drawn scenes.
        img_folder, seg_folder: folders in ``data_root``.
        classes: names in the order of their numbers, or a file in ``data_root`` with them. Default: the first of
            ``classes.txt``, ``labels.txt`` and ``objectInfo150.txt`` that exists.
        reduce_zero_label: True if 0 in the maps means no label and k + 1 is class k, as in ADE20K.
        img_suffix, seg_suffix: parts of the names before the ending that differ, such as ``_leftImg8bit`` and
            ``_gtFine_labelTrainIds`` of Cityscapes.
        max_samples, pipeline, test_mode, serialize_data, max_refetch, every, not_every: see :class:`SampleList`.

    Raises:
        DataError: a folder, the names of classes or the map of an image are missing.
        ConfigError: more than 255 classes.

    Example:
        >>> dataset = SemanticFolders("tiny://ade20k?train=2&val=1&size=32", "images/training", "annotations/training",
        ...     reduce_zero_label=True, serialize_data=False)
        >>> len(dataset), dataset.metainfo["classes"]
        (2, ('disc', 'square', 'triangle', 'sky', 'grass'))
    """

    def __init__(
        self,
        data_root: str,
        img_folder: str = "images",
        seg_folder: str = "annotations",
        classes: Sequence[str] | str | None = None,
        reduce_zero_label: bool = False,
        img_suffix: str = "",
        seg_suffix: str = "",
        **loading: Unpack[LoadingOptions],
    ):
        root = resolve_data_root(data_root)
        names = _names_of(root, classes)
        images = _files(root, root / img_folder, IMAGE_ENDINGS, img_suffix)
        maps = _files(root, root / seg_folder, MAP_ENDINGS, seg_suffix)
        missing = [name for name in images if name not in maps]
        found_in = root / seg_folder
        require_none_missing(missing, found_in, expected=f"the maps of {len(images)} images", advice=_ADVICE)
        with Findings(root, expected="images with maps of classes") as findings:
            findings.note(f"maps in {seg_folder} without an image are left out", len(maps.keys() - images.keys()))
        same = {"num_classes": len(names), "reduce_zero_label": reduce_zero_label}
        samples: list[dict[str, Any]] = [
            {"img_path": str(path), "seg_map_path": str(maps[name]), **same} for name, path in images.items()
        ]
        super().__init__(root, samples, **loading)
        self._metainfo |= {
            "classes": names,
            "thing_classes": (),
            "stuff_classes": names,
            "category_ids": [label + int(reduce_zero_label) for label in range(len(names))],
            "palette": [colour_of(label) for label in range(len(names))],
        }


def _names_of(root: Path, classes: Sequence[str] | str | None) -> tuple[str, ...]:
    if classes is None:
        files = [name for name in NAME_FILES if (root / name).is_file()]
        if not files:
            expected = f"the names of the classes in {' or '.join(NAME_FILES)}"
            raise DataError(
                root, expected=expected, found="no such file", advice=f"write one, or set classes; {_ADVICE}"
            )
        classes = files[0]
    names = _names_in(root / classes) if isinstance(classes, str) else tuple(classes)
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if not 1 <= len(names) <= MOST_CLASSES or twice:
        found = f"{first_of(twice)} twice" if twice else f"{len(names)}"
        raise ConfigError(f"classes of {root}", expected=f"1 to {MOST_CLASSES} different names", found=found)
    return names


def _names_in(path: Path) -> tuple[str, ...]:
    """Return the names in a file: one per line, or the last column of a table whose header ends with Name."""
    lines = [line.rstrip() for line in read_text(path, "names of classes", _ADVICE).splitlines() if line.strip()]
    if lines and lines[0].split()[-1] == "Name":
        return tuple(line.split("\t")[-1].strip() for line in lines[1:])
    return tuple(line.strip() for line in lines)


def _files(root: Path, folder: Path, endings: Sequence[str], suffix: str) -> dict[str, Path]:
    """Return the files below a folder by name without suffix and ending, sorted."""
    if not folder.is_dir():
        raise DataError(folder, expected="a folder", found=f"no such folder{in_cwd(root)}", advice=_ADVICE)
    files: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        stem = str(inside.with_suffix(""))
        if path.suffix.lower() not in endings or not stem.endswith(suffix) or is_left_over(path.name):
            continue
        name = stem.removesuffix(suffix)
        if name in files:
            found, advised = f"{files[name].name} and {path.name}", "remove one of them"
            raise DataError(folder, expected="one file for each name", found=found, advice=advised)
        files[name] = path
    if not files:
        expected = f"files <name>{suffix}{endings[0]}"
        raise DataError(folder, expected=expected, found="none", advice=_ADVICE)
    return files
