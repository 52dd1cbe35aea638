"""Precision over recall, and what remains above a score threshold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from visionzoo.reports.axes import INK
from visionzoo.reports.plots import UNIT, Plot, Series, draw_plot

CURVES = 6  # of single classes


def most_frequent(objects: np.ndarray, most: int = CURVES) -> np.ndarray:
    """Return the classes with objects, at most ``most``, those with most objects first.

    Example:
        >>> most_frequent(np.array([3, 0, 9]), most=6).tolist()
        [2, 0]
    """
    return np.argsort(-objects, kind="stable")[: min(most, int((objects > 0).sum()))]


def draw_precision_recall(
    title: str, recall: np.ndarray, precision: np.ndarray, names: Sequence[str], shown: Sequence[int]
) -> np.ndarray:
    """Draw precision over recall: the mean over the classes, and some of them.

    Args:
        title: text above the plot.
        recall: (R,) from 0 to 1.
        precision: (K, R); classes with nan do not count. At least one class has none.
        names: (K,) names of the classes.
        shown: classes whose curves are drawn.

    Returns:
        (470, 760, 3) uint8 RGB.

    Example:
        >>> recall = np.linspace(0, 1, 5)
        >>> draw_precision_recall("toy", recall, (1 - recall)[None], ["cat"], [0]).shape
        (470, 760, 3)
    """
    known = ~np.isnan(precision).any(axis=1)
    series = [Series(names[label], recall, precision[label]) for label in shown]
    if known.sum() > 1:
        mean = Series(f"mean of {known.sum()} classes", recall, precision[known].mean(axis=0), colour=INK)
        series = [mean, *series, Series("", recall, mean.y, colour=INK)]  # in front, and first in the legend
    return draw_plot(Plot(title, "recall", "precision", series, UNIT, UNIT))


def draw_thresholds(
    title: str,
    label: str,
    thresholds: np.ndarray,
    shares: Sequence[tuple[str, np.ndarray]],
    ring: tuple[float, float, str],
) -> np.ndarray:
    """Draw shares, such as precision and recall, over a threshold from 0 to 1.

    Args:
        title: text above the plot.
        label: what the threshold is.
        thresholds: (T,) ascending.
        shares: name and (T,) values of each curve.
        ring: (threshold, value, text) of the best one.

    Returns:
        (470, 760, 3) uint8 RGB.

    Example:
        >>> steps = np.linspace(0, 1, 5)
        >>> draw_thresholds("toy", "score", steps, [("F1", steps)], (1.0, 1.0, "best F1 1.0 at 1.0")).shape
        (470, 760, 3)
    """
    series = [Series(name, thresholds, values) for name, values in shares]
    return draw_plot(Plot(title, label, "share", series, UNIT, UNIT, ring))
