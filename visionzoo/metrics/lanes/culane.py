"""CULane's F1, equal to the authors' C++ program in its numbers, its matching and its handling of unusual files.

Source: XingangPan/SCNN, tools/lane_evaluation (Pan et al., AAAI 2018). Two lanes are compared as strips that are 30
pixels wide and drawn along their splines. The program draws both lanes of every pair on two empty images. Here each
lane is drawn once, with the same pixels.
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
STEPS = 50  # points per piece of the spline

_TIGHT = 1e-2  # tolerance of a tight edge in the official matching
_FARTHEST = 2**30  # coordinates are clipped to this value, so that they fit into 32-bit integers


@dataclass(frozen=True)
class LaneMatches:
    """Matching of the lanes of one image.

    Attributes:
        similarity: (A, D) float64, IoU of A annotated and D detected lanes; NaN if both are outside the image.
        match: for each annotated lane the index of its detected lane, or -1 if it is not found.
        detections: number of detected lanes, D.
    """

    similarity: np.ndarray
    match: tuple[int, ...]
    detections: int

    @property
    def counts(self) -> LaneCounts:
        """True positives, false positives and false negatives."""
        matched = sum(index >= 0 for index in self.match)
        return LaneCounts(matched, self.detections - matched, len(self.match) - matched)


@dataclass(frozen=True)
class LaneCounts:
    """Counts summed over images, and the measures computed from them.

    ``precision`` is -1 without detections and ``recall`` is -1 without annotations, as in the official program. ``f1``
    is then 0, as it is without a true positive.

    Attributes:
        tp: number of true positives.
        fp: number of false positives.
        fn: number of false negatives.

    Example:
        >>> counts = LaneCounts(tp=1, fp=1) + LaneCounts(tp=2, fn=2)
        >>> counts.precision, counts.recall
        (0.75, 0.6)
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
        anno_lanes, det_lanes: (n, 2) arrays of (x, y) pixels. A lane of fewer than two points matches no other lane
            but counts: a blank line of a detection file is a false positive.
        size: (width, height) of the image.
        width: width of a drawn lane in pixels. It must be scaled with the size of the image.
        threshold: a pair matches if its IoU is above this value: 0.5, or 0.3 as the paper also reports.

    Returns:
        The IoU of all pairs and the matching.

    Example:
        >>> lane = np.array([[20.0, 90.0], [60.0, 10.0]])
        >>> count_matches([lane], [lane + 50, lane], size=(100, 100), width=5).counts
        LaneCounts(tp=1, fp=1, fn=0)
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
    """Compute the intersection over union of the drawn lanes.

    Args:
        anno_lanes, det_lanes: A and D arrays, (n, 2), of (x, y) pixels.
        size: (width, height) of the image.
        width: width of a drawn lane in pixels.

    Returns:
        (A, D) float64; NaN if both lanes are outside the image.

    Example:
        >>> lane = np.array([[20.0, 90.0], [60.0, 10.0]])
        >>> lane_iou([lane], [lane, lane + 50], size=(100, 100), width=5)
        array([[1., 0.]])
    """
    annotated = [draw_lane(lane, size=size, width=width) for lane in anno_lanes]
    detected = [draw_lane(lane, size=size, width=width) for lane in det_lanes]
    values = [[_iou(left, right) for right in detected] for left in annotated]
    return np.array(values, dtype=np.float64).reshape(len(annotated), len(detected))


def spline_points(points: np.ndarray, steps: int = STEPS) -> np.ndarray:
    """Interpolate a lane by a natural cubic spline.

    x and y are splines over the length of the polyline. Two points are returned unchanged. Two equal points in a row
    cause a division by zero in the official program, whose pixels are then meaningless; here the lane is empty.

    Args:
        points: (n, 2), at least two points; converted to float32, as in the official program.
        steps: number of points per piece, at equal steps of the parameter.

    Returns:
        (m, 2) float32: ``steps`` points for each piece, then the last point; (0, 2) with equal points in a row.

    Example:
        >>> spline_points(np.array([[0, 0], [3, 4], [6, 8]]), steps=2).tolist()
        [[0.0, 0.0], [1.5, 2.0], [3.0, 4.0], [4.5, 6.0], [6.0, 8.0]]
    """
    knots = np.asarray(points, dtype=np.float32).reshape(-1, 2)
    if len(knots) < 3:
        return knots
    # differences are in float32 and all later steps in float64, as in the C++ program
    moves = (knots[1:] - knots[:-1]).astype(np.float64)
    lengths = np.hypot(moves[:, 0], moves[:, 1])
    if not lengths.all():
        return np.empty((0, 2), np.float32)
    curve = _powers(steps) @ _polynomials(knots, moves, lengths)
    return np.concatenate([curve.reshape(-1, 2).astype(np.float32), knots[-1:]])


