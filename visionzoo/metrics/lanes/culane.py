"""CULane's F1, equal to the authors' C++ program: its numbers, its matching, and its answers to odd files.

Source: XingangPan/SCNN, tools/lane_evaluation (Pan et al., AAAI 2018). Two lanes are compared as strips of 30 pixels
that are drawn along their splines. The program draws both lanes of every pair on two empty images; here each lane
is drawn once, which gives the same pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from scipy.linalg.lapack import dptsv

from visionzoo.metrics.lanes.strips import Strip, draw_strip, overlap

SIZE = (1640, 590)  # width, height of CULane's images
LANE_WIDTH = 30
THRESHOLD = 0.5
STEPS = 50  # per piece of the spline

_TIGHT = 1e-2  # of an edge in the official matching
_FARTHEST = 2**30  # coordinates beyond are brought here, so that they are whole numbers of 32 bit


@dataclass(frozen=True)
class LaneMatches:
    """What one image gives.

    Attributes:
        similarity: (A, D) float64, IoU of A annotated and D detected lanes; NaN where both are outside the image.
        match: for each annotated lane the detected one that counts as found, or -1.
        detections: D.
    """

    similarity: np.ndarray
    match: tuple[int, ...]
    detections: int

    @property
    def counts(self) -> LaneCounts:
        """True positives, false positives and false negatives."""
        found = sum(index >= 0 for index in self.match)
        return LaneCounts(found, self.detections - found, len(self.match) - found)


@dataclass(frozen=True)
class LaneCounts:
    """Sums over images, and what follows from them.

    ``precision`` is -1 where nothing was detected and ``recall`` -1 where nothing was annotated, as the official
    program has it; ``f1`` is then 0, as it is without a true positive.
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0

    def __add__(self, other: LaneCounts) -> LaneCounts:
        return LaneCounts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    @property
    def precision(self) -> float:
        """In [0, 1], or -1."""
        return self.tp / (self.tp + self.fp) if self.tp + self.fp else -1.0

    @property
    def recall(self) -> float:
        """In [0, 1], or -1."""
        return self.tp / (self.tp + self.fn) if self.tp + self.fn else -1.0

    @property
    def f1(self) -> float:
        """In [0, 1]."""
        return 2 * self.precision * self.recall / (self.precision + self.recall) if self.tp else 0.0


def count_matches(
    anno_lanes: Sequence[np.ndarray],
    det_lanes: Sequence[np.ndarray],
    *,
    size: tuple[int, int] = SIZE,
    width: int = LANE_WIDTH,
    threshold: float = THRESHOLD,
) -> LaneMatches:
    """Compare the lanes of one image.

    Args:
        anno_lanes, det_lanes: (n, 2) arrays of (x, y) pixels. A lane of fewer than two points is like no other, but
            counts: a blank line of a detection file is a false positive.
        size: (width, height) of the image.
        width: of a drawn lane, pixels. In images of another size it has to grow and shrink with them.
        threshold: a pair counts above this IoU: 0.5, and 0.3 as the paper also reports.
    """
    similarity = lane_iou(anno_lanes, det_lanes, size=size, width=width)
    paired = match_lanes(similarity)
    match = tuple(
        column if column >= 0 and similarity[row, column] > threshold else -1 for row, column in enumerate(paired)
    )
    return LaneMatches(similarity, match, len(det_lanes))


def lane_iou(
    anno_lanes: Sequence[np.ndarray],
    det_lanes: Sequence[np.ndarray],
    *,
    size: tuple[int, int] = SIZE,
    width: int = LANE_WIDTH,
) -> np.ndarray:
    """(A, D) float64: intersection over union of the drawn lanes; NaN where both are outside the image."""
    annotated = [draw_lane(lane, size=size, width=width) for lane in anno_lanes]
    detected = [draw_lane(lane, size=size, width=width) for lane in det_lanes]
    values = [[_iou(left, right) for right in detected] for left in annotated]
    return np.array(values, dtype=np.float64).reshape(len(annotated), len(detected))


def spline_points(points: np.ndarray, steps: int = STEPS) -> np.ndarray:
    """The natural cubic spline through a lane, (m, 2) float32, with ``steps`` points for each piece and the last point.

    x and y are splines of the length of the polyline so far. Two points stay as they are. Two equal points in a row
    leave the official program with a division by zero, and the lane with no pixels that mean anything: (0, 2).

    Args:
        points: (n, 2), at least two; read as float32, as the program does.
        steps: equal ones of the parameter.
    """
    knots = np.asarray(points, dtype=np.float32).reshape(-1, 2)
    if len(knots) < 3:
        return knots
    # differences in float32 before all else is in float64, as in C++
    moves = (knots[1:] - knots[:-1]).astype(np.float64)
    lengths = np.hypot(moves[:, 0], moves[:, 1])
    if not lengths.all():
        return np.empty((0, 2), np.float32)
    curve = _powers(steps) @ _polynomials(knots, moves, lengths)
    return np.concatenate([curve.reshape(-1, 2).astype(np.float32), knots[-1:]])


