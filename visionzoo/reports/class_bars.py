"""Bars of classes: one row for each class, with one bar for each number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import ImageDraw

from visionzoo.reports.axes import (
    COLOURS,
    GRID,
    INK,
    SCALE,
    SOFT,
    TICK,
    TITLE,
    mixed,
    new_canvas,
    reduced,
    scaled,
    shortened,
    width_of,
    write,
)
from visionzoo.reports.ticks import Axis

MOST = 30  # rows
_WIDTH, _NAMES, _TOP, _BAR = 760, 230, 80, 18


def draw_class_bars(title: str, names: Sequence[str], bars: Mapping[str, np.ndarray], high: float = 1.0) -> np.ndarray:
    """Draw rows of horizontal bars from 0.

    Args:
        title: text above them.
        names: name of each row.
        bars: by name in the legend, (N,) values of the rows; one that is not finite has no bar but a dash.
        high: value at the right end.

    Returns:
        (H, 760, 3) uint8 RGB.

    Example:
        >>> draw_class_bars("IoU", ["sky", "sea"], {"IoU": np.array([0.9, np.nan])}).shape
        (166, 760, 3)
    """
    step = _BAR * len(bars) + 8
    height = _TOP + step * len(names) + 34
    canvas, pen = new_canvas(_WIDTH, height)
    write(pen, (14, 10), title, TITLE, INK)
    left, right = _NAMES, _WIDTH - 70
    for value, text in Axis(0.0, high).ticks(8):
        column = left + value / high * (right - left)
        pen.line(scaled(column, _TOP - 4, column, height - 30), fill=GRID, width=SCALE)
        write(pen, (column, height - 26), text, TICK, SOFT, anchor="ma")
    for row, name in enumerate(names):
        top = _TOP + row * step
        text = shortened(pen, name, TICK, _NAMES - 24)
        write(pen, (left - 8, top + (step - 8) / 2), text, TICK, INK, anchor="rm")
        for number, values in enumerate(bars.values()):
            span = left, right, top + number * _BAR
            _draw_bar(pen, span, float(values[row]), high, COLOURS[number % len(COLOURS)])
    if len(bars) > 1:
        _draw_names(pen, list(bars))
    return reduced(canvas)


def shown_rows(values: np.ndarray, most: int = MOST) -> np.ndarray:
    """Return the rows to draw, highest value first: all, or the lower and the upper half of ``most``.

    Values that are not finite are left out.

    Example:
        >>> shown_rows(np.array([0.2, np.nan, 0.9, 0.5])).tolist()
        [2, 3, 0]
        >>> shown_rows(np.arange(9.0), most=4).tolist()
        [8, 7, 1, 0]
    """
    order = np.argsort(-np.where(np.isfinite(values), values, -np.inf), kind="stable")[: np.isfinite(values).sum()]
    return order if len(order) <= most else np.concatenate([order[: most // 2], order[-(most - most // 2) :]])


def said_rows(shown: int, known: int) -> str:
    """Return a sentence about classes that are not drawn; empty if all are.

    Example:
        >>> said_rows(30, 80)
        ' Drawn are the 15 highest and the 15 lowest of 80 classes; the table has all.'
    """
    if shown == known:
        return ""
    return (
        f" Drawn are the {shown // 2} highest and the {shown - shown // 2} lowest of {known} classes; "
        "the table has all."
    )


def _draw_bar(
    pen: ImageDraw.ImageDraw,
    span: tuple[int, int, int],
    value: float,
    high: float,
    colour: tuple[int, int, int],
) -> None:
    left, right, top = span
    if not np.isfinite(value):
        write(pen, (left + 6, top + _BAR / 2), "-", TICK, SOFT, anchor="lm")
        return
    end = left + min(max(value / high, 0.0), 1.0) * (right - left)
    if end > left:
        box = scaled(left, top + 1, max(end, left + 2), top + _BAR - 2)
        pen.rectangle(box, fill=mixed(colour, 0.75), outline=colour, width=SCALE)
    write(pen, (end + 6, top + _BAR / 2), f"{value:.3f}", TICK, SOFT, anchor="lm")


def _draw_names(pen: ImageDraw.ImageDraw, names: Sequence[str]) -> None:
    left = float(_NAMES)
    for number, name in enumerate(names):
        colour = COLOURS[number % len(COLOURS)]
        pen.rectangle(scaled(left, 47, left + 18, 63), fill=mixed(colour, 0.75), outline=colour, width=SCALE)
        write(pen, (left + 24, 55), name, TICK, INK, anchor="lm")
        left += width_of(pen, name, TICK) + 48
