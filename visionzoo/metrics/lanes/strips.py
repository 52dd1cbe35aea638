"""Thick polylines with the same pixels as OpenCV draws, mostly computed without drawing.

OpenCV fills a polygon and a disc for every step of a polyline. The steps of a lane are one or two pixels long and
thirty wide, so most pixels are painted about thirty times. The pixels of a step do not depend on its position: each row
has a first and a last column. The outermost columns are computed at once for all steps of one direction, and for all
discs. If two lanes are one piece in every row, only these columns are compared. OpenCV draws all other cases.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import cv2
import numpy as np
from numpy.lib.stride_tricks import as_strided

_LONGEST = 3  # maximum length of a step along an axis, in pixels
_WORTH_IT = 64  # minimum number of steps for which stamps are faster
_FAR = 1 << 24  # larger than every column

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Strip:
    """The pixels of one thick polyline within an image.

    Attributes:
        box: left, top, right, bottom in pixels, the last two exclusive. It contains all pixels of the strip.
        drawn: (bottom - top, right - left) uint8, 0 and 1; None for a strip that ``sides`` describes.
        sides: (2, bottom - top) int32: the first column of every row, relative to ``left``, and the negated last
            column. The first is ``_FAR`` for an empty row. None for a strip that is not one piece in every row.
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
        """Number of pixels."""
        if self.sides is not None:
            return int(np.maximum(1 - self.sides[0] - self.sides[1], 0).sum())
        return cv2.countNonZero(self.mask) if self.mask.size else 0


def draw_strip(corners: np.ndarray, size: tuple[int, int], width: int) -> Strip:
    """Return the pixels that ``cv2.polylines`` sets on an image.

    Args:
        corners: (n, 2) int32, (x, y).
        size: (width, height) of the image. Lines are clipped at its border.
        width: width of the line in pixels.

    Example:
        >>> draw_strip(np.array([[2, 5], [7, 5]], np.int32), size=(20, 20), width=1).area
        6
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
    """Return the number of pixels that two strips share.

    Example:
        >>> corners = np.array([[2, 5], [7, 5]], np.int32)
        >>> overlap(draw_strip(corners, (20, 20), 1), draw_strip(corners + [4, 0], (20, 20), 1))
        2
    """
    left, top = max(one.box[0], other.box[0]), max(one.box[1], other.box[1])
    right, bottom = min(one.box[2], other.box[2]), min(one.box[3], other.box[3])
    if left >= right or top >= bottom:
        return 0
    strips = (one, other)
    if one.sides is not None and other.sides is not None:
        shift = np.array([[one.box[0] - other.box[0]], [other.box[0] - one.box[0]]], np.int32)
        here, there = (s.sides[:, top - s.box[1] : bottom - s.box[1]] for s in strips if s.sides is not None)
        inner = np.maximum(here + shift, there)  # the larger first column and the smaller last one (negated)
        return int(np.maximum(1 - inner[0] - inner[1], 0).sum())
    parts = (s.mask[top - s.box[1] : bottom - s.box[1], left - s.box[0] : right - s.box[0]] for s in strips)
    return cv2.countNonZero(cv2.bitwise_and(*parts))


def _without_repeats(corners: np.ndarray) -> np.ndarray:
    """Remove points that equal the one before them, but keep at least two. The drawn pixels do not change."""
    if len(corners) <= 2:
        return corners
    x, y = corners.T
    moved = np.flatnonzero((x[1:] != x[:-1]) | (y[1:] != y[:-1]))
    return np.concatenate([corners[:1], corners[moved + 1]]) if len(moved) else corners[:2]


def _margin(width: int) -> int:
    """Return the margin around the points of a polyline that contains all its pixels."""
    return width // 2 + 2


def _box_around(corners: np.ndarray, size: tuple[int, int], margin: int) -> Box:
    """Return a box that is clipped only at the image border, so that OpenCV draws the same pixels as on the image."""
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
    """Return the first and last point that are far from the border; None if the steps between them need drawing.

    Near the border OpenCV clips its lines, which can move pixels. Rows are one piece only if the line does not change
    between up and down.
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
    """Return :attr:`Strip.sides` from stamps, and from OpenCV near the border; None if a row has two pieces."""
    sides = _stamped(corners[first : last + 1], shape[0], width)
    if sides is None:
        return None
    for end in (corners[: first + 1], corners[last:]):
        if len(end) > 1 and not _add_drawn(sides, end, shape, width):
            return None
    return sides


def _add_drawn(sides: np.ndarray, corners: np.ndarray, shape: tuple[int, int], width: int) -> bool:
    """Widen rows by a polyline that OpenCV draws; return False if one of its rows has two pieces."""
    left, top, right, bottom = _box_around(corners, shape[::-1], _margin(width))
    if left >= right or top >= bottom:
        return True
    mask = _drawn(corners - np.array([left, top], np.int32), (bottom - top, right - left), width)
    first, end = mask.argmax(axis=1), mask.shape[1] - mask[:, ::-1].argmax(axis=1)
    filled = mask.sum(axis=1)
    rows = np.flatnonzero(filled)
    if (filled != end - first)[rows].any():
        return False
    here = sides[:, top:bottom]
    here[0, rows] = np.minimum(here[0, rows], first[rows] + left)
    here[1, rows] = np.minimum(here[1, rows], 1 - end[rows] - left)
    return True


def _stamped(corners: np.ndarray, height: int, width: int) -> np.ndarray | None:
    """Return the first column and the negated last column of every row, (2, H) int32, so that both are minima.

    The result is None if a step leaves a hole, as OpenCV's steps do for some widths.
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
    """Pixels of a step from (0, 0).

    Attributes:
        top: its first row.
        sides: (2, rows, 1) int32: the first column and the negated last column of every row, in reverse order of rows.
        is_whole: True if every row is one piece, and the rows are the same as those of the discs at both ends.
        is_discs: True if these discs cover the same pixels as the step.
    """

    top: int
    sides: np.ndarray
    is_whole: bool
    is_discs: bool


def _stamp_all(sides: np.ndarray, x: np.ndarray, y: np.ndarray, stamp: _Stamp) -> None:
    """Widen every row by the pixels of the stamp at all its start points."""
    height, tall = sides.shape[1], stamp.sides.shape[1]
    # start points in the rows from r - top - tall + 1 to r - top reach row r
    outer = np.full((2, height + tall - 1), _FAR, np.int32)
    rows = y + (stamp.top + tall - 1)
    np.minimum.at(outer[0], rows, x)
    np.minimum.at(outer[1], rows, -x)
    step = outer.strides[1]
    windows = as_strided(outer, (2, tall, height), (outer.strides[0], step, step), writeable=False)
    np.minimum(sides, (windows + stamp.sides).min(axis=1), out=sides)


@cache
def _stamp_of(x: int, y: int, width: int) -> _Stamp:
    """Let OpenCV draw the step once, and return it as a stamp."""
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
