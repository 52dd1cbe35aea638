"""A plot of points and lines over two axes from 0 to 1, drawn with Pillow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from visionzoo.reports.axes import COLOURS
from visionzoo.reports.plots import Plot, draw_plot
from visionzoo.reports.plots import Series as Drawn
from visionzoo.reports.ticks import Axis


@dataclass(frozen=True)
class Series:
    """Points of one colour, and their line.

    Attributes:
        name: shown in the legend.
        x, y: coordinates of the points; points with nan are left out.
        slope, intercept: of the line, which spans the points; nan for no line.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    slope: float = math.nan
    intercept: float = math.nan


def scatter_plot(
    series: Sequence[Series], *, x_label: str, y_label: str, size: tuple[int, int] = (640, 860)
) -> np.ndarray:
    """Draw series of points with a legend on the right.

    Args:
        series: the points; colours follow their order.
        x_label, y_label: texts of the axes.
        size: (height, width) in pixels.

    Returns:
        (height, width, 3) uint8 RGB.

    Example:
        >>> scatter_plot([Series("geode", [0.5, 0.7], [0.4, 0.6], 1.0, -0.1)], x_label="a", y_label="b").shape
        (640, 860, 3)
    """
    spans = [_span([value for each in series for value in values(each)]) for values in (_x_of, _y_of)]
    shown: list[Drawn] = []
    for number, each in enumerate(series):
        colour = COLOURS[number % len(COLOURS)]
        x, y = np.array(each.x, dtype=float), np.array(each.y, dtype=float)
        shown.append(Drawn(each.name, x, y, "dots", colour))
        ends = x[np.isfinite(x) & np.isfinite(y)]
        if len(ends) > 1 and not math.isnan(each.slope):
            line = np.array([ends.min(), ends.max()])
            shown.append(Drawn("", line, np.clip(each.slope * line + each.intercept, *spans[1]), colour=colour))
    across, up = (Axis(*span) for span in spans)
    return draw_plot(Plot("", x_label, y_label, shown, across, up, size=(size[1], size[0])))


def _x_of(series: Series) -> Sequence[float]:
    return series.x


def _y_of(series: Series) -> Sequence[float]:
    return series.y


def _span(values: Sequence[float]) -> tuple[float, float]:
    """Return the range of an axis: multiples of 0.05 around the values, within 0 and 1."""
    there = [value for value in values if not math.isnan(value)] or [0.0, 1.0]
    low, high = math.floor(min(there) * 20 - 0.2) / 20, math.ceil(max(there) * 20 + 0.2) / 20
    low, high = max(0.0, low), min(1.0, high)
    return (low, high) if high > low else (max(0.0, low - 0.05), min(1.0, high + 0.05))
