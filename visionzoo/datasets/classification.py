"""Data sets of images with one class each: class folders, lists of files, and ImageNet."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Unpack

from visionzoo.datasets.class_folders import class_folders, endings_in, read_class_folders, subfolders
from visionzoo.datasets.class_map import (
    ClassMap,
    classes_of,
    read_class_map,
    require_classes,
    require_once,
    unknown_label,
)
from visionzoo.datasets.every_nth import Key, keys_of
from visionzoo.datasets.file_names import require_inside
from visionzoo.datasets.findings import Findings
from visionzoo.datasets.image_list import ListedImages, check_files, labelled, read_image_list
from visionzoo.datasets.sample_list import LoadingOptions, SampleList
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.errors import DataError, first_of, in_cwd
from visionzoo.registry import DATASETS
from visionzoo.structures.image_names import ANY_IMAGE_ENDINGS


class ClassificationData(SampleList):
    """Base of data sets with one class per image.

    A sample is a dict with ``img_path`` (or ``img``) and ``gt_label``, an int. ``metainfo`` has ``classes``, the name
    of each label, and ``class_keys``, the names of the classes in files.

    Args:
        root: folder of the data.
        class_map: the classes.
        samples: dicts of ``img_path`` or ``img``, and ``gt_label``.
        max_samples, pipeline, test_mode, serialize_data, max_refetch: see :class:`SampleList`.

    Example:
        >>> samples = [dict(img_path="a.png", gt_label=1)]
        >>> dataset = ClassificationData(Path("."), ClassMap.of(["cat", "dog"]), samples, serialize_data=False)
        >>> dataset.metainfo["classes"], dataset[0]["gt_label"]
        (('cat', 'dog'), 1)
    """

    def __init__(
        self,
        root: Path,
        class_map: ClassMap,
        samples: list[dict],
        **loading: Unpack[LoadingOptions],
    ):
        super().__init__(root, samples, **loading)
        self._metainfo.update(classes=class_map.classes, class_keys=class_map.keys)

    @staticmethod
    def keys_of(samples: Sequence[dict[str, Any]]) -> list[Key]:
        """Return label and path of each sample; ``every`` and ``not_every`` divide the images of each class."""
        names = [sample.get("img_path") or f"{number:09}" for number, sample in enumerate(samples)]
        return keys_of(names, [sample["gt_label"] for sample in samples])

    def get_cat_ids(self, idx: int) -> list[int]:
        """Return the label of a sample as a list, for samplers and wrappers that balance classes."""
        return [self.get_data_info(idx)["gt_label"]]


@DATASETS.register_module()
class ImageFolder(ClassificationData):
    """Images in one folder per class.

    On disk::

        <data_root>/<split>/<class folder>/any/depth/<image>      train/n01440764/n01440764_18.JPEG

    Labels number the class folders in alphabetical order, unless ``classes`` or ``class_map`` sets another order. The
    class folders of ``classes_from`` define the labels of all splits. Links are followed, and each real folder is read
    once. Hidden files and folders, and files that are not images, are left out with a note.

    Args:
        data_root: a folder, or ``tiny://imagenet?train=96&val=32&seed=0`` for drawn images.
        split: the folder in ``data_root`` that contains the class folders; empty for ``data_root`` itself.
        classes: class folders in label order.
        class_map: a file, in ``data_root`` or absolute, see :mod:`visionzoo.datasets.class_map`.
        classes_from: the split whose folders are the classes, without ``classes`` and ``class_map``. If this split
            does not exist, ``split`` is used.
        background: number the classes from 1, for models whose label 0 is the background.
        allow_empty: accept class folders without an image.
        extensions: endings of image files, in upper or lower case.
        max_samples, pipeline, test_mode, serialize_data, max_refetch: see :class:`SampleList`.

    Raises:
        DataError: folders are missing, empty or cannot be read, or belong to an unknown class; or there is only one
            class, without ``test_mode``.

    Example:
        >>> dataset = ImageFolder("tiny://imagenet?train=10&val=2&size=24", split="val", serialize_data=False)
        >>> len(dataset), dataset.metainfo["classes"][:2]
        (2, ('n01440764', 'n01443537'))
    """

    advice = "make one folder per class there, point data_root to the data, or try --tiny, which draws some"

    def __init__(
        self,
        data_root: str,
        split: str = "train",
        classes: str | Sequence[str] | None = None,
        class_map: str | None = None,
        classes_from: str = "train",
        background: bool = False,
        allow_empty: bool = False,
        extensions: Sequence[str] = ANY_IMAGE_ENDINGS,
        **loading: Unpack[LoadingOptions],
    ):
        root = resolve_data_root(data_root)
        folder = root / split
        _require_tree(folder, f"{folder}/<class folder>/<image>", self.advice)
        other = root / classes_from
        known = _given_classes(root, classes, class_map, background) or ClassMap.of(
            class_folders(other if other.is_dir() else folder, self.advice), background=background
        )
        endings = tuple(ending.lower() for ending in extensions)
        samples = _folder_samples(folder, known, endings, allow_empty, self.advice)
        _require_classes_in_folders(folder, known, is_training=not loading.get("test_mode"))
        super().__init__(root, self.named(known), samples, **loading)

    def named(self, known: ClassMap) -> ClassMap:
        """Return the classes with readable names; here, the names of the folders."""
        return known


@DATASETS.register_module()
class ImageNet(ImageFolder):
    """ImageNet-1k, or a subset of its class folders: see :class:`ImageFolder` and ``datasets/imagenet/README.md``.

    Class folders are WordNet ids (``n01440764``), so their alphabetical order is the order of the ILSVRC labels. timm
    provides the names.

    Example:
        >>> dataset = ImageNet("tiny://imagenet?train=10&val=2&size=24", split="val", serialize_data=False)
        >>> dataset.metainfo["classes"][:2]
        ('tench', 'goldfish')
    """

    advice = (
        "get it with `python datasets/imagenet/prepare.py`, point data_root to the data, "
        "or try --tiny, which draws a small data set"
    )

    def named(self, known: ClassMap) -> ClassMap:
        """Replace WordNet ids by short English names; ids that are not in ImageNet-1k are kept."""
        if known.names != known.keys:  # a class map set the names
            return known
        described = _imagenet_names_by_id()
        return ClassMap(known.keys, tuple(described.get(key, key) for key in known.keys), known.offset)


def imagenet_names() -> tuple[str, ...]:
    """Return short English names of ImageNet-1k's classes in label order; two names occur twice."""
    return tuple(_imagenet_names_by_id().values())


