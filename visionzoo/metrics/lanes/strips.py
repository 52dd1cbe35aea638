"""Thick polylines, pixel for pixel as OpenCV draws them, without drawing most of them.

OpenCV fills a polygon and a disc for every step, though a lane's steps are a pixel or two long and thirty wide, so that
nearly all is painted thirty times. What a step covers is the same wherever it begins: a first and a last column for
each row. Of all steps of one direction, and of all discs, the outermost columns are found at once, and two lanes that
are one piece in every row are compared by these columns alone. Whatever else there is, OpenCV draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import cv2
import numpy as np
from numpy.lib.stride_tricks import as_strided

_LONGEST = 3  # pixels that a step may go along an axis
_WORTH_IT = 64  # steps
_FAR = 1 << 24  # beyond every column

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Strip:
    """The pixels of one thick polyline within an image.

    Attributes:
        box: left, top, right, bottom in pixels, the last two exclusive; nothing lies outside.
        drawn: (bottom - top, right - left) uint8, 0 and 1; None for a strip that ``sides`` describes.
        sides: (2, bottom - top) int32: first column of every row, counted from ``left``, and the last one negated;
            the first is ``_FAR`` where the row is empty. None for a strip that is not one piece in every row.
    """

    box: Box
    drawn: np.ndarray | None = None
    sides: np.ndarray | None = None

    @cached_property
    def mask(self) -> np.ndarray:
        """(bottom - top, right - left) uint8, 0 and 1."""
        if self.drawn is not None or self.sides is None:
            return np.zeros((0, 0), np.uint8) if self.drawn is None else self.drawn
        columns = np.arange(self.box[2] - self.box[0])
        first, last = self.sides[0, :, None], -self.sides[1, :, None]
        return ((columns >= first) & (columns <= last)).astype(np.uint8)

    @cached_property
    def area(self) -> int:
        """How many pixels it has."""
        if self.sides is not None:
            return int(np.maximum(1 - self.sides[0] - self.sides[1], 0).sum())
        return cv2.countNonZero(self.mask) if self.mask.size else 0


def draw_strip(corners: np.ndarray, size: tuple[int, int], width: int) -> Strip:
    """What ``cv2.polylines`` sets on an image.

    Args:
        corners: (n, 2) int32, (x, y).
        size: (width, height) of the image; lines are cut off at its border.
        width: of the line, pixels.
    """
    corners = _without_repeats(corners)
    box = _box_around(corners, size, _margin(width))
    shape = (box[3] - box[1], box[2] - box[0])
    if not all(shape):
        return Strip(box)
    moved = corners - np.array(box[:2], np.int32)
    run = _plain_run(moved, shape, width)
    sides = None if run is None else _all_sides(moved, *run, shape, width)
    return Strip(box, sides=sides) if sides is not None else Strip(box, _drawn(moved, shape, width))


def overlap(one: Strip, other: Strip) -> int:
    """How many pixels two strips share."""
    left, top = max(one.box[0], other.box[0]), max(one.box[1], other.box[1])
    right, bottom = min(one.box[2], other.box[2]), min(one.box[3], other.box[3])
    if left >= right or top >= bottom:
        return 0
    strips = (one, other)
    if one.sides is not None and other.sides is not None:
        shift = np.array([[one.box[0] - other.box[0]], [other.box[0] - one.box[0]]], np.int32)
        here, there = (s.sides[:, top - s.box[1] : bottom - s.box[1]] for s in strips if s.sides is not None)
        inner = np.maximum(here + shift, there)  # the later first column, the earlier last one
        return int(np.maximum(1 - inner[0] - inner[1], 0).sum())
    parts = (s.mask[top - s.box[1] : bottom - s.box[1], left - s.box[0] : right - s.box[0]] for s in strips)
    return cv2.countNonZero(cv2.bitwise_and(*parts))


def _without_repeats(corners: np.ndarray) -> np.ndarray:
    """The points of a polyline that differ from the one before, at least two: what they draw is the same."""
    if len(corners) <= 2:
        return corners
    x, y = corners.T
    moved = np.flatnonzero((x[1:] != x[:-1]) | (y[1:] != y[:-1]))
    return np.concatenate([corners[:1], corners[moved + 1]]) if len(moved) else corners[:2]


def _margin(width: int) -> int:
    """Pixels around a polyline's points that hold all that it covers."""
    return width // 2 + 2


def _box_around(corners: np.ndarray, size: tuple[int, int], margin: int) -> Box:
    """Cut off at the image's border alone, so that OpenCV draws the same in it as on the image."""
    if not len(corners):
        return (0, 0, 0, 0)
    left, top, width, height = cv2.boundingRect(corners)
    right, bottom = min(size[0], left + width + margin), min(size[1], top + height + margin)
    left, top = max(0, left - margin), max(0, top - margin)
    return left, top, max(left, right), max(top, bottom)


def _drawn(corners: np.ndarray, shape: tuple[int, int], width: int) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    cv2.polylines(mask, [corners], False, 1, width)
    return mask


# --- strips that are one piece in every row ---


