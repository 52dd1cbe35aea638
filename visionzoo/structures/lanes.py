"""Lanes of one image as plain arrays: what is written, drawn and compared, whichever model made them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from visionzoo.errors import InputError
from visionzoo.structures.arrays import as_array
from visionzoo.structures.lane_files import lines_text

MISSING = -2  # x of a row in which TuSimple's lane has no point


@dataclass(frozen=True)
class Lanes:
    """Polylines of one image, from the left to the right lane.

    Attributes:
        points: one (n, 2) float64 array of (x, y) for each lane, in pixels of the original image, bottom to top.
        scores: the probability in [0, 1] that each lane exists.
        slots: which of the model's lanes each is, 0 for the far left one.

    Raises:
        InputError: a point or score is not finite, which no image should cause.
    """

    points: tuple[np.ndarray, ...]
    scores: tuple[float, ...]
    slots: tuple[int, ...]

    def __post_init__(self) -> None:
        if not (all(np.isfinite(lane).all() for lane in self.points) and np.isfinite(self.scores).all()):
            raise InputError("the model gives points or scores of lanes that are not finite; check its weights")

    def __len__(self) -> int:
        return len(self.points)

    def above(self, threshold: float) -> Lanes:
        """Those whose score is at least ``threshold``; may be none."""
        kept = [index for index, score in enumerate(self.scores) if score >= threshold]
        chosen: tuple[tuple, ...] = tuple(
            tuple(values[index] for index in kept) for values in (self.points, self.scores, self.slots)
        )
        return Lanes(*chosen)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and lists."""
        return {
            "lanes": [[[_rounded(x), _rounded(y)] for x, y in lane.tolist()] for lane in self.points],
            "scores": [round(float(score), 6) for score in self.scores],
            "slots": [int(slot) for slot in self.slots],
        }

    def to_row(self) -> dict[str, Any]:
        """A row of a table: how many lanes, and which ones with which score, ``0 1 3`` and ``0.98 0.91 0.64``."""
        return {
            "lanes": len(self),
            "slots": " ".join(str(int(slot)) for slot in self.slots),
            "scores": " ".join(f"{score:.4f}" for score in self.scores),
        }

    def to_culane(self) -> str:
        """CULane's ``.lines.txt``: one lane a line, ``x y x y ...``; empty without lanes.

        Lanes of fewer than two points are left out: the official program counts each, and every blank line, as a
        false positive.
        """
        return lines_text(self.points)

    def to_tusimple(self, h_samples: Sequence[float]) -> list[list[float]]:
        """TuSimple's ``lanes``: for each lane one x for each row of ``h_samples``, -2 where it has no point.

        Between two points x runs straight; a row at a point's y has that point's x. Where x is left of the image
        there is no point either, as the format has only negative numbers for that. Lanes without a point in any of
        the rows are left out.
        """
        rows = [x_at_rows(lane, h_samples) for lane in self.points if len(lane)]
        return [xs for xs in rows if any(x >= 0 for x in xs)]


def lanes_of(sample: Any) -> Lanes:
    """The lanes that a head wrote into a sample, or into its dict.

    They are in ``pred_lanes``, ``pred_lane_scores`` and ``pred_lane_slots``. Without scores every lane has 1, without
    slots they count from 0.
    """
    points = tuple(_points(lane) for lane in sample.get("pred_lanes"))
    scores, slots = sample.get("pred_lane_scores"), sample.get("pred_lane_slots")
    return Lanes(
        points,
        (1.0,) * len(points) if scores is None else tuple(float(score) for score in scores),
        tuple(range(len(points))) if slots is None else tuple(int(slot) for slot in slots),
    )


def x_at_rows(lane: np.ndarray, rows: Sequence[float]) -> list[float]:
    """x of a lane at the rows, -2 above its highest and below its lowest point and left of the image."""
    ordered = np.asarray(lane, dtype=np.float64)[np.argsort(np.asarray(lane)[:, 1], kind="stable")]
    found = np.interp(np.asarray(rows, np.float64), ordered[:, 1], ordered[:, 0], left=MISSING, right=MISSING)
    return [_rounded(x) if x >= 0 else MISSING for x in found.tolist()]


def _points(lane: Any) -> np.ndarray:
    return as_array(lane, np.float64).reshape(-1, 2)


def _rounded(value: float) -> float:
    """At most three decimals; a thousandth of a pixel is below all that is measured."""
    return round(float(value), 3)
