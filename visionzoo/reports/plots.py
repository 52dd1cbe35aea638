"""One plot as an image: lines, dots and bars over two axes, with a legend on the right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from PIL import ImageDraw

from visionzoo.reports.axes import (
    GRID,
    INK,
    LABEL,
    REFERENCE,
    SAMPLE,
    SCALE,
    SOFT,
    TICK,
    TITLE,
    Place,
    draw_axes,
    draw_curve,
    draw_dots,
    draw_ring,
    draw_sample,
    look_of,
    mixed,
    new_canvas,
    reduced,
    scaled,
    shortened,
    thinned,
    width_of,
    write,
)
from visionzoo.reports.figure import Figure
from visionzoo.reports.images import Colour
from visionzoo.reports.ticks import Axis, round_step

UNIT = Axis(0.0, 1.0)  # axis of a share
_LEFT, _RIGHT, _TOP, _BOTTOM = 78, 26, 80, 62
_LEGEND = 230  # width of the legend
_MOST = 8000  # points of a line


@dataclass(frozen=True)
class Series:
    """What one entry of the legend stands for.

    Attributes:
        name: text of the legend; empty for no entry.
        x: (N,) coordinates; for bars the (N + 1,) edges.
        y: (N,) coordinates; what is not finite is left out.
        kind: how it is drawn; ``dashes`` is a reference line without data.
        colour: RGB; None for the next one of the palette.
    """

    name: str
    x: Sequence[float] | np.ndarray
    y: Sequence[float] | np.ndarray
    kind: Literal["line", "dashes", "dots", "bars"] = "line"
    colour: Colour | None = None


@dataclass(frozen=True)
class Plot:
    """A pair of axes and what is drawn on them.

    Attributes:
        title: text above it.
        x_label, y_label: texts of the axes.
        series: what is drawn, the first one at the bottom.
        across, up: the axes; None for axes around the values, which begin at 0 for bars.
        ring: (x, y, text) of a point with a ring, and the text, which is written above the plot; None for none.
        empty: sentence that is shown if no value is finite.
        size: (width, height) of the image in pixels.
        counts: True if y is a number of things, so that only whole numbers are on its axis.
    """

    title: str
    x_label: str
    y_label: str
    series: Sequence[Series] = field(default_factory=list)
    across: Axis | None = None
    up: Axis | None = None
    ring: tuple[float, float, str] | None = None
    empty: str = "There is nothing to draw."
    size: tuple[int, int] = (760, 470)
    counts: bool = False


def draw_plot(plot: Plot) -> np.ndarray:
    """Draw a plot.

    Returns:
        (H, W, 3) uint8 RGB of the plot's size.

    Example:
        >>> draw_plot(Plot("toy", "recall", "precision", [Series("mean", [0, 1], [1, 0.5])], UNIT, UNIT)).shape
        (470, 760, 3)
    """
    width, height = plot.size
    canvas, pen = new_canvas(width, height)
    write(pen, (14, 10), plot.title, TITLE, INK)
    named = [each for each in plot.series if each.name]
    edges = _LEFT, _TOP, width - (_LEGEND if len(named) > 1 else _RIGHT), height - _BOTTOM
    values = [_finite(each) for each in plot.series]
    if not any(len(y) for _, y in values):
        pen.rectangle(scaled(14, _TOP, width - 14, height - 14), outline=GRID, width=SCALE)
        write(pen, (width / 2, height / 2), plot.empty, LABEL, SOFT, anchor="mm")
        return reduced(canvas)
    across, up = plot.across or _around([x for x, _ in values]), plot.up or _upward(plot, [y for _, y in values])
    place = Place(across, up, edges)
    draw_axes(pen, place, whole=False, counts=plot.counts)
    looks = _looks(plot.series)
    for each, look in zip(plot.series, looks):
        _draw_series(pen, place, each, look)
    _draw_texts(pen, plot, edges)
    if plot.ring is not None:
        draw_ring(pen, place, *plot.ring[:2])
    if len(named) > 1:
        _draw_names(pen, plot.series, looks, (edges[2] + 14, _TOP))
    return reduced(canvas)


def empty_figure(name: str, title: str, sentence: str) -> Figure:
    """Return a figure that states why there is nothing to draw.

    Example:
        >>> empty_figure("errors", "Errors", "No image was tested.").caption
        'No image was tested.'
    """
    return Figure(name, title, draw_plot(Plot(title, "", "", empty=sentence, size=(760, 200))), sentence)


def draw_histogram(title: str, label: str, values: np.ndarray, edges: np.ndarray, noun: str = "images") -> np.ndarray:
    """Draw how many values each bin has.

    Args:
        title: text above the plot.
        label: what the values are.
        values: (N,); those that are not finite are left out.
        edges: (B + 1,) edges of the bins; values outside count in the first or last bin.
        noun: what is counted.

    Example:
        >>> draw_histogram("toy", "MAE", np.array([0.1, 0.4]), np.linspace(0, 1, 11)).shape
        (470, 760, 3)
    """
    bars = Series(noun, edges, histogram(values, edges), "bars")
    return draw_plot(Plot(title, label, noun, [bars], Axis(float(edges[0]), float(edges[-1])), counts=True))


def round_edges(values: np.ndarray, bins: int = 20) -> np.ndarray:
    """Return edges of about ``bins`` bins of a round width, from 0 to the highest finite value, or to 1 if that is 0.

    Example:
        >>> round_edges(np.array([0.03, 0.17]), bins=4).round(3).tolist()
        [0.0, 0.05, 0.1, 0.15, 0.2]
    """
    highest = float(values[np.isfinite(values)].max(initial=0.0))
    if highest <= 0:
        return np.linspace(0.0, 1.0, bins + 1)
    step = round_step(highest / bins)
    return step * np.arange(math.ceil(highest / step - 1e-9) + 1)


def histogram(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return how many finite values each bin has; those outside the edges count in the first or last one.

    Example:
        >>> histogram(np.array([0.1, 0.2, 0.9, 7.0, np.nan]), np.array([0.0, 0.5, 1.0])).tolist()
        [2, 2]
    """
    known = values[np.isfinite(values)]
    return np.histogram(np.clip(known, edges[0], edges[-1]), edges)[0]


