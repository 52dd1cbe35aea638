"""Common pixels of the segments of two panoptic maps of the same image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from visionzoo.errors import DataError, some_of
from visionzoo.structures.panoptic import UNLABELLED, PanopticMap, Runs


@dataclass(frozen=True)
class Overlaps:
    """Numbers of pixels that segments of the truth and of the prediction share.

    Attributes:
        pixels: (T + 1, P + 1) int64. The first row is for pixels without a segment in the truth, the first column for
            those without one in the prediction; the others are in the order of the segments.

    Example:
        >>> truth = PanopticMap.of_ids([[0, 7, 7]], {7: (0, False)})
        >>> prediction = PanopticMap.of_ids([[3, 3, 0]], {3: (0, False)})
        >>> Overlaps.of(truth, prediction).pixels.tolist()
        [[0, 1], [1, 1]]
    """

    pixels: np.ndarray

    @classmethod
    def of(cls, truth: PanopticMap, prediction: PanopticMap, where: str = "image") -> Overlaps:
        """Count the common pixels of two maps.

        Args:
            truth, prediction: maps of the same size.
            where: name of the image in errors.

        Raises:
            DataError: the maps differ in size, or ids of pixels and segments of a map differ.
        """
        _require_same_size(truth, prediction, where)
        numbers = _Numbers.of(truth, f"{where}: truth"), _Numbers.of(prediction, f"{where}: prediction")
        rows, columns, lengths = _common_runs(truth.runs, prediction.runs, truth.ids.size)
        rows, columns = numbers[0].positions(truth.runs.ids)[rows], numbers[1].positions(prediction.runs.ids)[columns]
        shape = len(truth.segments) + 1, len(prediction.segments) + 1
        counted = np.bincount(rows * shape[1] + columns, weights=lengths, minlength=shape[0] * shape[1])
        pixels = counted.astype(np.int64).reshape(shape)
        for each, areas in zip(numbers, (pixels.sum(1), pixels.sum(0)), strict=True):
            each.require_pixels(areas[1:])
        return cls(pixels)

    @property
    def truth_areas(self) -> np.ndarray:
        """Pixels of each segment of the truth, (T,)."""
        return self.pixels[1:].sum(1)

    @property
    def prediction_areas(self) -> np.ndarray:
        """Pixels of each segment of the prediction, (P,)."""
        return self.pixels[:, 1:].sum(0)

    @property
    def unlabelled(self) -> np.ndarray:
        """Pixels of each segment of the prediction that have no segment in the truth, (P,)."""
        return self.pixels[0, 1:]


def _require_same_size(truth: PanopticMap, prediction: PanopticMap, where: str) -> None:
    if truth.ids.shape != prediction.ids.shape:
        raise DataError(
            where,
            expected=f"a prediction of {truth.ids.shape} (height, width), as the truth",
            found=f"{prediction.ids.shape}",
            advice="predict at the size of the original image",
        )


def _common_runs(truth: Runs, prediction: Runs, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the runs of pixels in which neither map changes: the run of each map that each one is in, and its length.

    A start that is in both maps gives two runs, and the first has length 0.

    Args:
        truth, prediction: runs of both maps.
        size: number of pixels.
    """
    starts = np.concatenate([truth.starts, prediction.starts])
    order = starts.argsort(kind="stable")  # merges two ascending lists
    of_truth = order < len(truth.starts)
    rows = of_truth.cumsum() - 1
    columns = np.arange(len(order)) - rows - 1
    starts = np.append(starts[order], size)
    return rows, columns, starts[1:] - starts[:-1]


@dataclass(frozen=True)
class _Numbers:
    """Positions of the ids of one map: 0 for pixels without a segment, then the order of the segments."""

    where: str
    ids: np.ndarray
    order: np.ndarray
    known: np.ndarray

    @classmethod
    def of(cls, panoptic: PanopticMap, where: str) -> _Numbers:
        ids = np.array([UNLABELLED, *(segment.id for segment in panoptic.segments)], dtype=panoptic.ids.dtype)
        order = np.argsort(ids, kind="stable")
        known = ids[order]
        same = known[1:] == known[:-1]
        if same.any():
            raise _wrong_ids(where, "each id at most once, and none of them 0", known[1:][same].tolist())
        return cls(where, ids, order, known)

    def positions(self, found: np.ndarray) -> np.ndarray:
        """Return the position of each id.

        Raises:
            DataError: an id has no segment.
        """
        places = np.searchsorted(self.known[1:], found, side="right")  # 0 is the first one, which is before all
        unknown = self.known[places] != found
        if unknown.any():
            raise _wrong_ids(self.where, "a segment for every id of the map", np.unique(found[unknown]).tolist())
        return self.order[places]

    def require_pixels(self, areas: np.ndarray) -> None:
        """Raise DataError for a segment without pixels."""
        if not areas.all():
            raise _wrong_ids(self.where, "pixels for every segment", self.ids[1:][areas == 0].tolist())


def _wrong_ids(where: str, expected: str, ids: Sequence[int]) -> DataError:
    return DataError(
        where,
        expected=expected,
        found=f"other ids ({some_of(map(str, ids), 4)})",
        advice="list each segment once, with the id that its pixels have",
    )
