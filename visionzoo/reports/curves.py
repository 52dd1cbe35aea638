"""Curves of a training as one image: small panels with common widths, drawn with Pillow.

Everything is drawn at twice its size and reduced, so that lines are smooth. The image is 1000 pixels wide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import ImageDraw

from visionzoo.reports.axes import (
    GRID,
    INK,
    LABEL,
    SCALE,
    SOFT,
    TICK,
    TITLE,
    Place,
    draw_axes,
    draw_curve,
    draw_dots,
    draw_legend,
    draw_ring,
    look_of,
    mixed,
    new_canvas,
    reduced,
    scaled,
    thinned,
    width_of,
    write,
)
from visionzoo.reports.ticks import Axis

_WIDTH = 1000
_LEFT, _RIGHT, _TOP, _BOTTOM = 78, 26, 36, 30  # around the plot of a panel, in pixels
_HEIGHT, _LOW = 200, 150  # height of a panel, and of one of learning rates
_TITLE, _FOOT = 46, 30
_FEW = 50  # points of a line that is not averaged
_WHOLE = 2  # length of an axis of x, in epochs or iterations, from which it has only whole numbers


@dataclass(frozen=True)
class Line:
    """A line of a panel.

    Attributes:
        name: shown in the legend if the panel has several lines.
        x, y: coordinates of the points, in the order of x; a y that is not finite breaks the line.
        smooth: draw the points faintly, and their moving average.
        dots: draw a dot at each point.
    """

    name: str
    x: Sequence[float] | np.ndarray
    y: Sequence[float] | np.ndarray
    smooth: bool = False
    dots: bool = False


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    Attributes:
        title: text above it.
        lines: its lines; an empty panel shows ``empty``.
        wide: True for a panel of the whole width, False for half of it. The only panel of a row is wide.
        low: True for a panel of less height.
        mark: (x, y, text) of a point with a ring, and the text about it; None for none.
        empty: sentence that is shown if there are no lines.
    """

    title: str
    lines: Sequence[Line] = field(default_factory=list)
    wide: bool = False
    low: bool = False
    mark: tuple[float, float, str] | None = None
    empty: str = ""


