"""Pascal VOC: one XML file for each image."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from visionzoo.datasets.coco_records import CocoRecords
from visionzoo.datasets.layouts._base import Layout, by_split
from visionzoo.datasets.layouts._converted import named_below, read_converted
from visionzoo.datasets.layouts._listing import Listing
from visionzoo.datasets.voc import ANNOTATION_FOLDERS, VocFolder, choose_splits, to_coco

_SNIFFED = 20


def _recognise(listing: Listing) -> bool:
    return bool(_folders(listing))


def _folders(listing: Listing) -> dict[str, str]:
    """Return the VOC folder of each split; one with the key "" if all splits are in the folder itself."""
    if _has_objects(listing, ""):
        return {"": ""}
    names = {split: names[0] for split, names in by_split(listing.folders()).items() if len(names) == 1}
    return {split: name for split, name in names.items() if split != "all" and _has_objects(listing, name)}


def _has_objects(listing: Listing, base: str) -> bool:
    folders = (os.path.normpath(os.path.join(base, name)) for name in ANNOTATION_FOLDERS)
    return any(_has_xml(listing, "" if folder == "." else folder) for folder in folders)


def _has_xml(listing: Listing, folder: str) -> bool:
    names = listing.files(folder, (".xml",))
    return any(_is_voc(listing.root / folder / name) for name in names[:_SNIFFED])


def _is_voc(path: Path) -> bool:
    """Return True for the root element <annotation>; CVAT's is <annotations>."""
    try:
        with path.open("rb") as file:
            text = file.read(2000).replace(b"\0", b"")  # of UTF-16
    except OSError:
        return False
    return b"<annotation>" in text or b"<annotation " in text


def _records(root: Path) -> dict[str, dict]:
    folders = _folders(Listing(root)) or {"": ""}
    return named_below(root, _whole(root) if "" in folders else _joined(root, folders))


def _whole(root: Path) -> CocoRecords:
    folder = VocFolder.find(root)
    lists = root / "ImageSets" / "Main"
    use_both = not (lists / "train.txt").is_file() and (lists / "trainval.txt").is_file()
    names = [name for name in ("trainval", "val", "test") if (lists / f"{name}.txt").is_file()] if use_both else []
    splits = choose_splits(folder, files=names)
    named = {"all" if len(splits) == 1 and not lists.is_dir() else split: stems for split, stems in splits.items()}
    if use_both:
        named["train"] = named.pop("trainval")
    used = {stem for stems in named.values() for stem in stems}
    return to_coco(folder, named, folder.read_all(stem for stem in folder.stems if stem in used))


def _joined(root: Path, folders: Mapping[str, str]) -> CocoRecords:
    """Convert one VOC folder for each split, with the classes of all of them."""
    images, splits = [], {}
    for split, name in folders.items():
        folder = VocFolder.find(root / name)
        read = [replace(image, stem=f"{name}/{image.stem}") for image in folder.read_all(folder.stems)]
        images += read
        splits[split] = [image.stem for image in read]
    return to_coco(VocFolder(root, root, root, [image.stem for image in images]), splits, images)


LAYOUT = Layout(
    label="Pascal VOC",
    tree="Annotations/*.xml and JPEGImages/, or *.xml beside the images",
    tasks=("detection",),
    example="rcnet_retinanet",
    recognise=_recognise,
    read=partial(read_converted, "voc"),
    records=_records,
)
