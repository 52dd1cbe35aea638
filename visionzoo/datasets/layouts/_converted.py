"""Layouts that are converted to COCO's format."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from visionzoo.datasets.coco_records import AnnotatedImages, CocoRecords, to_coco
from visionzoo.datasets.converting import converted_files
from visionzoo.datasets.every_nth import keys_of
from visionzoo.datasets.layouts._base import Found, Split, classes_text
from visionzoo.datasets.layouts._finding import layouts
from visionzoo.datasets.layouts._listing import Listing


def records_below(root: Path, source: AnnotatedImages) -> dict[str, dict]:
    """Convert annotated images to COCO records by split, with names of the images below a folder.

    Args:
        root: the folder.
        source: the images.
    """
    return named_below(root, to_coco(source))


def named_below(root: Path, made: CocoRecords) -> dict[str, dict]:
    """Return COCO records by split, with names of the images below a folder, and notes of the changes."""
    for split, record in made.records.items():
        name_below(root, record, made.images[split])
        record["info"]["notes"] = [f"{count} {change}" for change, count in made.changes.items()]
    return made.records


def name_below(root: Path, record: dict, files: Sequence[Path]) -> None:
    """Set the names of the images in a record to their paths below a folder."""
    for image, file in zip(record["images"], files, strict=True):
        image["file_name"] = os.path.relpath(file, root)


def read_converted(name: str, listing: Listing, config: Mapping[str, Any]) -> Found:
    """Convert a folder, unless it is converted already, and return its contents.

    Args:
        name: name of a layout that has ``records``.
        listing: the folder.
        config: not used; see :class:`Layout`.
    """
    splits, classes, notes = {}, dict[str, None](), dict[str, None]()
    for split, path in converted_files(listing.root, name, layouts()[name]).items():
        record = json.loads(path.read_text(encoding="utf-8"))
        settings = {"ann_file": f"{name}:{split}", "data_prefix": {"img": ""}}
        splits[split] = Split(settings, keys_of([image["file_name"] for image in record["images"]]))
        classes |= dict.fromkeys(category["name"] for category in record["categories"])
        notes |= dict.fromkeys(record.get("info", {}).get("notes", []))
    return Found("CocoDetection", splits, classes_text(list(classes)), notes=list(notes))
