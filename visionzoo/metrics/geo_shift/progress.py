"""Progress of many models: how accuracy elsewhere and disparity follow the accuracy on ImageNet.

Progress rates as in Richards et al. (arXiv 2307.13136), effective robustness as in Taori et al. (arXiv 2007.00644).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from visionzoo.errors import DataError

CLIP = 1e-6  # accuracies are clipped to [CLIP, 1 - CLIP] before the logit


@dataclass(frozen=True)
class Line:
    """A line of ordinary least squares.

    Attributes:
        slope, intercept: of the line; nan with fewer than two different values of x.
        r: Pearson's correlation; nan as well if y is constant.
        models: number of points.
    """

    slope: float
    intercept: float
    r: float
    models: int

    @property
    def r2(self) -> float:
        """Share of the variance that the line explains."""
        return self.r**2

    def at(self, x: Any) -> Any:
        """Return the height of the line at ``x``."""
        return self.slope * x + self.intercept


def fit_line(x: Any, y: Any) -> Line:
    """Fit a line through points; points with a nan are left out.

    Args:
        x, y: (N,) numbers, one for each model.

    Raises:
        DataError: the lengths differ.

    Example:
        >>> line = fit_line([0.5, 0.6, 0.8], [0.3, 0.4, 0.6])
        >>> round(line.slope, 6), round(line.intercept, 6), round(line.r, 6)
        (1.0, -0.2, 1.0)
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.shape != y.shape:
        raise DataError("line", expected=f"{len(x)} numbers of y, as of x", found=f"{len(y)}", advice="check models")
    is_whole = ~(np.isnan(x) | np.isnan(y))
    x, y = x[is_whole], y[is_whole]
    if len(np.unique(x)) < 2:
        return Line(np.nan, np.nan, np.nan, len(x))
    dx, dy = x - x.mean(), y - y.mean()
    slope = float(dx @ dy / (dx @ dx))
    r = float(np.clip(dx @ dy / np.sqrt((dx @ dx) * (dy @ dy)), -1, 1)) if dy.any() else np.nan
    return Line(slope, float(y.mean() - slope * x.mean()), r, len(x))


def progress_ratio(standard: Line, geographic: Line) -> float:
    """Return the progress rate of a standard benchmark over that of a geographic one; nan if the latter is 0.

    Example:
        >>> progress_ratio(Line(1.0, 0, 1, 9), Line(0.4, 0, 1, 9))
        2.5
    """
    return standard.slope / geographic.slope if geographic.slope else float("nan")


def progress_gap(standard: Line, geographic: Line) -> float:
    """Return the progress rate of a standard benchmark minus that of a geographic one.

    Example:
        >>> progress_gap(Line(1.0, 0, 1, 9), Line(0.25, 0, 1, 9))
        0.75
    """
    return standard.slope - geographic.slope


def logit(accuracy: Any) -> np.ndarray:
    """Return log(a / (1 - a)) of accuracies, which are clipped to [1e-6, 1 - 1e-6] first; nan stays nan.

    Example:
        >>> logit([0.5, 1.0]).round(3).tolist()
        [0.0, 13.816]
    """
    clipped = np.clip(np.asarray(accuracy, np.float64), CLIP, 1 - CLIP)
    return np.log(clipped / (1 - clipped))


def sigmoid(x: Any) -> np.ndarray:
    """Return 1 / (1 + exp(-x)), the inverse of :func:`logit`."""
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


def baseline_line(imagenet: Any, accuracy: Any, is_baseline: Any) -> Line:
    """Fit the logit of the accuracy on the logit of the ImageNet accuracy over the baseline models.

    Args:
        imagenet, accuracy: (N,) in [0, 1], one for each model.
        is_baseline: (N,) bool.
    """
    chosen = np.asarray(is_baseline, bool)
    return fit_line(logit(imagenet)[chosen], logit(accuracy)[chosen])


def effective_robustness(imagenet: Any, accuracy: Any, is_baseline: Any) -> np.ndarray:
    """Return how far each model is above the accuracy that the baseline models predict from its ImageNet accuracy.

    Args:
        imagenet, accuracy, is_baseline: see :func:`baseline_line`.

    Returns:
        (N,); nan with fewer than two different baseline models.

    Example:
        >>> effective_robustness([0.6, 0.7, 0.8], [0.4, 0.5, 0.9], [True, True, False]).round(3).tolist()
        [0.0, 0.0, 0.279]
    """
    line = baseline_line(imagenet, accuracy, is_baseline)
    return np.asarray(accuracy, np.float64) - sigmoid(line.at(logit(imagenet)))
