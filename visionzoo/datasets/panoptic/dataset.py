"""Images with panoptic annotations, for training and evaluation of panoptic, instance and semantic models."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from visionzoo.datasets.file_names import require_inside
from visionzoo.datasets.findings import Findings
from visionzoo.datasets.missing_files import missing_files
from visionzoo.datasets.panoptic.files import PanopticFile, PanopticImage, in_label_order
from visionzoo.datasets.panoptic.maps import folder_of_masks
from visionzoo.datasets.panoptic.reading import read_panoptic
from visionzoo.datasets.sample_list import LoadingOptions, SampleList
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.errors import ConfigError, DataError, nearest_or_known, require_none_missing
from visionzoo.registry import DATASETS
from visionzoo.structures.panoptic import PanopticCategory

_ADVICE = "see datasets/coconut/README.md, point data_root to the data, or try --tiny, which draws some"
MOST_CLASSES = 255  # 255 marks pixels without a class in the maps of mmdet and mmseg


@DATASETS.register_module()
class PanopticDataset(SampleList):
    """Images whose every pixel belongs to one segment, or to none: COCO, COCONut and others of their format.

    On disk::

        <data_root>/<ann_file>                       annotations/panoptic_train2017.json
        <data_root>/<data_prefix["seg"]>/<name>.png  annotations/panoptic_train2017/000000000009.png
        <data_root>/<data_prefix["img"]>/<name>.jpg  train2017/000000000009.jpg

    Every shape of file in :mod:`visionzoo.datasets.panoptic.shapes` is read; ``bbox`` and ``area`` are not necessary,
    because they are counted from the PNG. Images without annotation are left out, with a warning. Segments of
    categories that are not in ``classes`` become pixels without a label.

    A sample has ``img_path``, ``img_id``, ``panoptic_path`` (the PNG), ``segments`` (dicts with ``id``,
    ``category_id``, which is the class index, and ``iscrowd``, and ``area`` and ``bbox`` if the file states them),
    ``num_things``, and ``height`` and ``width`` if the file states them. ``LoadPanoptic`` and
    ``LoadPanopticTargets`` read the PNG.

    ``metainfo`` has

    - ``classes``: names by class index, things first;
    - ``thing_classes``, ``stuff_classes``: the names of both kinds; their numbers are the class counts of a model;
    - ``category_ids``: the id of each class in the file;
    - ``palette``: an RGB colour of each class;
    - ``panoptic_file``, ``panoptic_folder``: absolute paths of the annotations and of the PNG files.

    Args:
        ann_file: the annotations in ``data_root``, or an absolute path.
        data_root: a folder, or ``tiny://coco_panoptic?train=32&val=8`` or ``tiny://coconut`` for drawn scenes.
        data_prefix: ``dict(img=..., seg=...)``: folders of the images and of the PNG files in ``data_root``. Default
            of ``seg``: see :func:`visionzoo.datasets.panoptic.maps.folder_of_masks`.
        classes: names to use, in any order. Default: all categories of the file.
        without_things: False leaves out, in training, images whose segments are all stuff. Default: they are kept.
        allow_outside: True to allow files outside ``data_root``.
        max_samples, pipeline, test_mode, serialize_data, max_refetch, every, not_every: see :class:`SampleList`.

    Raises:
        DataError: the file is missing or has errors (:func:`~visionzoo.datasets.panoptic.reading.read_panoptic`),
            images or PNG files are missing, or no image remains.
        ConfigError: an unknown class, or more than 255 classes.

    Example:
        >>> root = "tiny://coconut?train=2&val=1&size=32"
        >>> dataset = PanopticDataset("coconut_s.json", root, dict(img="train2017/"), serialize_data=False)
        >>> len(dataset), dataset.metainfo["thing_classes"], dataset.metainfo["stuff_classes"]
        (2, ('disc', 'square', 'triangle'), ('sky', 'grass'))
    """

    def __init__(
        self,
        ann_file: str,
        data_root: str = "",
        data_prefix: Mapping[str, str] | None = None,
        classes: Sequence[str] | None = None,
        without_things: bool = True,
        allow_outside: bool = False,
        **loading: Unpack[LoadingOptions],
    ):
        root, prefix = resolve_data_root(data_root), dict(data_prefix or {})
        path = root / ann_file
        if not root.is_dir():
            raise DataError(root, expected=f"a folder with {ann_file}", found="no such folder", advice=_ADVICE)
        file = read_panoptic(path)
        used = _chosen(path, file.categories, classes)
        masks = root / prefix["seg"] if prefix.get("seg") else folder_of_masks(path)
        folders = root / (prefix.get("img") or ""), masks
        if not allow_outside:
            _require_inside(file, folders, root)
        samples = _samples(file, used, folders)
        if not (without_things or loading.get("test_mode")):
            samples = [each for each in samples if _has_thing(each)]
        if not samples:
            found = f"none of {len(file.images)} images" if without_things else "none with a thing"
            raise DataError(path, expected="an image with annotation", found=found, advice="check the file")
        super().__init__(root, samples, **loading)
        _require_files([self.get_data_info(index) for index in range(len(self))], folders)
        self._metainfo |= _facts(used) | {
            "panoptic_file": str(path.resolve()),
            "panoptic_folder": str(masks.resolve()),
            "annotations": str(path),
        }


def _chosen(
    path: Path, categories: Sequence[PanopticCategory], classes: Sequence[str] | None
) -> tuple[PanopticCategory, ...]:
    """Return the categories in the order of class indices."""
    by_name = {each.name: each for each in categories}
    for name in classes or ():
        if name not in by_name:
            found, advice = f"the class {name!r}", nearest_or_known(name, by_name)
            raise ConfigError(path, expected="classes that the file has", found=found, advice=advice)
    used = in_label_order(each for each in categories if classes is None or each.name in classes)
    if not 1 <= len(used) <= MOST_CLASSES:
        advice = "choose some with classes=[...]"
        raise ConfigError(path, expected=f"1 to {MOST_CLASSES} classes", found=f"{len(used)}", advice=advice)
    return used


def _samples(file: PanopticFile, used: Sequence[PanopticCategory], folders: tuple[Path, Path]) -> list[dict[str, Any]]:
    labels = {each.id: label for label, each in enumerate(used)}
    things = sum(each.isthing for each in used)
    with Findings(file.where, expected="panoptic annotations") as findings:
        findings.note("images without annotation are left out", len(file.images) - len(file.annotated))
    return [{**_sample(image, labels, folders), "num_things": things} for image in file.annotated]


def _sample(image: PanopticImage, labels: Mapping[int, int], folders: tuple[Path, Path]) -> dict[str, Any]:
    size = {"height": image.height, "width": image.width} if image.height and image.width else {}
    segments = [
        # -1: pixels of a category that is not used
        {**each, "category_id": labels.get(each["category_id"], -1)}
        for each in image.segments
    ]
    return {
        "img_path": os.path.join(folders[0], image.file_name),
        "img_id": image.id,
        "panoptic_path": os.path.join(folders[1], image.mask or ""),
        "segments": segments,
        **size,
    }


def _has_thing(sample: Mapping[str, Any]) -> bool:
    return any(0 <= each["category_id"] < sample["num_things"] and not each["iscrowd"] for each in sample["segments"])


def _require_inside(file: PanopticFile, folders: tuple[Path, Path], root: Path) -> None:
    require_inside([each.file_name for each in file.annotated], folders[0], root, file.where)
    require_inside([each.mask or "" for each in file.annotated], folders[1], root, file.where)


def _require_files(samples: Sequence[Mapping[str, Any]], folders: tuple[Path, Path]) -> None:
    for key, what, folder in zip(("img_path", "panoptic_path"), ("images", "PNG files of the masks"), folders):
        missing = missing_files([each[key] for each in samples], folder)
        require_none_missing(missing, folder, expected=f"{len(samples)} {what}", advice=f"check data_prefix; {_ADVICE}")


def _facts(used: Sequence[PanopticCategory]) -> dict[str, Any]:
    return {
        "classes": tuple(each.name for each in used),
        "thing_classes": tuple(each.name for each in used if each.isthing),
        "stuff_classes": tuple(each.name for each in used if not each.isthing),
        "category_ids": [each.id for each in used],
        "palette": [colour_of(label) for label in range(len(used))],
    }


def colour_of(label: int) -> tuple[int, int, int]:
    """Return an RGB colour of a class; those of the first 255 differ.

    The bits of the number, from the lowest, are the highest bits of red, green and blue in turn.

    Example:
        >>> colour_of(0), colour_of(1)
        ((128, 0, 0), (0, 128, 0))
    """
    bits, colour = label + 1, [0, 0, 0]
    for place in range(7, -1, -1):
        for channel in range(3):
            colour[channel] |= (bits >> channel & 1) << place
        bits >>= 3
    red, green, blue = colour
    return red, green, blue
