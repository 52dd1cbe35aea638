"""TuSimple's accuracy, false positives and false negatives as its benchmark has them, and an F1 without its quirks.

Source: TuSimple/tusimple-benchmark, evaluate/lane.py, class LaneEval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from visionzoo.errors import DataError

PIXELS = 20.0  # across a vertical lane, in images 1280 wide
MATCHED_FROM = 0.85  # share of rows
SLOWEST = 200.0  # ms
COUNTED = 4  # lanes; with more, one that was missed is forgiven

_NO_POINT = -100.0  # where a lane has no point, so that two such rows agree


class TuSimpleScores(NamedTuple):
    """One image's numbers: accuracy in [0, 1], rates of false positives (may be negative) and false negatives."""

    accuracy: float
    fp: float
    fn: float


@dataclass(frozen=True)
class OneToOne:
    """Counts of lanes when each annotated lane takes one prediction and each prediction one lane."""

    tp: int = 0
    fp: int = 0
    fn: int = 0

    def __add__(self, other: OneToOne) -> OneToOne:
        return OneToOne(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    @property
    def f1(self) -> float:
        """In [0, 1]; 0 where nothing is there and nothing was found."""
        return 2 * self.tp / max(2 * self.tp + self.fp + self.fn, 1)


def tusimple_scores(
    pred: Sequence[Sequence[float]],
    gt: Sequence[Sequence[float]],
    h_samples: Sequence[float],
    run_time: float = 0.0,
    *,
    pixels: float = PIXELS,
) -> TuSimpleScores:
    """The benchmark's numbers of one image, with its quirks.

    A lane that nothing was predicted for takes what fits best, also when another lane has it already: predictions
    fewer than the lanes they fit make the rate of false positives negative. Rows in which both lanes lack a point
    agree. With more than four lanes one miss is forgiven and the worst accuracy dropped.

    Args:
        pred, gt: x of each lane in each row, negative where it has no point.
        h_samples: the rows' y.
        run_time: ms; above 200 the image counts as missed, as it does with more than two lanes too many.
        pixels: how far a point of a vertical lane may be off; more, the more a lane lies.

    Raises:
        DataError: a lane has another number of rows than ``h_samples``.
    """
    xs, truth = _as_rows(pred, h_samples, "prediction"), _as_rows(gt, h_samples, "annotation")
    if run_time > SLOWEST or len(xs) > len(truth) + 2:
        return TuSimpleScores(0.0, 0.0, 1.0)
    best = point_accuracy(xs, truth, h_samples, pixels).max(axis=1, initial=0.0)
    matched = int((best >= MATCHED_FROM).sum())
    missed, total = len(truth) - matched, float(best.sum())
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
    """Counts for an F1 in which no prediction serves two lanes and none is forgiven; arguments as above.

    As many pairs as possible of an accuracy from 0.85 on.
    """
    xs, truth = _as_rows(pred, h_samples, "prediction"), _as_rows(gt, h_samples, "annotation")
    fits = point_accuracy(xs, truth, h_samples, pixels) >= MATCHED_FROM
    rows, columns = linear_sum_assignment(fits, maximize=True)
    found = int(fits[rows, columns].sum())
    return OneToOne(found, len(xs) - found, len(truth) - found)


def point_accuracy(pred: np.ndarray, gt: np.ndarray, h_samples: Sequence[float], pixels: float = PIXELS) -> np.ndarray:
    """(G, P): share of rows in which a predicted lane is near enough to an annotated one.

    Args:
        pred, gt: (P, R) and (G, R) x, negative where there is no point.
        h_samples: (R,) y.
        pixels: see :func:`tusimple_scores`.
    """
    limits = pixels / np.cos([lane_angle(xs, h_samples) for xs in gt]).reshape(-1, 1, 1)
    left, right = (np.where(xs >= 0, xs, _NO_POINT) for xs in (gt, pred))
    near = np.abs(left[:, None] - right[None]) < limits
    return near.sum(axis=2) / max(near.shape[2], 1)


def lane_angle(xs: np.ndarray, h_samples: Sequence[float]) -> float:
    """Radians to the vertical of the straight line that fits a lane best; 0 for fewer than two points."""
    there = np.asarray(xs) >= 0
    if there.sum() < 2:
        return 0.0
    x, y = np.asarray(xs, np.float64)[there], np.asarray(h_samples, np.float64)[there]
    x, y = x - x.mean(), y - y.mean()
    return float(np.arctan(x @ y / (y @ y)))


def _as_rows(lanes: Sequence[Sequence[float]], h_samples: Sequence[float], kind: str) -> np.ndarray:
    """(L, R) float64."""
    for lane in lanes:
        if len(lane) != len(h_samples):
            raise DataError(
                f"{kind} of TuSimple",
                expected=f"{len(h_samples)} numbers in every lane, as many as h_samples",
                found=f"{len(lane)}",
                advice="write -2 where a lane has no point",
            )
    return np.asarray(lanes, dtype=np.float64).reshape(len(lanes), len(h_samples))
