"""A plot of points and lines over two axes from 0 to 1, drawn with Pillow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from visionzoo.reports.images import class_colour, label_font

_MARGIN = (70, 30, 20, 60)  # left, top, right, bottom, in pixels
_INK, _GRID = (40, 40, 40), (225, 225, 225)
_TICKS = 5


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
    height, width = size
    canvas = Image.new("RGB", (width, height), (255, 255, 255))
    pen = ImageDraw.Draw(canvas)
    frame = _Frame(_span([v for each in series for v in each.x]), _span([v for each in series for v in each.y]), size)
    _draw_axes(pen, frame, x_label, y_label)
    for number, each in enumerate(series):
        _draw_series(pen, frame, each, class_colour(number))
        top = _MARGIN[1] + 22 * number
        left = frame.right + 14
        pen.ellipse((left, top + 4, left + 8, top + 12), fill=class_colour(number))
        pen.text((left + 14, top), each.name, fill=_INK, font=label_font(13))
    return np.asarray(canvas)


def _span(values: Sequence[float]) -> tuple[float, float]:
    """Return the range of an axis: multiples of 0.05 around the values, within 0 and 1."""
    there = [value for value in values if not math.isnan(value)] or [0.0, 1.0]
    low, high = math.floor(min(there) * 20 - 0.2) / 20, math.ceil(max(there) * 20 + 0.2) / 20
    low, high = max(0.0, low), min(1.0, high)
    return (low, high) if high > low else (max(0.0, low - 0.05), min(1.0, high + 0.05))


@dataclass(frozen=True)
class _Frame:
    """Ranges of the axes, and the place of the plot in the image."""

    x: tuple[float, float]
    y: tuple[float, float]
    size: tuple[int, int]

    @property
    def right(self) -> int:
        return self.size[1] - _MARGIN[2] - 150

    @property
    def bottom(self) -> int:
        return self.size[0] - _MARGIN[3]

    def at(self, x: float, y: float) -> tuple[float, float]:
        across = (x - self.x[0]) / (self.x[1] - self.x[0])
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        left, top = _MARGIN[:2]
        return left + across * (self.right - left), self.bottom - up * (self.bottom - top)


def _draw_axes(pen: ImageDraw.ImageDraw, frame: _Frame, x_label: str, y_label: str) -> None:
    font = label_font(13)
    for tick in range(_TICKS + 1):
        x = frame.x[0] + (frame.x[1] - frame.x[0]) * tick / _TICKS
        y = frame.y[0] + (frame.y[1] - frame.y[0]) * tick / _TICKS
        left, top = frame.at(x, frame.y[1])
        pen.line((left, top, left, frame.bottom), fill=_GRID)
        pen.text((left - 12, frame.bottom + 6), f"{x:.2f}", fill=_INK, font=font)
        left, top = frame.at(frame.x[0], y)
        pen.line((left, top, frame.right, top), fill=_GRID)
        pen.text((left - 38, top - 8), f"{y:.2f}", fill=_INK, font=font)
    pen.rectangle((_MARGIN[0], _MARGIN[1], frame.right, frame.bottom), outline=_INK)
    pen.text((_MARGIN[0], frame.bottom + 30), x_label, fill=_INK, font=font)
    pen.text((10, 6), y_label, fill=_INK, font=font)


def _draw_series(pen: ImageDraw.ImageDraw, frame: _Frame, series: Series, colour: tuple[int, int, int]) -> None:
    points = [(x, y) for x, y in zip(series.x, series.y, strict=True) if not math.isnan(x) and not math.isnan(y)]
    for x, y in points:
        left, top = frame.at(x, y)
        pen.ellipse((left - 4, top - 4, left + 4, top + 4), fill=colour)
    if len(points) > 1 and not math.isnan(series.slope):
        ends = [_inside(frame, series, x) for x in (min(x for x, _ in points), max(x for x, _ in points))]
        pen.line([*frame.at(*ends[0]), *frame.at(*ends[1])], fill=colour, width=2)


def _inside(frame: _Frame, series: Series, x: float) -> tuple[float, float]:
    y = series.slope * x + series.intercept
    return x, min(max(y, frame.y[0]), frame.y[1])