def _plain_run(corners: np.ndarray, shape: tuple[int, int], width: int) -> tuple[int, int] | None:
    """First and last of the points that are far from the border; None unless steps between them can be stamped.

    Near the border OpenCV cuts its lines off, which can move pixels. A row of the rest is one piece only where the
    line never turns from up to down.
    """
    margin, (height, breadth) = _margin(width), shape
    if len(corners) < _WORTH_IT:
        return None
    x, y = corners.T
    far = np.flatnonzero((x >= margin) & (x < breadth - margin) & (y >= margin) & (y < height - margin))
    if len(far) < _WORTH_IT or far[-1] - far[0] + 1 != len(far):
        return None
    down = y[1:] - y[:-1]
    moves = np.diff(corners[far[0] : far[-1] + 1], axis=0)
    is_short = max(-int(moves.min()), int(moves.max())) <= _LONGEST
    if not is_short or down.min() < 0 < down.max():
        return None
    return int(far[0]), int(far[-1])


def _all_sides(corners: np.ndarray, first: int, last: int, shape: tuple[int, int], width: int) -> np.ndarray | None:
    """:attr:`Strip.sides`, of stamps and of what OpenCV draws near the border; None where a row has two pieces."""
    sides = _stamped(corners[first : last + 1], shape[0], width)
    if sides is None:
        return None
    for end in (corners[: first + 1], corners[last:]):
        if len(end) > 1 and not _add_drawn(sides, end, shape, width):
            return None
    return sides


def _add_drawn(sides: np.ndarray, corners: np.ndarray, shape: tuple[int, int], width: int) -> bool:
    """Widen rows by a polyline that OpenCV draws; False where a row of it has two pieces."""
    left, top, right, bottom = _box_around(corners, shape[::-1], _margin(width))
    if left >= right or top >= bottom:
        return True
    mask = _drawn(corners - np.array([left, top], np.int32), (bottom - top, right - left), width)
    first, behind = mask.argmax(axis=1), mask.shape[1] - mask[:, ::-1].argmax(axis=1)
    filled = mask.sum(axis=1)
    rows = np.flatnonzero(filled)
    if (filled != behind - first)[rows].any():
        return False
    here = sides[:, top:bottom]
    here[0, rows] = np.minimum(here[0, rows], first[rows] + left)
    here[1, rows] = np.minimum(here[1, rows], 1 - behind[rows] - left)
    return True


def _stamped(corners: np.ndarray, height: int, width: int) -> np.ndarray | None:
    """(2, H) int32: first column of every row, and its last one negated, so that both are the least of their kind.

    None where a step leaves a hole, as OpenCV's do for some widths.
    """
    sides = np.full((2, height), _FAR, np.int32)
    x, y = corners[:, 0], corners[:, 1].astype(np.intp)
    _stamp_all(sides, x, y, _stamp_of(0, 0, width))
    moves = corners[1:] - corners[:-1]
    numbers = (moves[:, 0] + _LONGEST) * (2 * _LONGEST + 1) + moves[:, 1] + _LONGEST
    for number in np.flatnonzero(np.bincount(numbers)).tolist():
        to_right, down = divmod(number, 2 * _LONGEST + 1)
        stamp = _stamp_of(to_right - _LONGEST, down - _LONGEST, width)
        if not stamp.is_whole:
            return None
        if not stamp.is_discs:
            chosen = np.flatnonzero(numbers == number)
            _stamp_all(sides, x[chosen], y[chosen], stamp)
    return sides


@dataclass(frozen=True)
class _Stamp:
    """What a step from (0, 0) covers.

    Attributes:
        top: its first row.
        sides: (2, rows, 1) int32, of every row from the last to the first: its first column, and its last one negated.
        is_whole: whether every row is one piece, and begins and ends where the discs at its ends do.
        is_discs: whether these discs cover the same.
    """

    top: int
    sides: np.ndarray
    is_whole: bool
    is_discs: bool


def _stamp_all(sides: np.ndarray, x: np.ndarray, y: np.ndarray, stamp: _Stamp) -> None:
    """Widen every row by what the stamp covers from all its starts."""
    height, tall = sides.shape[1], stamp.sides.shape[1]
    # row r is touched by starts in the rows from r - top - tall + 1 to r - top
    outer = np.full((2, height + tall - 1), _FAR, np.int32)
    rows = y + (stamp.top + tall - 1)
    np.minimum.at(outer[0], rows, x)
    np.minimum.at(outer[1], rows, -x)
    step = outer.strides[1]
    windows = as_strided(outer, (2, tall, height), (outer.strides[0], step, step), writeable=False)
    np.minimum(sides, (windows + stamp.sides).min(axis=1), out=sides)


@cache
def _stamp_of(x: int, y: int, width: int) -> _Stamp:
    """Drawn by OpenCV itself, once."""
    middle = width + 2 * _LONGEST + 4
    shape = (2 * middle + 1, 2 * middle + 1)
    step = _drawn(np.array([[middle, middle], [middle + x, middle + y]], np.int32), shape, width)
    discs = np.zeros(shape, np.uint8)
    for end in ((middle, middle), (middle + x, middle + y)):
        discs |= _drawn(np.array([end, end], np.int32), shape, width)
    rows = np.flatnonzero(step.any(axis=1))
    part = step[rows]
    first, last = part.argmax(axis=1) - middle, part.shape[1] - 1 - part[:, ::-1].argmax(axis=1) - middle
    sides = np.stack([first, -last]).astype(np.int32)[:, ::-1, None]
    same_rows = np.array_equal(step.max(axis=1), discs.max(axis=1))
    is_whole = same_rows and np.array_equal(part.sum(axis=1), last - first + 1)
    return _Stamp(int(rows[0]) - middle, sides, is_whole, np.array_equal(step, discs))
