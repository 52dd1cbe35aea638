"""TuSimple's accuracy, false positives and false negatives as in its benchmark, and an F1 without its quirks.

Source: TuSimple/tusimple-benchmark, evaluate/lane.py, class LaneEval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from visionzoo.errors import DataError

PIXELS = 20.0  # horizontal tolerance of a vertical lane, in images 1280 wide
MATCHED_FROM = 0.85  # minimum share of rows that must agree
SLOWEST = 200.0  # maximum run time in ms
COUNTED = 4  # lanes; if an image has more, one missed lane is not counted

_NO_POINT = -100.0  # x in rows without a point, so that two such rows agree


class TuSimpleScores(NamedTuple):
    """Numbers of one image: accuracy in [0, 1], rates of false positives (may be negative) and false negatives."""

    accuracy: float
    fp: float
    fn: float


@dataclass(frozen=True)
class OneToOne:
    """Counts of lanes if each annotated lane matches at most one prediction and each prediction at most one lane.

    Attributes:
        tp: number of true positives.
        fp: number of false positives.
        fn: number of false negatives.

    Example:
        >>> (OneToOne(tp=1, fp=1) + OneToOne(tp=1, fn=1)).f1
        0.6666666666666666
    """

    tp: int = 0
    fp: int = 0
    fn: int = 0

    def __add__(self, other: OneToOne) -> OneToOne:
        return OneToOne(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    @property
    def f1(self) -> float:
        """In [0, 1]; 0 if all counts are 0."""
        return 2 * self.tp / max(2 * self.tp + self.fp + self.fn, 1)


def tusimple_scores(
    pred: Sequence[Sequence[float]],
    gt: Sequence[Sequence[float]],
    h_samples: Sequence[float],
    run_time: float = 0.0,
    *,
    pixels: float = PIXELS,
) -> TuSimpleScores:
    """Compute the benchmark's numbers of one image, including its quirks.

    Each annotated lane takes the prediction that fits best, even if another lane has it already. If predictions match
    more lanes than there are predictions, the rate of false positives is negative. Rows in which both lanes lack a
    point agree. With more than four lanes one miss and the worst accuracy are not counted.

    Args:
        pred, gt: x of each lane in each row, negative if it has no point there.
        h_samples: y of the rows.
        run_time: run time in ms. Above 200 the image counts as missed. It also counts as missed with more than two
            excess lanes.
        pixels: horizontal tolerance for a vertical lane in pixels. It grows with the slope of the lane.

    Returns:
        Accuracy, and the rates of false positives and false negatives.

    Raises:
        DataError: a lane has another number of rows than ``h_samples``.

    Example:
        >>> tusimple_scores([[10, 20], [80, 90]], [[11, 21]], h_samples=[40, 50])
        TuSimpleScores(accuracy=1.0, fp=0.5, fn=0.0)
    """
    xs, truth = _as_rows(pred, h_samples, "prediction"), _as_rows(gt, h_samples, "annotation")
    if run_time > SLOWEST or len(xs) > len(truth) + 2:
        return TuSimpleScores(0.0, 0.0, 1.0)
    best = point_accuracy(xs, truth, h_samples, pixels).max(axis=1, initial=0.0)
    matched = int((best >= MATCHED_FROM).sum())
    missed, total = len(truth) - matched, fsum(best.tolist())
    if len(truth) > COUNTED:
        missed, total = max(missed - 1, 0), total - float(best.min())
    counted = max(min(len(truth), COUNTED), 1)
    return TuSimpleScores(total / counted, (len(xs) - matched) / max(len(xs), 1), missed / counted)


def one_to_one(
    pred: Sequence[Sequence[float]],
    gt: Sequence[Sequence[float]],
    h_samples: Sequence[float],
    *,
    pixels: float = PIXELS,
) -> OneToOne:
    """Count matches for an F1 in which no prediction matches two lanes and every miss counts.

    The matching has the maximum number of pairs with an accuracy >= 0.85. Arguments and errors are those of
    :func:`tusimple_scores`.

    Example:
        >>> one_to_one([[10, 20], [80, 90]], [[11, 21]], h_samples=[40, 50])
        OneToOne(tp=1, fp=1, fn=0)
    """
    xs, truth = _as_rows(pred, h_samples, "prediction"), _as_rows(gt, h_samples, "annotation")
    fits = point_accuracy(xs, truth, h_samples, pixels) >= MATCHED_FROM
    rows, columns = linear_sum_assignment(fits, maximize=True)
    matched = int(fits[rows, columns].sum())
    return OneToOne(matched, len(xs) - matched, len(truth) - matched)


def point_accuracy(pred: np.ndarray, gt: np.ndarray, h_samples: Sequence[float], pixels: float = PIXELS) -> np.ndarray:
    """Return the share of rows in which a predicted lane is near enough to an annotated one, (G, P).

    Args:
        pred: (P, R) x of predicted lanes, negative in rows without a point.
        gt: (G, R) x of annotated lanes, negative in rows without a point.
        h_samples: (R,) y of the rows.
        pixels: see :func:`tusimple_scores`.

    Example:
        >>> point_accuracy(np.array([[10.0, 90.0]]), np.array([[10.0, 10.0]]), h_samples=[40, 50])
        array([[0.5]])
    """
    limits = pixels / np.cos([lane_angle(xs, h_samples) for xs in gt]).reshape(-1, 1, 1)
    left, right = (np.where(xs >= 0, xs, _NO_POINT) for xs in (gt, pred))
    near = np.abs(left[:, None] - right[None]) < limits
    return near.sum(axis=2) / max(near.shape[2], 1)


def lane_angle(xs: np.ndarray, h_samples: Sequence[float]) -> float:
    """Return the angle in radians between the vertical and the best straight line; 0 for fewer than two points.

    Example:
        >>> lane_angle(np.array([10.0, 10.0, -2.0]), h_samples=[40, 50, 60])
        0.0
    """
    there = np.asarray(xs) >= 0
    if there.sum() < 2:
        return 0.0
    x, y = np.asarray(xs, np.float64)[there], np.asarray(h_samples, np.float64)[there]
    x, y = x - x.mean(), y - y.mean()
    return float(np.arctan(x @ y / (y @ y)))


def _as_rows(lanes: Sequence[Sequence[float]], h_samples: Sequence[float], kind: str) -> np.ndarray:
    """Convert lanes to (L, R) float64, or raise :class:`DataError` if a lane has another number of rows."""
    for lane in lanes:
        if len(lane) != len(h_samples):
            raise DataError(
                f"{kind} of TuSimple",
                expected=f"{len(h_samples)} numbers in every lane, as many as h_samples",
                found=f"{len(lane)}",
                advice="write -2 where a lane has no point",
            )
    return np.asarray(lanes, dtype=np.float64).reshape(len(lanes), len(h_samples))