def _imagenet_names_by_id() -> dict[str, str]:
    folder = Path(find_spec("timm").submodule_search_locations[0], "data", "_info")  # type: ignore[union-attr, index]
    try:  # only its files: the import of timm.data imports all models
        ids = (folder / "imagenet_synsets.txt").read_text("utf-8").split()
        rows = (folder / "imagenet_synset_to_lemma.txt").read_text("utf-8").splitlines()
    except FileNotFoundError:  # another version of timm
        from timm.data import ImageNetInfo

        info = ImageNetInfo("imagenet-1k")
        return {key: text.split(",")[0] for key, text in zip(info.label_names(), info.label_descriptions())}
    texts = dict(csv.reader(rows, delimiter="\t"))
    return {key: texts[key].split(",")[0] for key in ids}


@DATASETS.register_module()
class ImageList(ClassificationData):
    """Images and labels in a list.

    A ``.csv`` file has a header with ``path`` and ``label``, optional other columns, and one row per image. Any other
    file is text with a path and a label per line, separated by the last white space (``meta/train.txt`` of ImageNet)::

        path,label                      n01440764/n01440764_18.JPEG 0
        cats/1.jpg,cat                  n01440764/n01440764_36.JPEG 0

    A label is the key, the name or the index of a class. Without ``classes`` and ``class_map``, the labels of the file
    are the classes: by value if all are whole numbers, otherwise in alphabetical order. A file that lacks a class then
    numbers the other classes differently. Set ``classes_from`` for files that belong together.

    Args:
        ann_file: the list, in ``data_root`` or absolute.
        data_root: a folder, or a ``tiny://`` address.
        img_folder: folder in ``data_root`` that contains the paths.
        classes: keys of the classes in label order.
        class_map: a file, in ``data_root`` or absolute, see :mod:`visionzoo.datasets.class_map`.
        classes_from: another list in ``data_root`` whose labels are the classes.
        background: number the classes from 1, for models whose label 0 is the background.
        allow_outside: True to allow files outside ``data_root``, see
            :func:`visionzoo.datasets.file_names.require_inside`.
        max_samples, pipeline, test_mode, serialize_data, max_refetch: see :class:`SampleList`.

    Raises:
        DataError: a file is missing, a line cannot be read, an image has two labels, or a label belongs to an unknown
            class; or there is only one class, without ``test_mode``.

    Example:
        >>> root = "tiny://imagenet?train=10&val=2&size=24"
        >>> dataset = ImageList("meta/val.txt", root, img_folder="val", serialize_data=False)
        >>> [sample["gt_label"] for sample in dataset]
        [0, 1]
    """

    def __init__(
        self,
        ann_file: str,
        data_root: str = "",
        img_folder: str = "",
        classes: str | Sequence[str] | None = None,
        class_map: str | None = None,
        classes_from: str | None = None,
        background: bool = False,
        allow_outside: bool = False,
        **loading: Unpack[LoadingOptions],
    ):
        root = resolve_data_root(data_root)
        path = root / ann_file
        images = read_image_list(path)
        require_inside(images.names, root / img_folder, root, path, allow_outside=allow_outside)
        known = _given_classes(root, classes, class_map, background)
        if known is None:
            of = path if classes_from is None else root / classes_from
            with Findings(of, expected="labels", say_notes=classes_from is None) as findings:
                words = (images if classes_from is None else read_image_list(of, say_notes=False)).labels
                known = ClassMap.of(classes_of(set(words), findings), background=background)
        if not loading.get("test_mode"):
            require_classes(path, known, hint="", advice="add images of a second class, or set classes")
        samples = _listed_samples(path, root / img_folder, images, known, loading.get("max_samples"))
        super().__init__(root, known, samples, **loading)


