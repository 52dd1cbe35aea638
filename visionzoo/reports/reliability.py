"""Reliability diagram: accuracy over confidence."""

from __future__ import annotations

import numpy as np

from visionzoo.reports.axes import COLOURS, SOFT
from visionzoo.reports.plots import UNIT, Plot, Series, draw_plot


def draw_reliability(title: str, edges: np.ndarray, accuracy: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """Draw the accuracy of each bin of confidence, and its mean confidence; both are equal in a calibrated model.

    Args:
        title: text above the plot.
        edges: (B + 1,) edges of the bins, from 0 to 1.
        accuracy, confidence: (B,); nan for an empty bin.

    Returns:
        (470, 760, 3) uint8 RGB.

    Example:
        >>> draw_reliability("toy", np.array([0.0, 0.5, 1.0]), np.array([np.nan, 0.7]), np.array([np.nan, 0.9])).shape
        (470, 760, 3)
    """
    line = np.array([0.0, 1.0])
    middles = (edges[:-1] + edges[1:]) / 2
    series = [
        Series("accuracy", edges, accuracy, "bars", COLOURS[0]),
        Series("mean confidence", middles, confidence, "dots", COLOURS[1]),
        Series("calibrated", line, line, "dashes", SOFT),
    ]
    return draw_plot(Plot(title, "confidence", "share of images", series, UNIT, UNIT))
