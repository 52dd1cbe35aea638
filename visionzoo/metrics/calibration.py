"""Calibration of classifiers: whether a confidence is the share of images that are right (Guo et al., ICML 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum

import numpy as np

from visionzoo.errors import DataError

BINS = 15


@dataclass(frozen=True)
class Calibration:
    """Confidence and accuracy in bins of equal width from 0 to 1; a bin has its upper edge, not its lower one.

    Attributes:
        counts: (B,) number of images.
        confidence: (B,) mean confidence; nan for an empty bin.
        accuracy: (B,) share of images that are right; nan for an empty bin.
    """

    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def edges(self) -> np.ndarray:
        """Edges of the bins, (B + 1,)."""
        return np.linspace(0.0, 1.0, len(self.counts) + 1)

    @property
    def error(self) -> float:
        """Expected calibration error: mean of the distance of both over the images; nan without images."""
        filled = self.counts > 0
        gaps = self.counts[filled] * np.abs(self.confidence[filled] - self.accuracy[filled])
        return fsum(gaps.tolist()) / int(self.counts.sum()) if filled.any() else float("nan")


def calibration(confidence: np.ndarray, is_right: np.ndarray, bins: int = BINS) -> Calibration:
    """Return confidence and accuracy by bins.

    Args:
        confidence: (N,) probability of the predicted class of each image.
        is_right: (N,) bool, whether the predicted class is the true one.
        bins: number of bins.

    Raises:
        DataError: a confidence is outside 0 to 1.

    Example:
        >>> calibration(np.array([0.9, 0.7]), np.array([True, False]), bins=2).error.__round__(6)
        0.3
    """
    values = np.asarray(confidence, np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise DataError("calibration", expected="confidences from 0 to 1", found="others", advice="apply the softmax")
    edges = np.linspace(0.0, 1.0, bins + 1)
    places = np.clip(np.searchsorted(edges, values, side="left") - 1, 0, bins - 1)
    counts = np.bincount(places, minlength=bins)
    sums = (np.bincount(places, weights=each, minlength=bins) for each in (values, np.asarray(is_right, np.float64)))
    means = (np.divide(each, counts, out=np.full(bins, np.nan), where=counts > 0) for each in sums)
    return Calibration(counts, *means)
