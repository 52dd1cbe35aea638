"""Polygons of masks as COCONut's script for instances makes them.

The conversion loses information: holes become polygons that are filled, and thin parts vanish. It exists to compare
with published numbers. :func:`visionzoo.structures.detections.encode_mask` is lossless.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

TOLERANCE = 2.0  # pixels

# Middle of each side of a square of four pixel centres, in half pixels (row, column) from the first centre.
_TOP, _LEFT, _RIGHT, _BOTTOM = (0, 1), (1, 0), (1, 2), (2, 1)
# Parts of the outline in a square, from side to side, by the pixels that are set: 1 upper left, 2 upper right, 4 lower
# left, 8 lower right. Pixels that touch only at a corner are separate.
_PARTS = {
    1: ((_TOP, _LEFT),),
    2: ((_RIGHT, _TOP),),
    3: ((_RIGHT, _LEFT),),
    4: ((_LEFT, _BOTTOM),),
    5: ((_TOP, _BOTTOM),),
    6: ((_RIGHT, _TOP), (_LEFT, _BOTTOM)),
    7: ((_RIGHT, _BOTTOM),),
    8: ((_BOTTOM, _RIGHT),),
    9: ((_TOP, _LEFT), (_BOTTOM, _RIGHT)),
    10: ((_BOTTOM, _TOP),),
    11: ((_BOTTOM, _LEFT),),
    12: ((_LEFT, _RIGHT),),
    13: ((_TOP, _RIGHT),),
    14: ((_LEFT, _TOP),),
}
_Point = tuple[int, int]


def polygons_of(mask: np.ndarray, tolerance: float = TOLERANCE) -> list[list[float]]:
    """Return the polygons of a mask, simplified, as COCONut's script does.

    Outlines pass midway between the centres of a set pixel and of an unset one. Each is simplified by the method of
    Douglas and Peucker. Outlines of fewer than three points are left out, and negative coordinates become 0. The first
    point is repeated at the end.

    Args:
        mask: (H, W) bool.
        tolerance: largest distance in pixels of an outline from its polygon.

    Returns:
        Polygons [x1, y1, x2, y2, ...]; 0 is the centre of the first pixel.

    Example:
        >>> polygons_of(np.ones((4, 6), bool))
        [[5.0, 3.5, 0.0, 3.5, 0, 0.0, 5.0, 0, 5.0, 3.5]]
        >>> polygons_of(np.zeros((4, 6), bool))
        []
    """
    polygons = []
    for outline in outlines_of(mask):
        kept = simplified(outline, tolerance)
        if len(kept) >= 3:
            polygons.append([0 if value < 0 else value for value in kept[:, ::-1].ravel().tolist()])
    return polygons


def outlines_of(mask: np.ndarray) -> list[np.ndarray]:
    """Return the closed outlines of a mask, (N, 2) float64 each, as (row, column) of pixel centres.

    Outlines are in the order of their first part from the top, then from the left. Each begins where its last part in
    this order ends.

    Args:
        mask: (H, W) bool.

    Example:
        >>> outlines_of(np.array([[True]]))[0].tolist()
        [[0.5, 0.0], [0.0, -0.5], [-0.5, 0.0], [0.0, 0.5], [0.5, 0.0]]
    """
    following: dict[_Point, _Point] = {}
    numbers: dict[_Point, int] = {}
    for number, (start, end) in enumerate(_parts_of(mask)):
        following[start], numbers[start] = end, number
    loops = []
    while following:
        first = next(iter(following))
        loop = [first]
        while (end := following.pop(loop[-1])) != first:
            loop.append(end)
        last = max(range(len(loop)), key=lambda at: numbers[loop[at]])
        turned = loop[last + 1 :] + loop[: last + 1]
        loops.append(np.array([*turned, turned[0]], np.float64) / 2 - 1)  # 1: the margin of the mask
    return loops


def _parts_of(mask: np.ndarray) -> Iterator[tuple[_Point, _Point]]:
    """Yield start and end of the parts of all outlines in half pixels, row by row, of the mask with a margin of 1."""
    padded = np.pad(np.asarray(mask, bool), 1).astype(np.uint8)
    pattern = padded[:-1, :-1] + 2 * padded[:-1, 1:] + 4 * padded[1:, :-1] + 8 * padded[1:, 1:]
    rows, columns = np.nonzero((pattern > 0) & (pattern < 15))
    kinds = pattern[rows, columns].tolist()
    for row, column, kind in zip(rows.tolist(), columns.tolist(), kinds):
        for start, end in _PARTS[kind]:
            yield (2 * row + start[0], 2 * column + start[1]), (2 * row + end[0], 2 * column + end[1])


def simplified(outline: np.ndarray, tolerance: float) -> np.ndarray:
    """Return the points of a line that the method of Douglas and Peucker keeps, in their order.

    Args:
        outline: (N, 2) points; the first and the last are kept.
        tolerance: points up to this distance from the simplified line are left out.

    Example:
        >>> simplified(np.array([[0.0, 0.0], [0.0, 1.0], [0.0, 2.0]]), 0.5).tolist()
        [[0.0, 0.0], [0.0, 2.0]]
    """
    keep = np.zeros(len(outline), bool)
    keep[[0, -1]] = True
    spans = [(0, len(outline) - 1)]
    while spans:
        first, last = spans.pop()
        distances = _distances(outline[first + 1 : last], outline[first], outline[last])
        if (distances > tolerance).any():
            middle = first + 1 + int(distances.argmax())
            keep[middle] = True
            spans += [(middle, last), (first, middle)]
    return outline[keep]


def _distances(points: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Return the distances of points from the line between two points.

    The line is described by its angle, as in scikit-image, because rounding decides between points of equal distance.
    """
    rows, columns = last - first
    angle = -np.arctan2(rows, columns)
    offset = first[1] * np.sin(angle) + first[0] * np.cos(angle)
    from_first, from_last = points - first, points - last
    is_beside = (from_first @ (last - first) > 0) & (from_last @ (first - last) > 0)
    beside = np.abs(points[:, 0] * np.cos(angle) + points[:, 1] * np.sin(angle) - offset)
    beyond = np.minimum(np.hypot(*from_first.T), np.hypot(*from_last.T))
    return np.where(is_beside, beside, beyond)
