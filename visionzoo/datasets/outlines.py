"""Outlines of regions: lists of (x, y) points in pixels, counted from the upper left corner of the image."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

Point = tuple[float, float]
Outline = Sequence[Point]
Box = tuple[float, float, float, float]  # left, top, right and bottom edge


def corners_of(box: Box) -> list[Point]:
    """Return the corners of a box, clockwise from the upper left one.

    Example:
        >>> corners_of((1, 2, 5, 9))
        [(1, 2), (5, 2), (5, 9), (1, 9)]
    """
    left, top, right, bottom = box
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def bounds_of(outlines: Iterable[Outline]) -> Box:
    """Return the left, top, right and bottom edge of the points of all outlines.

    Example:
        >>> bounds_of([[(1, 2), (5, 9)], [(0, 3)]])
        (0, 2, 5, 9)
    """
    xs, ys = zip(*(point for outline in outlines for point in outline), strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def area_of(outline: Outline) -> float:
    """Return the area that an outline encloses, in square pixels.

    Example:
        >>> area_of([(0, 0), (4, 0), (4, 3)])
        6.0
    """
    following = [*outline[1:], outline[0]]
    return abs(sum(x * next_y - next_x * y for (x, y), (next_x, next_y) in zip(outline, following, strict=True))) / 2


def ellipse(center: Point, radii: Point, degrees: float = 0.0) -> list[Point]:
    """Return an ellipse as a polygon that is nowhere more than 0.1 pixel inside it.

    Args:
        center: (x, y) in pixels.
        radii: the two radii in pixels.
        degrees: clockwise angle of the first radius to the x axis, in the image.

    Example:
        >>> [(round(x), round(y)) for x, y in ellipse((10, 20), (4, 3))[::4]]
        [(14, 20), (10, 23), (6, 20), (10, 17)]
    """
    largest = max(*radii, 0.1)
    count = math.ceil(math.pi / math.acos(1 - min(0.1 / largest, 1.0)))
    count = 4 * max(math.ceil(count / 4), 3)
    angles = [2 * math.pi * number / count for number in range(count)]
    points = [(radii[0] * math.cos(angle), radii[1] * math.sin(angle)) for angle in angles]
    return turned([(center[0] + x, center[1] + y) for x, y in points], center, degrees)


def turned(outline: Outline, center: Point, degrees: float) -> list[Point]:
    """Return an outline turned clockwise, as the image shows it, about a point.

    Example:
        >>> turned([(2, 0)], (0, 0), 90)
        [(0.0, 2.0)]
    """
    if not degrees:
        return list(outline)
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    moved = ((x - center[0], y - center[1]) for x, y in outline)
    return [(round(center[0] + x * cos - y * sin, 9), round(center[1] + x * sin + y * cos, 9)) for x, y in moved]


def clip_outline(outline: Outline, width: float, height: float) -> list[Point]:
    """Return the part of an outline that is inside an image; empty if none is.

    This is the method of Sutherland and Hodgman: the outline is cut at each side of the image. Where the result has
    several parts, they are joined along the border.

    Example:
        >>> clip_outline([(2, 1), (12, 1), (12, 5), (2, 5)], 10, 20)
        [(2, 1), (10.0, 1.0), (10.0, 5.0), (2, 5)]
    """
    points = list(outline)
    for axis, limit, sign in ((0, 0.0, 1), (0, width, -1), (1, 0.0, 1), (1, height, -1)):
        points = _cut(points, axis, limit, sign)
    return points


def _cut(points: list[Point], axis: int, limit: float, sign: int) -> list[Point]:
    """Return the part of an outline on one side of a line."""
    kept: list[Point] = []
    for before, point in zip([*points[-1:], *points[:-1]], points, strict=True):
        inside, was_inside = (sign * (each[axis] - limit) >= 0 for each in (point, before))
        if inside != was_inside:
            share = (limit - before[axis]) / (point[axis] - before[axis])
            crossing = [before[other] + share * (point[other] - before[other]) for other in (0, 1)]
            crossing[axis] = float(limit)
            kept.append((crossing[0], crossing[1]))
        if inside:
            kept.append(point)
    return kept
