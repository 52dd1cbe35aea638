"""Masks as COCO polygons along the edges of pixels, so that decoding returns the same mask."""

from __future__ import annotations

from collections import defaultdict
from functools import partial

import cv2
import numpy as np

Point = tuple[int, int]


def has_hole(mask: np.ndarray) -> bool:
    """Whether background is enclosed: a COCO polygon would fill it.

    Args:
        mask: (H, W) bool.
    """
    background = np.pad(~mask, 1, constant_values=True).astype(np.uint8)
    regions, _ = cv2.connectedComponents(background, connectivity=8)
    return regions > 2  # label 0 is the mask itself


def trace_outline(mask: np.ndarray) -> list[list[float]]:
    """One polygon ``[x0, y0, x1, y1, ...]`` for each part of a mask without holes.

    Args:
        mask: (H, W) bool; pixel (row, column) covers x from column to column + 1.
    """
    following = _directed_edges(mask)
    polygons = []
    while following:
        loop = _walk(following)
        polygons.append([float(value) for point in _corners(loop) for value in point])
    return polygons


def _directed_edges(mask: np.ndarray) -> dict[Point, list[Point]]:
    """Start -> ends of the unit edges between mask and background, the mask on the right hand (y points down)."""
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
    """Take one closed loop out of ``following``; where two parts touch at a corner, stay on the own part."""
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
    """1 for a turn to the right, 0 straight on, -1 to the left (y points down)."""
    return (at[0] - before[0]) * (end[1] - at[1]) - (at[1] - before[1]) * (end[0] - at[0])


def _corners(loop: list[Point]) -> list[Point]:
    """The points of a closed loop where it changes direction."""
    around = zip(loop[-1:] + loop[:-1], loop, loop[1:] + loop[:1])
    return [at for before, at, end in around if _right_turn(before, at, end) != 0]
