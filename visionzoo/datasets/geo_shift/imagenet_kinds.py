"""Test sets with classes of ImageNet: ImageNet val, V2, R, A, Sketch and ObjectNet, as folders of images.

======================  ===============================  ==================================================
kind                    folders                          protocol
======================  ===============================  ==================================================
``imagenet``            ``val/<wnid>/``                  all 1000 classes
``imagenet_v2``         ``test/<0..999>/``               all 1000 classes
``imagenet_r``          ``test/<wnid>/``                 only the classes of the folders compete (200)
``imagenet_a``          ``test/<wnid>/``                 only the classes of the folders compete (200)
``imagenet_sketch``     ``test/<wnid>/``                 all 1000 classes
``objectnet``           ``test/images/<folder>/``        the 113 objects with a class, borders of 2 pixels cropped
======================  ===============================  ==================================================
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Unpack

from visionzoo.datasets.class_folders import class_folders, read_class_folders
from visionzoo.datasets.findings import Findings, shown
from visionzoo.datasets.missing_files import advice
from visionzoo.datasets.sample_list import LoadingOptions, SampleList
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.errors import DataError, first_of, require_known
from visionzoo.registry import DATASETS
from visionzoo.structures.image_names import ANY_IMAGE_ENDINGS


@dataclass(frozen=True)
class Kind:
    """Protocol of one test set.

    Attributes:
        folder: folder of the class folders, below the root.
        is_restricted: True if only the classes of the folders compete.
        border: width in pixels of a border that is cropped before anything else.
    """

    folder: str
    is_restricted: bool = False
    border: int = 0


KINDS = {
    "imagenet": Kind("val"),
    "imagenet_v2": Kind("test"),
    "imagenet_r": Kind("test", is_restricted=True),
    "imagenet_a": Kind("test", is_restricted=True),
    "imagenet_sketch": Kind("test"),
    "objectnet": Kind("test/images", border=2),
}
_LABELS = "folder_to_objectnet_label.json"
_CLASSES = "objectnet_to_imagenet_1k.json"


@DATASETS.register_module()
class ImageNetKind(SampleList):
    """Images in class folders whose labels are class indices of ImageNet-1k.

    A sample has ``img_path``, ``id`` (the path below the folder of the images), ``gt_label``, ``gt_labels`` and
    ``classes``. ``metainfo`` has ``competing``, the class indices that compete, or None for all; and ``border``.

    Args:
        data_root: a folder, or ``tiny://imagenet_v2`` and so on for drawn images.
        kind: a key of :data:`KINDS`.
        max_samples, pipeline, test_mode, serialize_data, max_refetch, every, not_every: see :class:`SampleList`.

    Raises:
        UnknownName: no such kind.
        DataError: the folders are missing or empty, or a folder is not a class of ImageNet.

    Example:
        >>> dataset = ImageNetKind("tiny://imagenet_a", "imagenet_a", serialize_data=False)
        >>> dataset.metainfo["competing"], dataset[0]["gt_labels"]
        ((0, 2, 4, 6, 8), [0])
    """

    def __init__(self, data_root: str, kind: str, **loading: Unpack[LoadingOptions]):
        require_known(kind, KINDS, "kind of ImageNet")
        root, protocol = resolve_data_root(data_root), KINDS[kind]
        folder, advised = root / protocol.folder, advice("imagenet" if kind == "imagenet" else "geo_shift")
        if not folder.is_dir():
            layout = f"{folder}/<class folder>/<image>"
            raise DataError(folder, expected=layout, found="no such folder", advice=advised)
        names = class_folders(folder, advised)
        labels = objectnet_labels(folder.parent, names) if kind == "objectnet" else _folder_labels(folder, names)
        with Findings(folder, expected="class folders of images", advice="correct or remove it") as findings:
            images = read_class_folders(folder, tuple(ANY_IMAGE_ENDINGS), findings)
            findings.note("folders of objects without a class in ImageNet, left out", len(images.keys() - labels))
        there = {name: paths for name, paths in images.items() if name in labels}
        samples = [_sample(path, folder, name, labels[name]) for name, paths in there.items() for path in paths]
        if not samples:
            raise DataError(folder, expected="images in its class folders", found="none", advice=advised)
        super().__init__(root, samples, **loading)
        competing = tuple(sorted(set(labels.values()))) if protocol.is_restricted else None
        self._metainfo.update(competing=competing, border=protocol.border, data_set=kind, label_mode="1k")


def _sample(path: str, folder: Path, name: str, label: int) -> dict[str, Any]:
    known = dict(img_path=path, id=Path(os.path.relpath(path, folder)).as_posix(), classes=[name])
    return {**known, "gt_label": label, "gt_labels": [label]}


def _folder_labels(folder: Path, names: list[str]) -> dict[str, int]:
    """Return the class index of each folder, which is a WordNet id or a number."""
    of_id = wordnet_labels()
    labels = {name: of_id.get(name, int(name) if name.isdecimal() and int(name) < len(of_id) else -1) for name in names}
    wrong = [name for name, label in labels.items() if label < 0]
    if wrong:
        raise DataError(
            folder,
            expected="folders that are WordNet ids of ImageNet-1k (n01440764), or numbers from 0 to 999",
            found=f"{len(wrong)} others ({first_of(wrong)})",
            advice="correct or remove them",
        )
    return labels


@cache
def wordnet_labels() -> dict[str, int]:
    """Return the class index of each WordNet id of ImageNet-1k.

    Example:
        >>> wordnet_labels()["n01440764"]
        0
    """
    from timm.data import ImageNetInfo

    return {key: label for label, key in enumerate(ImageNetInfo("imagenet-1k").label_names())}


# --- ObjectNet ---


def objectnet_labels(root: Path, names: list[str]) -> dict[str, int]:
    """Return the class index of each folder of ObjectNet that has one: the first class that its object maps to.

    ``mappings/folder_to_objectnet_label.json`` names the object of each folder, and
    ``mappings/objectnet_to_imagenet_1k.json`` the classes of an object: indices, or names separated by semicolons.

    Args:
        root: the folder with ``mappings``.
        names: names of the folders.

    Raises:
        DataError: a file is missing, or names an unknown class.
    """
    objects, classes = (_mapping(root / "mappings" / file) for file in (_LABELS, _CLASSES))
    labels = {}
    for name in names:
        value = classes.get(str(objects.get(name, name)))
        if value is not None:
            labels[name] = _first_class(value, root / "mappings" / _CLASSES)
    return labels


def _mapping(path: Path) -> Mapping[str, Any]:
    expected, advised = "a JSON object of ObjectNet's release", advice("geo_shift")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(path, expected=expected, found="no such file", advice=advised) from error
    except (OSError, ValueError) as error:
        raise DataError(path, expected=expected, but=f"it cannot be read ({error})", advice=advised) from error
    if not isinstance(value, dict):
        raise DataError(path, expected=expected, found=f"a {type(value).__name__}", advice=advised)
    return value


def _first_class(value: Any, path: Path) -> int:
    first = value[0] if isinstance(value, list) and value else value
    text = str(first).split(";")[0].strip().lower()
    names = _labels_of_names()
    index = int(text) if text.isdecimal() and int(text) < 1000 else names.get(text, names.get(text.split(",")[0]))
    if index is None:
        raise DataError(path, expected="class indices or names of ImageNet-1k", found=shown(value), advice="correct it")
    return index


@cache
def _labels_of_names() -> dict[str, int]:
    """Return the class index of each full description and, with less weight, of each first name, the lower index first.

    Two first names occur twice; their full descriptions differ.
    """
    from timm.data import ImageNetInfo

    full = [text.lower() for text in ImageNetInfo("imagenet-1k").label_descriptions()]
    names: dict[str, int] = {}
    for label, text in enumerate(full):
        names.setdefault(text.split(",")[0], label)
    return names | {text: label for label, text in enumerate(full) if "," in text or text not in names}