def _polynomials(knots: np.ndarray, moves: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """(n - 1, 4, 2): factors of 1, t, t^2 and t^3 of every piece, t from 0 to 1."""
    h = lengths[:, None]
    slopes = moves / h
    # second derivatives, zero at both ends; the system is symmetric and positive definite
    second = np.zeros((len(knots), 2))
    beside = lengths[1:-1] if len(knots) > 3 else np.zeros(1)  # the routine takes no empty array
    second[1:-1] = dptsv(2 * (lengths[:-1] + lengths[1:]), beside, 6 * (slopes[1:] - slopes[:-1]))[2]
    pieces = np.empty((len(h), 4, 2))
    pieces[:, 0] = knots[:-1]
    pieces[:, 1] = moves - h * h * (2 * second[:-1] + second[1:]) / 6
    pieces[:, 2] = h * h * second[:-1] / 2
    pieces[:, 3] = h * h * (second[1:] - second[:-1]) / 6
    return pieces


@cache
def _powers(steps: int) -> np.ndarray:
    """(steps, 4): 1, t, t^2, t^3 at equal steps from 0 to below 1."""
    return (np.arange(steps) / steps)[:, None] ** np.arange(4)


def draw_lane(points: np.ndarray, *, size: tuple[int, int] = SIZE, width: int = LANE_WIDTH) -> Strip | None:
    """A lane's spline as a strip of pixels, the program's own; None for a lane of fewer than two points.

    Coordinates are rounded half to even.
    """
    if len(points) < 2:
        return None
    corners = np.rint(spline_points(points)).clip(-_FARTHEST, _FARTHEST).astype(np.int32)
    return draw_strip(corners, size, width)


def _iou(one: Strip | None, other: Strip | None) -> float:
    if one is None or other is None:
        return 0.0
    both = overlap(one, other)
    union = one.area + other.area - both
    return both / union if union else float("nan")


# --- matching ---


def match_lanes(similarity: np.ndarray) -> list[int]:
    """For each row the column that the official Kuhn-Munkres pairs it with, or -1.

    The smaller side is the one whose lanes look for a partner. An edge counts as tight within 0.01, so that now and
    then the sum is a little below the largest one; NaN ends the search, as it does there.
    """
    rows, columns = similarity.shape
    if not rows or not columns:
        return [-1] * rows
    if rows <= columns:
        return _Bipartite(similarity.tolist()).matched()
    found = [-1] * rows
    for column, row in enumerate(_Bipartite(similarity.T.tolist()).matched()):
        if row >= 0:
            found[row] = column
    return found


@dataclass
class _Bipartite:
    """Kuhn-Munkres with labels; ``weights`` are rows of the smaller side."""

    weights: list[list[float]]
    left: list[float] = field(init=False)
    right: list[float] = field(init=False)
    partner: list[int] = field(init=False)  # of each column
    seen: tuple[set[int], set[int]] = field(init=False)

    def __post_init__(self) -> None:
        columns = len(self.weights[0])
        # comparisons with NaN are false, so that a row of nothing else keeps the start value
        self.left = [max([-1e5, *(value for value in row if value == value)]) for row in self.weights]
        self.right, self.partner = [0.0] * columns, [-1] * columns

    def matched(self) -> list[int]:
        """The column of each row, or -1."""
        for row in range(len(self.weights)):
            if not self._placed(row):
                break
        found = [-1] * len(self.weights)
        for column, row in enumerate(self.partner):
            if row >= 0:
                found[row] = column
        return found

    def _placed(self, row: int) -> bool:
        """Whether the row found a partner; others may have moved for it."""
        while True:
            self.seen = set(), set()
            if self._find(row):
                return True
            slack = self._slack()
            if slack is None:
                return False
            for index in self.seen[0]:
                self.left[index] -= slack
            for index in self.seen[1]:
                self.right[index] += slack

    def _find(self, row: int) -> bool:
        self.seen[0].add(row)
        for column, weight in enumerate(self.weights[row]):
            tight = abs(self.left[row] + self.right[column] - weight) < _TIGHT
            if column in self.seen[1] or not tight:
                continue
            self.seen[1].add(column)
            if self.partner[column] < 0 or self._find(self.partner[column]):
                self.partner[column] = row
                return True
        return False

    def _slack(self) -> float | None:
        """The least that labels have to change by for another tight edge; None when no number says it."""
        open_columns = [column for column in range(len(self.right)) if column not in self.seen[1]]
        slacks = (
            self.left[row] + self.right[column] - self.weights[row][column]
            for row in self.seen[0]
            for column in open_columns
        )
        return min((slack for slack in slacks if slack == slack), default=None)
