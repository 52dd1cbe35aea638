"""Masks of referred objects: sums over the polygons of an annotation, and their areas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask as rle

from visionzoo.datasets.coco_annotations import segmentation_problem, whole_segmentation


def parts_of(segmentation: Any) -> list[Any]:
    """Return the polygons and RLEs of a segmentation. RefClef has lists of RLEs.

    Example:
        >>> parts_of([0, 0, 4, 0, 4, 4])
        [[0, 0, 4, 0, 4, 4]]
    """
    whole = whole_segmentation(segmentation)
    return whole if isinstance(whole, list) else [whole]


def problem_of(segmentation: Any, size: Sequence[int]) -> str | None:
    """Return what is wrong with a segmentation in an image of ``size`` (H, W), or None for a valid one.

    Example:
        >>> problem_of([[9, 1, 12, 1, 12, 3]], (4, 6)), problem_of([], (4, 6))
        ('a polygon outside the image of 6x4 pixels', 'no segmentation')
    """
    parts = parts_of(segmentation)
    if not parts or parts == [None]:
        return "no segmentation"
    height, width = size
    for part in parts:
        problem = segmentation_problem([part] if isinstance(part, list) else part, (height, width))
        if problem:
            return problem
    if all(isinstance(part, list) and _is_outside(part, size) for part in parts):
        return f"a polygon outside the image of {width}x{height} pixels"
    return None


def is_partly_outside(segmentation: Any, size: Sequence[int]) -> bool:
    """Return True if a polygon is more than a pixel beyond the border of an image of ``size`` (H, W)."""
    height, width = size
    return any(
        min(part) < -1 or max(part[::2]) > width + 1 or max(part[1::2]) > height + 1
        for part in parts_of(segmentation)
        if isinstance(part, list)
    )


def _is_outside(polygon: Sequence[float], size: Sequence[int]) -> bool:
    xs, ys = polygon[::2], polygon[1::2]
    return max(xs) <= 0 or max(ys) <= 0 or min(xs) >= size[1] or min(ys) >= size[0]


def _codes(segmentation: Any, size: Sequence[int]) -> list[Any]:
    height, width = size
    codes = []
    for part in parts_of(segmentation):
        if isinstance(part, list):
            codes += rle.frPyObjects([part], height, width)
        else:
            codes.append(rle.frPyObjects(part, height, width) if isinstance(part["counts"], list) else part)
    return codes


def mask_sum(segmentation: Any, size: Sequence[int]) -> np.ndarray:
    """Return the number of polygons that cover each pixel.

    Args:
        segmentation: polygons [x1, y1, x2, y2, ...] in pixels, or one or several RLEs.
        size: (H, W) of the image.

    Returns:
        (H, W) uint8.

    Example:
        >>> mask_sum([[0, 0, 2, 0, 2, 2, 0, 2], [1, 0, 3, 0, 3, 2, 1, 2]], (2, 4)).tolist()
        [[1, 2, 1, 0], [1, 2, 1, 0]]
    """
    return rle.decode(_codes(segmentation, size)).sum(axis=2, dtype=np.uint8)


def area_of(segmentation: Any, size: Sequence[int]) -> int:
    """Return the sum of the areas of all polygons in pixels. An area that several of them cover counts each time.

    Example:
        >>> area_of([[0, 0, 2, 0, 2, 2, 0, 2], [1, 0, 3, 0, 3, 2, 1, 2]], (2, 4))
        8
    """
    return int(rle.area(_codes(segmentation, size)).sum())


def mask_of(segments: Sequence[Any], size: Sequence[int], *, legacy_overlap: bool = False) -> np.ndarray:
    """Return the pixels of all referred objects.

    Args:
        segments: one segmentation for each object; empty if the phrase means none.
        size: (H, W) of the image.
        legacy_overlap: leave out the pixels that two polygons of an object cover, as LAVT does.

    Returns:
        (H, W) bool.

    Example:
        >>> squares = [[0, 0, 2, 0, 2, 2, 0, 2], [1, 0, 3, 0, 3, 2, 1, 2]]
        >>> mask_of([squares], (1, 4)).tolist(), mask_of([squares], (1, 4), legacy_overlap=True).tolist()
        ([[True, True, True, False]], [[True, False, True, False]])
    """
    mask = np.zeros(tuple(size), bool)
    for segmentation in segments:
        covered = mask_sum(segmentation, size)
        mask |= covered == 1 if legacy_overlap else covered > 0
    return mask
