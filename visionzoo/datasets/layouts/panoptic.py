"""Panoptic annotations: one JSON file for each split with a folder of PNG files; the images in any folder below."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from visionzoo.datasets.every_nth import keys_of
from visionzoo.datasets.layouts._base import Found, Layout, Split, classes_text, split_of
from visionzoo.datasets.layouts._listing import Listing, inside
from visionzoo.datasets.layouts._tables import contains, files_in, one_per_split
from visionzoo.datasets.missing_files import inside as below
from visionzoo.datasets.panoptic.files import in_label_order
from visionzoo.datasets.panoptic.maps import folder_of_masks
from visionzoo.datasets.panoptic.reading import read_panoptic
from visionzoo.errors import DataError, first_of

_MOST_FILES = 50  # a folder with more JSON files has one for each image
_SAMPLED = 20


def _recognise(listing: Listing) -> bool:
    return bool(_files(listing))


def _files(listing: Listing) -> list[str]:
    names = files_in(listing, (".json",))
    if len(names) > _MOST_FILES:
        return []
    return [name for name in names if contains(listing.root / name, b'"segments_info"', b'"annotations"')]


def _read(listing: Listing, config: Mapping[str, Any]) -> Found:
    splits, classes = {}, dict[str, None]()
    for split, name in one_per_split(listing, _files(listing)).items():
        file = read_panoptic(listing.root / name, say_notes=False)
        images = [image.file_name for image in file.annotated]
        settings = {"ann_file": name, "data_prefix": _folders(listing, name, images)}
        splits[split] = Split(settings, keys_of(images))
        classes |= dict.fromkeys(each.name for each in in_label_order(file.categories))
    return Found("PanopticDataset", splits, classes_text(list(classes)))


def _folders(listing: Listing, name: str, images: list[str]) -> dict[str, str]:
    """Return the folders of the images and of the PNG files of an annotation file."""
    masks = below(listing.root, folder_of_masks(listing.root / name))
    step = max(1, len(images) // _SAMPLED)
    split = split_of(name)
    near = next((folder for folder in listing.folders() if split_of(folder) == split), "")
    folder = listing.folder_with(images[::step], near=near)
    if folder is None:
        raise DataError(
            listing.root / name,
            expected="its image files in a folder below",
            found=f"none of {first_of(images)}",
            advice=f"copy the images into {listing.root}",
        )
    return {"img": inside(folder, ""), "seg": "" if masks == Path() else f"{masks}/"}


LAYOUT = Layout(
    label="panoptic json",
    tree="annotations/*.json or one *.json per split, a folder of PNG files of the same name, and the images anywhere",
    tasks=("panoptic",),
    example="mask2former_r50_coconut",
    recognise=_recognise,
    read=_read,
)