def _polynomials(knots: np.ndarray, moves: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the factors of 1, t, t^2 and t^3 of every piece, (n - 1, 4, 2); t is in [0, 1]."""
    h = lengths[:, None]
    slopes = moves / h
    # second derivatives, zero at both ends; the system is symmetric and positive definite
    second = np.zeros((len(knots), 2))
    beside = lengths[1:-1] if len(knots) > 3 else np.zeros(1)  # dptsv does not accept an empty array
    second[1:-1] = dptsv(2 * (lengths[:-1] + lengths[1:]), beside, 6 * (slopes[1:] - slopes[:-1]))[2]
    pieces = np.empty((len(h), 4, 2))
    pieces[:, 0] = knots[:-1]
    pieces[:, 1] = moves - h * h * (2 * second[:-1] + second[1:]) / 6
    pieces[:, 2] = h * h * second[:-1] / 2
    pieces[:, 3] = h * h * (second[1:] - second[:-1]) / 6
    return pieces


@cache
def _powers(steps: int) -> np.ndarray:
    """Return 1, t, t^2 and t^3, (steps, 4), at equal steps of t in [0, 1)."""
    return (np.arange(steps) / steps)[:, None] ** np.arange(4)


def draw_lane(points: np.ndarray, *, size: tuple[int, int] = SIZE, width: int = LANE_WIDTH) -> Strip | None:
    """Draw the spline of a lane as a strip of pixels, the same pixels as in the official program.

    Args:
        points: (n, 2) points (x, y) in pixels. Coordinates of the spline are rounded half to even.
        size: (width, height) of the image.
        width: width of the drawn lane in pixels.

    Returns:
        The strip; None for a lane of fewer than two points.

    Example:
        >>> draw_lane(np.array([[10.0, 5.0], [10.0, 14.0]]), size=(20, 20), width=1).area
        10
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
    """Match lanes by the official variant of the Kuhn-Munkres algorithm.

    The search starts from the side with fewer lanes. An edge counts as tight within 0.01, so the sum of the matches is
    sometimes slightly below the maximum. NaN ends the search. Both are as in the official program.

    Args:
        similarity: (A, D) float64, IoU of annotated and detected lanes.

    Returns:
        For each row its column, or -1.

    Example:
        >>> match_lanes(np.array([[0.2, 0.9, 0.1], [0.3, 0.8, 0.0]]))
        [1, 0]
    """
    rows, columns = similarity.shape
    if not rows or not columns:
        return [-1] * rows
    if rows <= columns:
        return _Bipartite(similarity.tolist()).matched()
    matches = [-1] * rows
    for column, row in enumerate(_Bipartite(similarity.T.tolist()).matched()):
        if row >= 0:
            matches[row] = column
    return matches


@dataclass
class _Bipartite:
    """Kuhn-Munkres algorithm with labels. The rows of ``weights`` belong to the side with fewer lanes."""

    weights: list[list[float]]
    left: list[float] = field(init=False)
    right: list[float] = field(init=False)
    partner: list[int] = field(init=False)  # row of each column, or -1
    seen: tuple[set[int], set[int]] = field(init=False)

    def __post_init__(self) -> None:
        columns = len(self.weights[0])
        # comparisons with NaN are false in the official program, so a row of only NaN keeps the start value
        self.left = [max([-1e5, *(value for value in row if value == value)]) for row in self.weights]
        self.right, self.partner = [0.0] * columns, [-1] * columns

    def matched(self) -> list[int]:
        """Return the column of each row, or -1."""
        for row in range(len(self.weights)):
            if not self._placed(row):
                break
        columns = [-1] * len(self.weights)
        for column, row in enumerate(self.partner):
            if row >= 0:
                columns[row] = column
        return columns

    def _placed(self, row: int) -> bool:
        """Find a partner for the row, and return True on success. Other rows may change their partner."""
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
        """Return the smallest change of labels that makes another edge tight; None if all are NaN or none is left."""
        open_columns = [column for column in range(len(self.right)) if column not in self.seen[1]]
        slacks = (
            self.left[row] + self.right[column] - self.weights[row][column]
            for row in self.seen[0]
            for column in open_columns
        )
        return min((slack for slack in slacks if slack == slack), default=None)
