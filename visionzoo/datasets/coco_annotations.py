"""Annotations of COCO files: optional fields are filled in, segmentations are checked."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

import numpy as np
from mmengine.logging import print_log

from visionzoo.errors import DataError, some_of

MOST_PIXELS = 1_000_000  # largest side and coordinate; beyond it, pycocotools overflows
_WHOLE = re.compile(r"[+-]?\d{1,40}", re.ASCII)


def number_of(label: Any) -> int | float | None:
    """Return the number that an id is or spells, or None.

    Example:
        >>> number_of(7), number_of("007"), number_of("img_7")
        (7, 7, None)
    """
    if isinstance(label, str):
        return int(label) if _WHOLE.fullmatch(label) else None
    return label if isinstance(label, int | float) else None


def in_order(labels: Iterable[Any]) -> list[Any]:
    """Return ids in the order of their numbers, then those that are not numbers in the order of their text.

    Example:
        >>> in_order(["10", "b", "9", "a"])
        ['9', '10', 'a', 'b']
    """
    listed = list(labels)
    if set(map(type, listed)) == {int}:
        return sorted(listed)
    numbers = {label: number_of(label) for label in listed}
    return sorted(listed, key=lambda label: (numbers[label] is None, numbers[label] or 0, str(label)))


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
    if isinstance(value, list) and value and all(_is_coordinate(item) for item in value):
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
    if not isinstance(given, list | tuple) or len(given) != 2 or not all(type(side) is int for side in given):
        return f"an RLE of size {given!r:.40}"
    if None not in size and tuple(given) != tuple(size):
        return f"an RLE of size {list(given)} in an image of {list(size)} (height, width)"
    if isinstance(counts, str):
        counts = _run_lengths(counts)
    if not isinstance(counts, list) or not counts:
        return None if isinstance(counts, bytes) and counts else "an RLE without counts"
    whole = all(type(count) is int and count >= 0 for count in counts) and sum(counts) == given[0] * given[1]
    return None if whole else "an RLE whose counts do not cover the image"


def _run_lengths(text: str) -> list[int]:
    """Decode the counts of a compressed RLE; [-1] if they are broken.

    Each character has five bits of a number and one bit that is set if more follow. From the fourth on, a number is
    the difference from the number before the last.
    """
    codes = np.frombuffer(text.encode(errors="replace"), np.uint8).astype(np.int64) - 48
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        return [-1] if text else []
    ends = np.flatnonzero((codes & 32) == 0)
    starts = np.concatenate([[0], ends[:-1] + 1])
    if (ends - starts).max() > 8:
        return [-1]
    shifts = 5 * (np.arange(len(codes)) - np.repeat(starts, ends - starts + 1))
    values = np.add.reduceat((codes & 31) << shifts, starts)
    values -= np.where(codes[ends] & 16, 1 << (shifts[ends] + 5), 0)  # the highest bit is the sign
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values.tolist()


def _polygon_problem(polygon: Any) -> str | None:
    if not isinstance(polygon, list) or not all(_is_coordinate(value) for value in polygon):
        return f"a polygon {polygon!r:.40}"
    return f"a polygon of {len(polygon)} numbers" if len(polygon) < 6 or len(polygon) % 2 else None


def _is_coordinate(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= MOST_PIXELS


def _are_polygons(values: list) -> bool:
    """Return True if all segmentations are valid lists of polygons; they are checked at once."""
    if set(map(type, values)) - {list} or not all(values):
        return False
    polygons = list(chain.from_iterable(values))
    if set(map(type, polygons)) - {list} or any(count < 6 or count % 2 for count in set(map(len, polygons))):
        return False
    numbers = list(chain.from_iterable(polygons))
    if set(map(type, numbers)) - {int, float}:
        return False
    try:
        return bool((np.abs(np.array(numbers, np.float64)) <= MOST_PIXELS).all())
    except OverflowError:
        return False


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
    annotations = record["annotations"]
    if _are_polygons([each.get("segmentation") for each in annotations if type(each.get("segmentation")) is not dict]):
        annotations = [each for each in annotations if type(each["segmentation"]) is dict]
    images = {image["id"]: image for image in record["images"]}
    problems, rewritten = [], 0
    for annotation in annotations:
        given = annotation.get("segmentation")
        annotation["segmentation"] = whole_segmentation(given)
        rewritten += annotation["segmentation"] is not given
        image = images.get(annotation["image_id"], {})
        problem = segmentation_problem(annotation["segmentation"], (image.get("height"), image.get("width")))
        if problem:
            problems.append(f"{problem} in annotation {annotation['id']!r:.40} of {image.get('file_name')}")
    if problems:
        raise DataError(
            path,
            expected=f"polygons or an RLE in every annotation because {reason}",
            found=f"{len(problems)} annotations without: {some_of(problems, most=3)}",
            advice="add outlines or masks, or use a config that needs only boxes, such as rcnet_retinanet",
        )
    if rewritten:
        note = (
            f"{path}: {rewritten} segmentations are a flat list or a list of one RLE, read as one polygon or this RLE"
        )
        print_log(note, "current", logging.WARNING)
