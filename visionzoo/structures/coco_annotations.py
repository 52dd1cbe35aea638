"""Annotations of COCO files: optional fields are filled in, segmentations are checked."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from math import isfinite
from typing import Any

from mmengine.logging import print_log

from visionzoo.errors import DataError, some_of


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


def whole_segmentation(value: Any) -> Any:
    """Return a segmentation in COCO's form, where another form has one obvious meaning.

    A flat list of numbers is one polygon, and a list of one RLE is this RLE. Other values are returned unchanged.

    Example:
        >>> whole_segmentation([0, 0, 4, 0, 4, 4])
        [[0, 0, 4, 0, 4, 4]]
        >>> whole_segmentation([{"size": [2, 2], "counts": [4]}])
        {'size': [2, 2], 'counts': [4]}
    """
    if isinstance(value, list) and value and all(_is_number(item) for item in value):
        return [value]
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        return value[0]
    return value


def segmentation_problem(value: Any, size: tuple[int | None, int | None]) -> str | None:
    """Return what is wrong with a segmentation, or None for a valid one.

    Args:
        value: ``segmentation`` of an annotation: a list of polygons [x1, y1, x2, y2, ...] of at least three points in
            pixels, or an RLE with ``size`` and ``counts``.
        size: (height, width) of the image in pixels; (None, None) if unknown.

    Example:
        >>> segmentation_problem([[0, 0, 4, 0]], (8, 8))
        'a polygon of 4 numbers'
    """
    if not value:
        return "no segmentation"
    if isinstance(value, dict):
        return _rle_problem(value, size)
    if not isinstance(value, list):
        return f"{value!r:.40}"
    return next((problem for polygon in value if (problem := _polygon_problem(polygon))), None)


def _rle_problem(rle: dict, size: tuple[int | None, int | None]) -> str | None:
    given, counts = rle.get("size"), rle.get("counts")
    if not isinstance(given, list | tuple) or len(given) != 2 or not all(isinstance(side, int) for side in given):
        return f"an RLE of size {given!r:.40}"
    if None not in size and tuple(given) != tuple(size):
        return f"an RLE of size {list(given)} in an image of {list(size)} (height, width)"
    if isinstance(counts, list):
        whole = all(isinstance(count, int) and count >= 0 for count in counts) and sum(counts) == given[0] * given[1]
        return None if whole else "an RLE whose counts do not cover the image"
    return None if isinstance(counts, str | bytes) and counts else "an RLE without counts"


def _polygon_problem(polygon: Any) -> str | None:
    if not isinstance(polygon, list) or not all(_is_number(value) for value in polygon):
        return f"a polygon {polygon!r:.40}"
    return f"a polygon of {len(polygon)} numbers" if len(polygon) < 6 or len(polygon) % 2 else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def require_segmentations(path: object, record: Mapping[str, Any], reason: str) -> None:
    """Raise an error unless every annotation has a valid segmentation; bring each into COCO's form.

    Args:
        path: file of the annotations, for the error.
        record: content of the file. Its annotations are changed.
        reason: why masks are needed, for the error.

    Raises:
        DataError: states the number of annotations without a valid segmentation, and the first three.

    A warning states the number of segmentations in another form.
    """
    sizes = {image["id"]: (image.get("height"), image.get("width")) for image in record["images"]}
    problems, rewritten = [], 0
    for annotation in record["annotations"]:
        given = annotation.get("segmentation")
        annotation["segmentation"] = whole_segmentation(given)
        rewritten += annotation["segmentation"] is not given
        size = sizes.get(annotation["image_id"], (None, None))
        problem = segmentation_problem(annotation["segmentation"], size)
        if problem:
            problems.append(f"{problem} in annotation {annotation['id']}")
    if problems:
        raise DataError(
            path,
            expected=f"polygons or an RLE in every annotation because {reason}",
            found=f"{len(problems)} annotations without: {some_of(problems, most=3)}",
            advice="correct the file, or use a config that needs only boxes",
        )
    if rewritten:
        note = (
            f"{path}: {rewritten} segmentations are a flat list or a list of one RLE, read as one polygon or this RLE"
        )
        print_log(note, "current", logging.WARNING)