def draw_panels(title: str, panels: Sequence[Panel], x_label: str) -> np.ndarray:
    """Draw panels in rows, two beside each other or one of the whole width.

    Args:
        title: text above all of them.
        panels: in reading order.
        x_label: what x is, written below the last row.

    Returns:
        (H, 1000, 3) uint8 RGB.

    Example:
        >>> panel = Panel("loss", [Line("loss", [1, 2, 3], [3.0, 2.0, 1.5], smooth=True)], wide=True)
        >>> draw_panels("toy", [panel], "iteration").shape
        (276, 1000, 3)
    """
    rows = _rows(panels)
    heights = [max(_LOW if panel.low else _HEIGHT for panel in row) for row in rows]
    height = _TITLE + sum(heights) + _FOOT
    canvas, pen = new_canvas(_WIDTH, height)
    write(pen, (14, 10), title, TITLE, INK)
    span = _span_of([value for panel in panels for line in panel.lines for value in line.x])
    top = _TITLE
    for row, tall in zip(rows, heights):
        for place, panel in enumerate(row):
            left, width = (0, _WIDTH) if panel.wide else (place * _WIDTH // 2, _WIDTH // 2)
            _draw_panel(pen, panel, (left, top, left + width, top + tall), span)
        top += tall
    write(pen, (_WIDTH // 2, height - _FOOT + 4), x_label, LABEL, SOFT, anchor="ma")
    return reduced(canvas)


def smoothed(values: np.ndarray, window: int) -> np.ndarray:
    """Return the centred moving average of the finite values; the window shrinks at the ends.

    Args:
        values: (N,) floats.
        window: number of values, >= 1.

    Example:
        >>> smoothed(np.array([1.0, 2.0, 6.0]), 3).tolist()
        [1.5, 3.0, 4.0]
    """
    valid = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(valid, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(valid)])
    places = np.arange(len(values))
    first, last = np.maximum(places - window // 2, 0), np.minimum(places + window // 2 + 1, len(values))
    number = counts[last] - counts[first]
    return np.where(number > 0, (sums[last] - sums[first]) / np.maximum(number, 1), np.nan)


def _rows(panels: Sequence[Panel]) -> list[list[Panel]]:
    rows: list[list[Panel]] = []
    for panel in panels:
        if panel.wide or not rows or rows[-1][0].wide or len(rows[-1]) == 2:
            rows.append([panel])
        else:
            rows[-1].append(panel)
    return [row if len(row) == 2 else [replace(row[0], wide=True)] for row in rows]


def _span_of(values: Sequence[float]) -> tuple[float, float]:
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _draw_panel(
    pen: ImageDraw.ImageDraw, panel: Panel, box: tuple[int, int, int, int], span: tuple[float, float]
) -> None:
    left, top, right, bottom = box[0] + _LEFT, box[1] + _TOP, box[2] - _RIGHT, box[3] - _BOTTOM
    write(pen, (left, top - 14), panel.title, LABEL, INK, anchor="lm")
    values = np.concatenate([_shown_values(line) for line in panel.lines] or [np.empty(0)])
    if not values.size:
        pen.rectangle(scaled(left, top, right, bottom), outline=GRID, width=SCALE)
        write(pen, ((left + right) / 2, (top + bottom) / 2), panel.empty, LABEL, SOFT, anchor="mm")
        return
    across, up = Axis.of_span(*span), Axis.around(values)
    place = Place(across, up, (left, top, right, bottom))
    draw_axes(pen, place, whole=span[1] - span[0] >= _WHOLE)
    remarks = [panel.mark[2]] if panel.mark is not None else []
    remark = ", ".join([*remarks, *(["log scale"] if up.is_log else [])])
    write(pen, (right, top - 14), remark, TICK, SOFT, anchor="rm")
    if len(panel.lines) > 1:
        used = width_of(pen, panel.title, LABEL)
        end = right - (width_of(pen, remark, TICK) + 12 if remark else 0)
        draw_legend(pen, [line.name for line in panel.lines], top - 14, (left + used, end))
    for faint in (True, False):  # averages are above all faint points
        for number, line in enumerate(panel.lines):
            _draw_line(pen, place, line, number, faint=faint)
    if panel.mark is not None:
        draw_ring(pen, place, *panel.mark[:2])


def _shown_values(line: Line) -> np.ndarray:
    """Return the values that the range of y must hold: those of the average and most of the faint points."""
    values = np.asarray(line.y, dtype=float)
    values = values[np.isfinite(values)]
    if not line.smooth or len(values) < _FEW:
        return values
    low, high = np.quantile(values, [0.005, 0.995])
    return np.concatenate([smoothed(values, _window(len(values))), values[(values >= low) & (values <= high)]])


def _window(count: int) -> int:
    return max(1, count // 25)


def _draw_line(pen: ImageDraw.ImageDraw, place: Place, line: Line, number: int, *, faint: bool) -> None:
    """Draw the faint points of a line, or the line itself with its dots."""
    x, y = np.asarray(line.x, dtype=float), np.asarray(line.y, dtype=float)
    is_average, (colour, pattern) = line.smooth and len(y) >= _FEW, look_of(number)
    if faint:
        if is_average:
            draw_curve(pen, place, *thinned(x, y, 4 * _WIDTH), mixed(colour, 0.28), SCALE)
        return
    y = smoothed(y, _window(len(y))) if is_average else y
    draw_curve(pen, place, *thinned(x, y, 4 * _WIDTH), colour, 2 * SCALE, pattern)
    if line.dots or (line.smooth and not is_average):
        draw_dots(pen, place, x, y, colour, 3 * SCALE if len(y) <= 60 else 2 * SCALE)
