"""Conversion of masks to COCO polygons along pixel edges; decoding a polygon returns the same mask."""

from __future__ import annotations

from collections import defaultdict
from functools import partial

import cv2
import numpy as np

Point = tuple[int, int]


def has_hole(mask: np.ndarray) -> bool:
    """Return True if the mask encloses background, which a COCO polygon would fill.

    Args:
        mask: (H, W) bool.

    Example:
        >>> has_hole(np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], dtype=bool))
        True
    """
    background = np.pad(~mask, 1, constant_values=True).astype(np.uint8)
    regions, _ = cv2.connectedComponents(background, connectivity=8)
    return regions > 2  # label 0 is the mask itself


def trace_outline(mask: np.ndarray) -> list[list[float]]:
    """Return one polygon ``[x0, y0, x1, y1, ...]`` for each part of a mask without holes.

    Args:
        mask: (H, W) bool.

    Convention:
        Pixel (row, column) covers x from column to column + 1 and y from row to row + 1.

    Example:
        >>> trace_outline(np.ones((1, 2), dtype=bool))
        [[0.0, 0.0, 2.0, 0.0, 2.0, 1.0, 0.0, 1.0]]
    """
    following = _directed_edges(mask)
    polygons = []
    while following:
        loop = _walk(following)
        polygons.append([float(value) for point in _corners(loop) for value in point])
    return polygons


def _directed_edges(mask: np.ndarray) -> dict[Point, list[Point]]:
    """Return the ends of the unit edges between mask and background, by start; the mask is on the right (y down)."""
    padded = np.pad(mask, 1)
    edges: dict[Point, list[Point]] = defaultdict(list)
    inside = padded[1:-1, 1:-1]
    sides = (  # neighbour, then start and end of the edge as offsets from the pixel's corner
        (padded[:-2, 1:-1], (0, 0), (1, 0)),
        (padded[1:-1, 2:], (1, 0), (1, 1)),
        (padded[2:, 1:-1], (1, 1), (0, 1)),
        (padded[1:-1, :-2], (0, 1), (0, 0)),
    )
    for neighbour, start, end in sides:
        for y, x in np.argwhere(inside & ~neighbour).tolist():
            edges[x + start[0], y + start[1]].append((x + end[0], y + end[1]))
    return edges


def _walk(following: dict[Point, list[Point]]) -> list[Point]:
    """Remove one closed loop from ``following``; at a corner where two parts touch, stay on the same part."""
    start = at = next(iter(following))
    before = at
    loop = []
    while True:
        loop.append(at)
        ends = following[at]
        end = max(ends, key=partial(_right_turn, before, at))
        ends.remove(end)
        if not ends:
            del following[at]
        before, at = at, end
        if at == start:
            return loop


def _right_turn(before: Point, at: Point, end: Point) -> int:
    """Return 1 for a right turn, 0 for no turn, -1 for a left turn (y points down)."""
    return (at[0] - before[0]) * (end[1] - at[1]) - (at[1] - before[1]) * (end[0] - at[0])


def _corners(loop: list[Point]) -> list[Point]:
    """Return the points of a closed loop where it changes direction."""
    around = zip(loop[-1:] + loop[:-1], loop, loop[1:] + loop[:1])
    return [at for before, at, end in around if _right_turn(before, at, end) != 0]