def _given_classes(
    root: Path, classes: Sequence[str] | None, class_map: str | None, background: bool
) -> ClassMap | None:
    if classes is not None and class_map is not None:
        raise DataError(root, expected="classes or class_map", found="both", advice="leave one of them out")
    if class_map is not None:
        return read_class_map(root / class_map, background=background)
    if classes is None:
        return None
    keys = [classes] if isinstance(classes, str) else list(map(str, classes))
    require_once("classes", keys)
    return ClassMap.of(keys, background=background)


# --- folders ---


def _require_tree(folder: Path, layout: str, advice: str) -> None:
    if not folder.is_dir():
        raise DataError(folder, expected=layout, found=f"no such folder{in_cwd(folder)}", advice=advice)


def _folder_samples(
    folder: Path, known: ClassMap, endings: tuple[str, ...], allow_empty: bool, advice: str
) -> list[dict]:
    labels = {key: label + known.offset for label, key in enumerate(known.keys)}
    with Findings(folder, expected="class folders of images", advice="correct or remove it") as findings:
        images = read_class_folders(folder, endings, findings)
    for name in images:
        if name not in labels:
            facts = unknown_label(name, known)
            raise DataError(folder / name, **facts, advice="correct it, or the classes")
    empty = [name for name, paths in images.items() if not paths]
    if empty and not allow_empty:
        raise _empty_folders(folder, empty, endings)
    samples = [{"img_path": path, "gt_label": labels[name]} for name, paths in images.items() for path in paths]
    if not samples:
        raise DataError(folder, expected="images in its class folders", found="none", advice=advice)
    return samples


def _empty_folders(folder: Path, empty: Sequence[str], endings: Sequence[str]) -> DataError:
    others = endings_in(folder / empty[0])
    there = f"; {empty[0]} has files with {first_of(others)}" if others else ""
    return DataError(
        folder,
        expected=f"images ({', '.join(endings[:4])}, ...) in every class folder",
        found=f"{len(empty)} empty ({first_of(empty)}){there}",
        advice="fill or remove them, or set allow_empty=True",
    )


def _require_classes_in_folders(folder: Path, known: ClassMap, *, is_training: bool) -> None:
    """Raise DataError for training with one class; its folders may be the classes."""
    if len(known.keys) > 1:
        return
    name = known.keys[0]
    below = subfolders(folder / name)
    hint = f"; its folders {first_of(below)} may be the classes" if below else ""
    deeper = f"move them up, or set split and classes_from to {folder.name}/{name}" if below else ""
    if is_training:
        require_classes(folder, known, hint=hint, advice=deeper or "add the folder of a second class")
    elif below:
        with Findings(folder, expected="classes") as findings:
            findings.note(f"one class ({name}){hint}")


# --- lists ---


def _listed_samples(
    path: Path, folder: Path, images: ListedImages, known: ClassMap, most: int | None
) -> list[dict[str, Any]]:
    with Findings(path, expected="labels of known classes", advice="correct them, or the classes") as findings:
        labels = labelled(images, known, findings)
    paths = images.paths_in(folder)
    with Findings(path, expected="image files", advice="copy them, or correct data_root and img_folder") as findings:
        check_files(images, paths[:most], findings)
    return [{"img_path": path, "gt_label": label} for path, label in zip(paths, labels)]