def _finite(series: Series) -> tuple[np.ndarray, np.ndarray]:
    """Return the coordinates that an axis must hold."""
    x, y = np.asarray(series.x, dtype=float), np.asarray(series.y, dtype=float)
    if series.kind == "bars":
        return x, y[np.isfinite(y)]
    valid = np.isfinite(x) & np.isfinite(y)
    return x[valid], y[valid]


def _around(values: Sequence[np.ndarray]) -> Axis:
    joined = np.concatenate(values)
    low, high = float(joined.min()), float(joined.max())
    return Axis(low, high) if high > low else Axis(low - 0.5, high + 0.5)


def _upward(plot: Plot, values: Sequence[np.ndarray]) -> Axis:
    joined = np.concatenate(values)
    low, high = float(joined.min()), float(joined.max())
    if any(each.kind == "bars" for each in plot.series):
        low, high = min(low, 0.0), max(high, 0.0) or 1.0
        return Axis(low * 1.06, high * 1.06)
    room = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    return Axis(low - room, high + room)


_Look = tuple[Colour, tuple[int, ...]]


def _looks(series: Sequence[Series]) -> list[_Look]:
    """Return the colour and the pattern of each series; a line of a given colour is solid."""
    rest = [number for number, each in enumerate(series) if each.colour is None]
    looks = {number: look_of(place) for place, number in enumerate(rest)}
    found = [looks.get(number, (each.colour or INK, ())) for number, each in enumerate(series)]
    return [(look[0], REFERENCE if each.kind == "dashes" else look[1]) for look, each in zip(found, series)]


def _draw_series(pen: ImageDraw.ImageDraw, place: Place, series: Series, look: _Look) -> None:
    colour, pattern = look
    x, y = np.asarray(series.x, dtype=float), np.asarray(series.y, dtype=float)
    if series.kind == "bars":
        _draw_bars(pen, place, x, y, colour)
    elif series.kind == "dots":
        draw_dots(pen, place, x, y, colour, 3 * SCALE if len(x) <= 300 else 2 * SCALE)
    else:
        draw_curve(pen, place, *thinned(x, y, _MOST), colour, 2 * SCALE, pattern)


def _draw_bars(pen: ImageDraw.ImageDraw, place: Place, edges: np.ndarray, heights: np.ndarray, colour: Colour) -> None:
    """Draw bars that stand on 0, with an edge of one pixel, so that also low ones are seen."""
    for left, right, height in zip(edges[:-1], edges[1:], heights):
        if np.isfinite(height) and height != 0:
            (x0, y0), (x1, y1) = place.at(np.array([left, right]), np.array([0.0, height]))
            box = min(x0, x1) + 1, min(y0, y1), max(x0, x1) - 1, max(y0, y1)
            pen.rectangle(box, fill=mixed(colour, 0.75), outline=colour, width=SCALE)


def _draw_texts(pen: ImageDraw.ImageDraw, plot: Plot, edges: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = edges
    write(pen, (14, top - 20), plot.y_label, LABEL, SOFT, anchor="lm")
    write(pen, ((left + right) / 2, bottom + 32), plot.x_label, LABEL, SOFT, anchor="ma")
    if plot.ring is not None:
        write(pen, (right, top - 20), plot.ring[2], LABEL, INK, anchor="rm")


def _draw_names(
    pen: ImageDraw.ImageDraw, series: Sequence[Series], looks: Sequence[_Look], corner: tuple[int, int]
) -> None:
    """Write the legend, one entry per row, each with what stands for it."""
    left, row = corner[0], corner[1] + 8
    for each, (colour, pattern) in zip(series, looks):
        if not each.name:
            continue
        if each.kind == "bars":
            box = scaled(left + 4, row - 7, left + SAMPLE - 4, row + 7)
            pen.rectangle(box, fill=mixed(colour, 0.75), outline=colour, width=2)
        elif each.kind == "dots":
            middle = left + SAMPLE / 2
            pen.ellipse(scaled(middle - 4, row - 4, middle + 4, row + 4), fill=colour)
        else:
            draw_sample(pen, (left, row), colour, pattern)
        for line in _two_lines(pen, each.name, _LEGEND - SAMPLE - 26):
            write(pen, (left + SAMPLE + 6, row), line, TICK, INK, anchor="lm")
            row += 19
        row += 8


def _two_lines(pen: ImageDraw.ImageDraw, text: str, width: float) -> list[str]:
    """Return a text in at most two lines of a width; a longer one is shortened."""
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        if width_of(pen, joined, TICK) <= width or len(lines) == 2 or not lines[-1]:
            lines[-1] = joined
        else:
            lines.append(word)
    return [shortened(pen, line, TICK, width) for line in lines]
