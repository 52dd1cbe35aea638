"""Images in one folder for each class."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from visionzoo.datasets.class_folders import read_class_folders
from visionzoo.datasets.every_nth import keys_of
from visionzoo.datasets.findings import Findings
from visionzoo.datasets.layouts._base import ALL, Found, Layout, Split, by_split, classes_text, split_of
from visionzoo.datasets.layouts._listing import Listing, inside
from visionzoo.datasets.layouts._pairs import IMAGE_SIDES, MASK_SIDES
from visionzoo.structures.image_names import ANY_IMAGE_ENDINGS

# Folders of other layouts; a class of such a name needs the prefix class_folders:.
_NOT_CLASSES = {*IMAGE_SIDES, *MASK_SIDES, "annotations", "annots", "imagesets", "list", "xml", "clips", "csv", "json"}
_WORDNET = re.compile(r"n\d{8}")


def _recognise(listing: Listing) -> bool:
    is_sure = not any(_is_other(name) for folder in _splits(listing).values() for name in listing.folders(folder))
    return is_sure and _is_possible(listing)


def _is_possible(listing: Listing) -> bool:
    return any(_has_classes(listing, folder) for folder in _splits(listing).values())


def _is_other(name: str) -> bool:
    """Return True for the name of a folder of images, masks or annotations, such as input_images."""
    return not _NOT_CLASSES.isdisjoint(re.split(r"[^a-z]+", name.lower())) or name.lower() in _NOT_CLASSES


def _splits(listing: Listing) -> dict[str, str]:
    """Return the folder of each split; ``all`` is the folder itself."""
    named = {name: split_of(name) for name in listing.folders() if name.lower() in _EXACT}
    return {split: names[0] for split, names in by_split(named).items()} if named else {ALL: ""}


_EXACT = ("train", "training", "val", "valid", "validation", "test", "testing")


def _has_classes(listing: Listing, folder: str) -> bool:
    full = [name for name in listing.folders(folder) if _has_images(listing, inside(folder, name))]
    return len(full) > 1 or (folder != "" and len(full) == 1)


def _has_images(listing: Listing, folder: str) -> bool:
    return bool(listing.images(folder)) or any(listing.images(inside(folder, deep)) for deep in listing.folders(folder))


def _read(listing: Listing, config: Mapping[str, Any]) -> Found:
    folders = _splits(listing)
    source = folders.get("train", next(iter(folders.values())))
    splits, classes = {}, list[str]()
    for split, folder in folders.items():
        path = listing.root / folder
        images = read_class_folders(path, ANY_IMAGE_ENDINGS, Findings(path, expected="images"))
        pairs = [(name, image) for name, paths in images.items() for image in paths]
        settings = {"split": folder, "classes_from": source}
        splits[split] = Split(settings, keys_of([image for _, image in pairs], [name for name, _ in pairs]))
        classes = list(images) if folder == source else classes
    is_imagenet = config.get("type") == "ImageNet" and all(map(_WORDNET.fullmatch, classes))
    return Found("ImageNet" if is_imagenet else "ImageFolder", splits, classes_text(classes), count=len(classes))


LAYOUT = Layout(
    label="class folders",
    tree="train/CLASS/*.jpg and val/CLASS/*.jpg, or CLASS/*.jpg",
    tasks=("classification",),
    example="dinat_mini_imagenet",
    recognise=_recognise,
    is_possible=_is_possible,
    read=_read,
)
