"""Predicted over true numbers."""

from __future__ import annotations

import numpy as np

from visionzoo.reports.axes import COLOURS, SOFT
from visionzoo.reports.plots import Plot, Series, draw_plot
from visionzoo.reports.ticks import Axis


def draw_agreement(title: str, true: np.ndarray, predicted: np.ndarray, noun: str = "count") -> np.ndarray:
    """Draw a dot for each image, and the line on which both numbers are equal.

    Args:
        title: text above the plot.
        true, predicted: (N,), at least one.
        noun: what the numbers are.

    Returns:
        (560, 640, 3) uint8 RGB.

    Example:
        >>> draw_agreement("toy", np.array([3.0, 8.0]), np.array([4.0, 7.5])).shape
        (560, 640, 3)
    """
    both = np.concatenate([true, predicted])
    low, high = min(0.0, float(both.min())), float(both.max())
    axis = Axis(low * 1.04, high * 1.04 if high > low else low + 1.0)
    line = np.array([axis.low, axis.high])
    series = [
        Series("", line, line, "dashes", SOFT),
        Series("image", true, predicted, "dots", COLOURS[0]),
    ]
    return draw_plot(Plot(title, f"true {noun}", f"predicted {noun}", series, axis, axis, size=(640, 560)))


def draw_errors(title: str, true: np.ndarray, errors: np.ndarray, noun: str = "count") -> np.ndarray:
    """Draw the error of each image, predicted less true, over its true number.

    Args:
        title: text above the plot.
        true, errors: (N,), at least one.
        noun: what the numbers are.

    Returns:
        (470, 760, 3) uint8 RGB.

    Example:
        >>> draw_errors("toy", np.array([3.0, 8.0]), np.array([1.0, -0.5])).shape
        (470, 760, 3)
    """
    high = float(true.max()) * 1.04 or 1.0
    farthest = float(np.abs(errors).max()) * 1.06 or 1.0
    series = [
        Series("", np.array([0.0, high]), np.zeros(2), "dashes", SOFT),
        Series("image", true, errors, "dots", COLOURS[0]),
    ]
    axes = Axis(0.0, high), Axis(-farthest, farthest)
    return draw_plot(Plot(title, f"true {noun}", "predicted less true", series, *axes))
