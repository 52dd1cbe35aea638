"""Lanes of one image as plain arrays, for files, drawings and comparisons of any model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from visionzoo.errors import InputError
from visionzoo.structures.arrays import as_array
from visionzoo.structures.lane_files import lines_text

MISSING = -2  # TuSimple's x of a row where the lane has no point


@dataclass(frozen=True)
class Lanes:
    """Lanes of one image as polylines, from left to right.

    Attributes:
        points: one (n, 2) float64 array of (x, y) for each lane, in pixels of the original image, bottom to top.
        scores: existence probability in [0, 1] of each lane.
        slots: index of each lane among the model's lanes; 0 is the far left lane.
        are_true: True for a ground truth, which is drawn without scores.

    Raises:
        InputError: a point or score is not finite. No image should cause this.

    Example:
        >>> lanes = Lanes((np.array([[4.0, 20.0], [8.0, 10.0]]),), scores=(0.9,), slots=(1,))
        >>> lanes.to_culane()
        '4 20 8 10\\n'
        >>> lanes.to_tusimple([5, 15])
        [[-2, 6.0]]
    """

    points: tuple[np.ndarray, ...]
    scores: tuple[float, ...]
    slots: tuple[int, ...]
    are_true: bool = False

    def __post_init__(self) -> None:
        if not (all(np.isfinite(lane).all() for lane in self.points) and np.isfinite(self.scores).all()):
            raise InputError("the model returns points or scores of lanes that are not finite; check its weights")

    def __len__(self) -> int:
        return len(self.points)

    @property
    def best_score(self) -> float | None:
        """The highest score; None without lanes."""
        return max(self.scores, default=None)

    def above(self, threshold: float) -> Lanes:
        """Return the lanes with a score of at least ``threshold``; the result may be empty."""
        return self.at([index for index, score in enumerate(self.scores) if score >= threshold])

    def best(self, number: int) -> Lanes:
        """Return the ``number`` lanes with the highest scores, from left to right."""
        order = sorted(range(len(self)), key=lambda index: -self.scores[index])
        return self.at(sorted(order[:number]))

    def at(self, kept: Sequence[int]) -> Lanes:
        """Return the lanes at these indices."""
        points, scores = (tuple(self.points[index] for index in kept), tuple(self.scores[index] for index in kept))
        return replace(self, points=points, scores=scores, slots=tuple(self.slots[index] for index in kept))

    def to_json(self) -> dict[str, Any]:
        """Return the lanes as numbers and lists."""
        return {
            "lanes": [[[_rounded(x), _rounded(y)] for x, y in lane.tolist()] for lane in self.points],
            "scores": [round(float(score), 6) for score in self.scores],
            "slots": [int(slot) for slot in self.slots],
        }

    def to_row(self) -> dict[str, Any]:
        """Return a table row: number of lanes, their slots (``0 1 3``) and their scores (``0.98 0.91 0.64``)."""
        return {
            "lanes": len(self),
            "slots": " ".join(str(int(slot)) for slot in self.slots),
            "scores": " ".join(f"{score:.4f}" for score in self.scores),
        }

    def to_culane(self) -> str:
        """Return the text of CULane's ``.lines.txt``: one lane per line, ``x y x y ...``; empty without lanes.

        Lanes of fewer than two points are omitted, because the official program counts each of them, and each blank
        line, as a false positive.
        """
        return lines_text(self.points)

    def to_tusimple(self, h_samples: Sequence[float]) -> list[list[float]]:
        """Return TuSimple's ``lanes``: for each lane, one x for each row of ``h_samples``.

        x is linearly interpolated between points. It is -2 where the lane has no point, or where x is negative: the
        format uses negative numbers for missing points. Lanes without a point in any row are omitted.
        """
        rows = [x_at_rows(lane, h_samples) for lane in self.points if len(lane)]
        return [xs for xs in rows if any(x >= 0 for x in xs)]


def lanes_of(sample: Any) -> Lanes:
    """Return the lanes that a head wrote into a sample.

    Args:
        sample: a data sample or its dict, with ``pred_lanes`` and optionally ``pred_lane_scores`` (default: all 1) and
            ``pred_lane_slots`` (default: 0, 1, 2, ...).
    """
    points = tuple(_points(lane) for lane in sample.get("pred_lanes"))
    scores, slots = sample.get("pred_lane_scores"), sample.get("pred_lane_slots")
    return Lanes(
        points,
        (1.0,) * len(points) if scores is None else tuple(float(score) for score in scores),
        tuple(range(len(points))) if slots is None else tuple(int(slot) for slot in slots),
    )


def x_at_rows(lane: np.ndarray, rows: Sequence[float]) -> list[float]:
    """Return x of a lane at the rows; -2 above its highest point, below its lowest point, and left of the image."""
    ordered = np.asarray(lane, dtype=np.float64)[np.argsort(np.asarray(lane)[:, 1], kind="stable")]
    columns = np.interp(np.asarray(rows, np.float64), ordered[:, 1], ordered[:, 0], left=MISSING, right=MISSING)
    return [_rounded(x) if x >= 0 else MISSING for x in columns.tolist()]


def _points(lane: Any) -> np.ndarray:
    return as_array(lane, np.float64).reshape(-1, 2)


def _rounded(value: float) -> float:
    """Round to three decimals; metrics do not resolve a thousandth of a pixel."""
    return round(float(value), 3)
