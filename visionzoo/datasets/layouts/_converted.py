"""Layouts that are converted to COCO's format."""

from __future__ import annotations

import json
from pathlib import Path

from visionzoo.datasets.converting import converted_files
from visionzoo.datasets.every_nth import keys_of
from visionzoo.datasets.layouts._base import Found, Layout, Split, classes_text


def found_in(root: Path, name: str, layout: Layout) -> Found:
    """Convert a folder, unless it is converted already, and return its contents.

    Args:
        root: the folder.
        name: name of the layout.
        layout: the layout, which has ``records``.
    """
    splits, classes, notes = {}, dict[str, None](), dict[str, None]()
    for split, path in converted_files(root, name, layout).items():
        record = json.loads(path.read_text(encoding="utf-8"))
        settings = {"ann_file": f"{name}:{split}", "data_prefix": {"img": ""}}
        splits[split] = Split(settings, keys_of([image["file_name"] for image in record["images"]]))
        classes |= dict.fromkeys(category["name"] for category in record["categories"])
        notes |= dict.fromkeys(record.get("info", {}).get("notes", []))
    return Found("CocoDetection", splits, classes_text(list(classes)), notes=list(notes))
