"""Annotations of COCO files, completed where a field is optional."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def completed(annotation: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of an annotation with ``area`` and ``iscrowd``.

    A missing or null ``area`` is width times height of ``bbox``, in pixels. A missing or null ``iscrowd`` is 0.

    Args:
        annotation: one entry of ``annotations`` with ``bbox``, [x, y, width, height] in pixels.

    Example:
        >>> completed({"id": 4, "bbox": [0, 0, 3, 2], "area": None})
        {'id': 4, 'bbox': [0, 0, 3, 2], 'area': 6, 'iscrowd': 0}
    """
    entry = {**annotation, "area": annotation.get("area"), "iscrowd": annotation.get("iscrowd") or 0}
    if entry["area"] is None:
        _, _, width, height = annotation["bbox"]
        entry["area"] = width * height
    return entry
