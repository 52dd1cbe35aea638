"""Seeded bootstrap: intervals of accuracies, of all numbers made from them, and of differences of two models.

A resample draws as many units as there are, with replacement. A unit is an image, or all images of one household: the
photos of a household resemble each other, so drawing them one by one would make intervals too narrow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from visionzoo.errors import DataError

REPEATS = 1000
LEVEL = 0.95
_CELLS = 4_000_000  # numbers of one step, 32 MB
_KEPT_CELLS = 100_000_000  # counts of one byte that are kept between calls, 100 MB
_EXACT = 2**24  # float32 holds all whole numbers below


@dataclass(frozen=True)
class Interval:
    """Percentile interval; both ends are nan if no resample has a number."""

    low: float
    high: float


def interval_of(values: np.ndarray, level: float = LEVEL) -> Interval:
    """Return the central interval that contains ``level`` of the values; nan values are left out.

    Example:
        >>> interval_of(np.arange(101.0), level=0.5)
        Interval(low=25.0, high=75.0)
    """
    there = values[~np.isnan(values)]
    if not len(there):
        return Interval(float("nan"), float("nan"))
    low, high = np.quantile(there, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


class Resamples:
    """The same resamples for every number of one data set.

    Args:
        units: (N,) unit of each image: its id, or the id of its household.
        repeats: number of resamples, >= 1.
        seed: seed of the draws. They depend on the sorted names of the units only, not on the order of the images.

    Raises:
        DataError: there are no images.

    Example:
        >>> resamples = Resamples(["a", "b", "c", "d"], repeats=100)
        >>> interval_of(resamples.accuracies(np.array([True, True, True, True]), [0, 0, 0, 0], 1)[:, 0])
        Interval(low=1.0, high=1.0)
    """

    def __init__(self, units: Sequence[str], *, repeats: int = REPEATS, seed: int = 0):
        if not len(units):
            raise DataError("bootstrap", expected="at least one image", found="none", advice="check the data set")
        names, self._codes = np.unique(np.asarray(units, np.str_), return_inverse=True)
        self.units, self.repeats, self.seed = len(names), repeats, seed
        self._kept: list[np.ndarray] = []

    def accuracies(self, correct: np.ndarray, groups: Sequence[int] | np.ndarray, count: int) -> np.ndarray:
        """Return the accuracy of each group in each resample.

        Args:
            correct: (N,) bool; or numbers, whose means are returned.
            groups: (N,) index of the group of each image; -1 for an image in no group.
            count: number of groups.

        Returns:
            (repeats, count); nan where a resample has no image of a group.
        """
        of = np.asarray(groups, np.int64)
        is_in = of >= 0
        cells = self._codes[is_in] * count + of[is_in]
        sums = np.stack(
            [
                np.bincount(cells, weights, self.units * count).reshape(self.units, count)
                for weights in (np.asarray(correct, np.float64)[is_in], np.ones(is_in.sum()))
            ]
        )
        both = self._weighted(sums.transpose(1, 0, 2).reshape(self.units, 2 * count))
        hits, images = both[:, :count], both[:, count:]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(images > 0, hits / images, np.nan)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Return the sums over the images of each resample.

        Args:
            values: (N, columns), numbers of each image.

        Returns:
            (repeats, columns).
        """
        by_unit = np.zeros((self.units, values.shape[1]))
        np.add.at(by_unit, self._codes, values)
        return self._weighted(by_unit)

    def _weighted(self, sums: np.ndarray) -> np.ndarray:
        """Return for each resample the sum over the drawn units of ``sums``, (units, columns)."""
        most = self.units * np.abs(sums).max(initial=0)  # a resample has as many draws as units
        is_whole = np.array_equal(sums, np.rint(sums)) and most < _EXACT
        kind: Any = np.float32 if is_whole else np.float64
        columns = sums.astype(kind)
        return np.concatenate([counts.astype(kind) @ columns for counts in self._counts()]).astype(np.float64)

    def _counts(self) -> Iterator[np.ndarray]:
        """Yield how often each unit is drawn, (resamples, units), in steps."""
        if self._kept:
            yield from self._kept
            return
        draw, step = np.random.default_rng(self.seed), max(1, _CELLS // self.units)
        is_small = self.repeats * self.units <= _KEPT_CELLS
        for start in range(0, self.repeats, step):
            counts = self._drawn(draw, min(step, self.repeats - start))
            if is_small:
                self._kept.append(counts.astype(np.uint8) if counts.max() < 256 else counts)
            yield counts

    def _drawn(self, draw: np.random.Generator, count: int) -> np.ndarray:
        drawn = draw.integers(self.units, size=(count, self.units))
        drawn += self.units * np.arange(count)[:, None]
        return np.bincount(drawn.ravel(), minlength=count * self.units).reshape(count, self.units).astype(np.uint16)


@dataclass(frozen=True)
class PairedDifference:
    """Difference of two models on the same images.

    Attributes:
        difference: accuracy of the first minus that of the second model.
        interval: bootstrap interval of the difference.
        share_above: share of resamples in which the first model is better, ties half.
        images: number of images.
    """

    difference: float
    interval: Interval
    share_above: float
    images: int


def paired_difference(first: np.ndarray, second: np.ndarray, resamples: Resamples) -> PairedDifference:
    """Compare two models on the same images, with the same resamples for both.

    Args:
        first, second: (N,) bool, correct images of each model in the same order.
        resamples: resamples of these images.

    Raises:
        DataError: the numbers of images differ.

    Example:
        >>> first, second = np.array([True] * 8), np.array([True, False] * 4)
        >>> paired_difference(first, second, Resamples(list("abcdefgh"))).difference
        0.5
    """
    if len(first) != len(second):
        raise DataError("paired bootstrap", expected=f"{len(first)} images of the second model", found=f"{len(second)}")
    gains = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    drawn = resamples.accuracies(gains, np.zeros(len(gains), np.int64), 1)[:, 0]
    above = float((drawn > 0).mean() + (drawn == 0).mean() / 2)
    return PairedDifference(float(gains.mean()), interval_of(drawn), above, len(gains))
