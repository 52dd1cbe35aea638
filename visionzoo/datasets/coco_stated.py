"""Records of a COCO file as it states them, with everything that the loader leaves out or refuses."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from visionzoo.datasets.converting import converted_file
from visionzoo.datasets.every_nth import chosen, keys_of
from visionzoo.datasets.issues import Issue
from visionzoo.datasets.json_objects import read_json
from visionzoo.datasets.tiny import resolve_data_root


def stated_records(settings: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[Issue]]:
    """Return one record for each image of a file, in the form of :class:`~visionzoo.datasets.coco.CocoDetection`.

    A record has ``classes``, the names in label order, and ``has_masks``: True if an object of the file has a mask. The
    issues are the changes that the conversion of another format to COCO made.

    Args:
        settings: arguments of the data set. Its filters are not applied; ``every`` and ``not_every`` are.

    Raises:
        DataError: the file cannot be read.
    """
    root = resolve_data_root(settings.get("data_root") or "")
    record = read_json(root / converted_file(root, settings["ann_file"]))
    images, categories = (_entries(record, key) for key in ("images", "categories"))
    wanted = settings.get("classes") or (settings.get("metainfo") or {}).get("classes")
    labels = _labels(categories, [wanted] if isinstance(wanted, str) else wanted)
    annotations = _entries(record, "annotations")
    facts = {
        "has_masks": any(each.get("segmentation") for each in annotations),
        "classes": _names(categories, labels),
    }
    by_image = defaultdict(list)
    for each in annotations:
        instance = _instance(each, labels)
        if instance is not None:
            by_image[f"{each.get('image_id')}"].append(instance)
    folder = os.path.join(root, (settings.get("data_prefix") or {}).get("img") or "")
    records = [_record(image, folder, by_image) | facts for image in images if isinstance(image.get("file_name"), str)]
    keys = keys_of([each["img_path"] for each in records])
    records = chosen(records, keys, f"{root}", settings.get("every"), settings.get("not_every"))
    notes = (record.get("info") or {}).get("notes") or []
    return records, [Issue("changes when the annotations are read", f"{root}", f"{note}") for note in notes]


def _names(categories: Sequence[Mapping[str, Any]], labels: Mapping[str, int]) -> list[str]:
    names = {labels[key]: f"{each.get('name')}" for each in categories if (key := f"{each.get('id')}") in labels}
    return [names.get(label, f"{label}") for label in range(max(names, default=-1) + 1)]


def _entries(record: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    listed = record.get(key)
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


def _labels(categories: Sequence[Mapping[str, Any]], names: Sequence[str] | None) -> dict[str, int]:
    """Return the label of each category id as text."""
    known = {f"{each.get('id')}": f"{each.get('name')}" for each in categories}
    if names is not None:
        order = {name: label for label, name in enumerate(names)}
        return {key: order[name] for key, name in known.items() if name in order}
    in_order = sorted(known, key=lambda key: (not key.isdecimal(), int(key) if key.isdecimal() else 0, key))
    return {key: label for label, key in enumerate(in_order)}


def _instance(annotation: Mapping[str, Any], labels: Mapping[str, int]) -> dict[str, Any] | None:
    """Return an object; None for one of a class that is not used, or without a box of four numbers."""
    label, box = labels.get(f"{annotation.get('category_id')}"), annotation.get("bbox")
    try:
        x, y, width, height = np.array(box, np.float64).tolist()
    except (TypeError, ValueError):
        return None
    if label is None:
        return None
    known = {"mask": annotation["segmentation"]} if annotation.get("segmentation") is not None else {}
    facts = {"id": annotation.get("id"), "ignore_flag": int(annotation.get("iscrowd") in (1, "1", True))}
    return {"bbox": [x, y, x + width, y + height], "bbox_label": label, **facts, **known}


def _record(image: Mapping[str, Any], folder: str, by_image: Mapping[str, list]) -> dict[str, Any]:
    sides = {key: image[key] for key in ("height", "width") if isinstance(image.get(key), int)}
    path = os.path.join(folder, image["file_name"])
    return {"img_path": path, "img_id": image.get("id"), **sides, "instances": by_image.get(f"{image.get('id')}", [])}
