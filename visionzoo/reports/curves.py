"""Curves of a training as one image: small panels with common widths, drawn with Pillow.

Everything is drawn at twice its size and reduced, so that lines are smooth. The image is 1000 pixels wide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from PIL import Image, ImageDraw

from visionzoo.reports.images import Colour, class_colour, label_font
from visionzoo.reports.ticks import Axis

_SCALE = 2
_WIDTH = 1000
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 26, 30, 26  # around the plot of a panel, in pixels
_HEIGHT, _LOW = 180, 130  # height of a panel, and of one of learning rates
_TITLE = 40
_INK, _SOFT, _GRID, _FRAME = (40, 40, 40), (110, 110, 110), (228, 228, 228), (160, 160, 160)
_FEW = 50  # points of a line that is not averaged
_BACK = (255, 255, 255)

# Of Okabe and Ito, those that are readable on white.
_COLOURS: tuple[Colour, ...] = tuple(class_colour(label) for label in (4, 5, 2, 6, 1, 0))


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
        (246, 1000, 3)
    """
    rows = _rows(panels)
    heights = [max(_LOW if panel.low else _HEIGHT for panel in row) for row in rows]
    height = _TITLE + sum(heights) + 26
    canvas = Image.new("RGB", (_SCALE * _WIDTH, _SCALE * height), _BACK)
    pen = ImageDraw.Draw(canvas)
    _write(pen, (14, 10), title, 17, _INK)
    span = _span_of([value for panel in panels for line in panel.lines for value in line.x])
    top = _TITLE
    for row, tall in zip(rows, heights):
        for place, panel in enumerate(row):
            left, width = (0, _WIDTH) if panel.wide else (place * _WIDTH // 2, _WIDTH // 2)
            _draw_panel(pen, panel, (left, top, left + width, top + tall), span)
        top += tall
    _write(pen, (_WIDTH // 2, height - 22), x_label, 13, _SOFT, anchor="ma")
    return np.asarray(canvas.resize((_WIDTH, height), Image.Resampling.LANCZOS))


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
    _write(pen, (left, top - 12), panel.title, 13, _INK, anchor="lm")
    values = np.concatenate([_shown_values(line) for line in panel.lines] or [np.empty(0)])
    if not values.size:
        pen.rectangle(_doubled(left, top, right, bottom), outline=_GRID, width=_SCALE)
        _write(pen, ((left + right) / 2, (top + bottom) / 2), panel.empty, 14, _SOFT, anchor="mm")
        return
    across, up = Axis.of_span(*span), Axis.around(values)
    place = _Place(across, up, (left, top, right, bottom))
    _draw_axes(pen, place, whole=not any(value % 1 for value in span))
    remarks = [panel.mark[2]] if panel.mark is not None else []
    remark = ", ".join([*remarks, *(["log scale"] if up.is_log else [])])
    _write(pen, (right, top - 12), remark, 12, _SOFT, anchor="rm")
    if len(panel.lines) > 1:
        used = pen.textlength(panel.title, font=label_font(13 * _SCALE)) / _SCALE
        end = right - (pen.textlength(remark, font=label_font(12 * _SCALE)) / _SCALE + 12 if remark else 0)
        _draw_legend(pen, [line.name for line in panel.lines], top - 12, (left + used, end))
    for faint in (True, False):  # averages are above all faint points
        for number, line in enumerate(panel.lines):
            _draw_line(pen, place, line, _COLOURS[number % len(_COLOURS)], faint=faint)
    if panel.mark is not None:
        ring, radius = place.at(np.array(panel.mark[:1]), np.array(panel.mark[1:2]))[0], 6 * _SCALE
        pen.ellipse((*(ring - radius), *(ring + radius)), outline=_INK, width=_SCALE)


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


@dataclass(frozen=True)
class _Place:
    """The plot of a panel: both axes and the edges in pixels."""

    across: Axis
    up: Axis
    edges: tuple[int, int, int, int]

    def at(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return pixels (N, 2) at twice the size, clipped to the plot from top to bottom."""
        left, top, right, bottom = self.edges
        columns = left + self.across.shares(x) * (right - left)
        rows = bottom - np.clip(self.up.shares(y), -0.02, 1.02) * (bottom - top)
        return _SCALE * np.stack([columns, rows], axis=1)


def _draw_axes(pen: ImageDraw.ImageDraw, place: _Place, *, whole: bool) -> None:
    left, top, right, bottom = place.edges
    for value, text in place.up.ticks(max(3, (bottom - top) // 22)):
        row = bottom - float(place.up.shares(np.array([value]))[0]) * (bottom - top)
        pen.line(_doubled(left, row, right, row), fill=_GRID, width=_SCALE)
        _write(pen, (left - 6, row), text, 12, _SOFT, anchor="rm")
    for value, text in place.across.ticks(max(3, (right - left) // 75), whole=whole):
        column = left + float(place.across.shares(np.array([value]))[0]) * (right - left)
        pen.line(_doubled(column, top, column, bottom), fill=_GRID, width=_SCALE)
        _write(pen, (column, bottom + 5), text, 12, _SOFT, anchor="ma")
    pen.line(_doubled(left, top, left, bottom), fill=_FRAME, width=_SCALE)
    pen.line(_doubled(left, bottom, right, bottom), fill=_FRAME, width=_SCALE)


def _draw_line(pen: ImageDraw.ImageDraw, place: _Place, line: Line, colour: Colour, *, faint: bool) -> None:
    """Draw the faint points of a line, or the line itself with its dots."""
    x, y = np.asarray(line.x, dtype=float), np.asarray(line.y, dtype=float)
    is_average = line.smooth and len(y) >= _FEW
    if faint:
        if is_average:
            _draw_parts(pen, place, *_thinned(x, y, 4 * _WIDTH), _mixed(colour, 0.28), _SCALE)
        return
    y = smoothed(y, _window(len(y))) if is_average else y
    _draw_parts(pen, place, *_thinned(x, y, 4 * _WIDTH), colour, 2 * _SCALE)
    if line.dots or (line.smooth and not is_average):
        radius = 3 * _SCALE if len(y) <= 60 else 2 * _SCALE
        for column, row in place.at(x[np.isfinite(y)], y[np.isfinite(y)]):
            pen.ellipse((column - radius, row - radius, column + radius, row + radius), fill=colour)


def _draw_parts(
    pen: ImageDraw.ImageDraw, place: _Place, x: np.ndarray, y: np.ndarray, colour: Colour, width: int
) -> None:
    """Draw the parts of a line between values that are not finite, or not positive on a logarithmic axis."""
    valid = np.isfinite(y) & ((y > 0) | (not place.up.is_log))
    for part in np.split(np.arange(len(x)), np.flatnonzero(~valid)):
        part = part[valid[part]]
        if len(part) > 1:
            points = [(float(column), float(row)) for column, row in place.at(x[part], y[part])]
            pen.line(points, fill=colour, width=width, joint="curve")


def _thinned(x: np.ndarray, y: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Return at most about ``most`` points that look alike: smallest and largest value of each of equal parts."""
    if len(x) <= most:
        return x, y
    keep: list[int] = []
    for part in np.array_split(np.arange(len(x)), most // 2):
        filled = np.where(np.isfinite(y[part]), y[part], np.inf)
        keep += sorted({int(part[filled.argmin()]), int(part[np.where(np.isinf(filled), -np.inf, filled).argmax()])})
    return x[keep], y[keep]


def _draw_legend(pen: ImageDraw.ImageDraw, names: Sequence[str], row: float, span: tuple[float, float]) -> None:
    """Write the names of lines in one row that ends at the right of a span, as many as fit, each with its colour."""
    font = label_font(12 * _SCALE)
    widths = [pen.textlength(name, font=font) / _SCALE + 28 for name in names]
    rest = {count: 90 if count < len(names) else 12 for count in range(len(names) + 1)}  # room for "and 9 more"
    room = span[1] - span[0]
    shown = next((count for count in range(len(names), 0, -1) if sum(widths[:count]) + rest[count] < room), 0)
    right = span[1]
    if shown < len(names):
        _write(pen, (right, row), f"and {len(names) - shown} more", 12, _SOFT, anchor="rm")
        right -= pen.textlength(f"and {len(names) - shown} more", font=font) / _SCALE + 10
    for number in reversed(range(shown)):
        left = right - widths[number]
        colour = _COLOURS[number % len(_COLOURS)]
        pen.line(_doubled(left + 4, row, left + 18, row), fill=colour, width=3 * _SCALE)
        _write(pen, (left + 22, row), names[number], 12, _INK, anchor="lm")
        right = left


def _mixed(colour: Colour, share: float) -> Colour:
    """Return a colour mixed with white."""
    red, green, blue = (round(255 - share * (255 - value)) for value in colour)
    return red, green, blue


def _doubled(*values: float) -> tuple[float, ...]:
    return tuple(_SCALE * value for value in values)


def _write(
    pen: ImageDraw.ImageDraw, at: tuple[float, float], text: str, height: int, colour: Colour, anchor: str = "la"
) -> None:
    pen.text((_SCALE * at[0], _SCALE * at[1]), text, fill=colour, font=label_font(_SCALE * height), anchor=anchor)
