"""COCO: one JSON file for each split, with any name; the images in any folder below."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from visionzoo.datasets.coco_file import choose_classes, read_coco
from visionzoo.datasets.every_nth import keys_of
from visionzoo.datasets.json_objects import read_json
from visionzoo.datasets.layouts._base import ALL, Found, Layout, Split, by_split, classes_text, split_of
from visionzoo.datasets.layouts._listing import Listing, inside
from visionzoo.datasets.layouts._tables import contains
from visionzoo.errors import DataError, first_of

_MOST_FILES = 50  # a folder with more JSON files has one for each image, as from labelme
_SAMPLED = 20
_NO_OBJECT = re.compile(rb'"annotations"\s*:\s*\[\s*\]')


def _recognise(listing: Listing) -> bool:
    return bool(_files(listing))


def _files(listing: Listing) -> list[str]:
    found = []
    for folder in filter(_may_have_annotations, listing.below(depth=1)):
        names = listing.files(folder, (".json",))
        if len(names) <= _MOST_FILES:
            found += [inside(folder, name) for name in names if _is_instances(listing.root / inside(folder, name))]
    return found


def _may_have_annotations(folder: str) -> bool:
    return folder.lower() in ("", "annotations", "annotation", "labels", "json") or split_of(folder) != ALL


def _is_instances(path: Path) -> bool:
    """Return True for files with the keys of COCO's instances; panoptic files have segments instead of boxes."""
    if not contains(path, b'"images"', b'"annotations"') or contains(path, b'"segments_info"'):
        return False
    return contains(path, b'"bbox"') or (contains(path, b'"categories"') and _has_no_object(path))


def _has_no_object(path: Path) -> bool:
    return _NO_OBJECT.search(path.read_bytes()) is not None


def _read(listing: Listing, config: Mapping[str, Any]) -> Found:
    splits, classes = {}, dict[str, None]()
    for split, name in _files_by_split(listing).items():
        path = listing.root / name
        record = read_coco(path, need_annotations=split != "test", say_notes=False)
        images = [image["file_name"] for image in record["images"]]
        splits[split] = Split(_settings(name, _image_folder(listing, name, images)), keys_of(images))
        classes |= dict.fromkeys(choose_classes(path, record, None))
    return Found("CocoDetection", splits, classes_text(list(classes)))


def _files_by_split(listing: Listing) -> dict[str, str]:
    files = {split: _only(listing, split, names) for split, names in by_split(_files(listing)).items()}
    if ALL in files and files.keys() != {ALL}:  # train.json may have any other name
        files.setdefault("train", files.pop(ALL))
    return files


def _settings(name: str, folder: str) -> dict[str, Any]:
    return {"ann_file": name, "data_prefix": {"img": f"{folder}/" if folder else ""}}


def _read_as_stated(listing: Listing, config: Mapping[str, Any]) -> Found:
    """Return the splits of a folder whose files have errors, for a check of all of them."""
    splits = {}
    for split, name in _files_by_split(listing).items():
        images = _names_in(listing.root / name)
        try:
            folder = _image_folder(listing, name, images)
        except DataError:  # no image is there; the check states each of them
            folder = name.rpartition("/")[0]
        splits[split] = Split(_settings(name, folder), [])
    return Found("CocoDetection", splits)


def _names_in(path: Path) -> list[str]:
    """Return the names of the images in a file that may have errors."""
    try:
        images = read_json(path).get("images")
    except DataError:
        return []
    entries = images if isinstance(images, list) else []
    names = [each.get("file_name") for each in entries if isinstance(each, dict)]
    return [name for name in names if isinstance(name, str)]


def _only(listing: Listing, split: str, names: Sequence[str]) -> str:
    chosen = [name for name in names if "instances" in name] if len(names) > 1 else list(names)
    if len(chosen) != 1:
        raise DataError(
            listing.root,
            expected=f"one annotation file for {'all images' if split == ALL else split}",
            found=first_of(names),
            advice="move the others out of the folder, or put train, val or test into their names",
        )
    return chosen[0]


def _image_folder(listing: Listing, name: str, images: Sequence[str]) -> str:
    step = max(1, len(images) // _SAMPLED)
    parent = name.rpartition("/")[0]
    stem = Path(name).stem.removeprefix("instances_")
    folder = listing.folder_with(images[::step], near=stem if stem in listing.folders() else parent)
    if folder is None:
        raise DataError(
            listing.root / name,
            expected="its image files in a folder below",
            found=f"none of {first_of(images)}",
            advice=f"copy the images into {listing.root}",
        )
    return folder


LAYOUT = Layout(
    label="COCO json",
    tree="annotations/*.json or one *.json per split, and the images in any folder",
    tasks=("detection", "instances"),
    example="rcnet_retinanet",
    recognise=_recognise,
    read=_read,
    read_as_stated=_read_as_stated,
)
