"""Bars of several runs: one panel for each metric, drawn with Pillow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import ImageDraw

from visionzoo.reports.axes import (
    COLOURS,
    GRID,
    INK,
    LABEL,
    SCALE,
    SOFT,
    TICK,
    TITLE,
    new_canvas,
    reduced,
    scaled,
    width_of,
    write,
)

_WIDTH, _TITLE, _HEAD, _ROW, _GAP = 1000, 50, 34, 26, 14
_LABEL, _NUMBER = 60, 180  # columns of the names and of the numbers


@dataclass(frozen=True)
class Bars:
    """A panel.

    Attributes:
        title: name of the metric.
        remark: text beside it, such as the better direction.
        values: value of each run; None for none.
        spreads: standard deviation of each; None for none.
        best: True for each of the best values.
    """

    title: str
    remark: str
    values: Sequence[float | None]
    spreads: Sequence[float | None]
    best: Sequence[bool]


def draw_bars(title: str, names: Sequence[str], panels: Sequence[Bars]) -> np.ndarray:
    """Draw panels of horizontal bars, two beside each other.

    Args:
        title: text above all of them.
        names: short name of each run, at the left of its bar.
        panels: in reading order.

    Returns:
        (H, 1000, 3) uint8 RGB.

    Example:
        >>> draw_bars("toy", ["A", "B"], [Bars("AP", "higher", [0.5, 0.7], [None, 0.1], [False, True])]).shape
        (150, 1000, 3)
    """
    tall = _HEAD + _ROW * len(names) + _GAP
    height = _TITLE + tall * -(-len(panels) // 2)
    canvas, pen = new_canvas(_WIDTH, height)
    write(pen, (14, 12), title, TITLE, INK)
    for number, panel in enumerate(panels):
        row, column = divmod(number, 2)
        _draw_panel(pen, panel, names, (column * _WIDTH // 2 + 14, _TITLE + row * tall))
    return reduced(canvas)


def _draw_panel(pen: ImageDraw.ImageDraw, panel: Bars, names: Sequence[str], at: tuple[float, float]) -> None:
    left, top = at
    write(pen, (left, top + 4), panel.title, LABEL, INK)
    write(pen, (left + width_of(pen, panel.title, LABEL) + 10, top + 5), panel.remark, TICK, SOFT)
    low, high = _span(panel)
    start, length = left + _LABEL, _WIDTH / 2 - 28 - _LABEL - _NUMBER
    zero = start + length * (0 - low) / (high - low)
    for number, name in enumerate(names):
        middle = top + _HEAD + _ROW * number + _ROW / 2
        write(pen, (start - 8, middle), name, TICK, INK, anchor="rm")
        pen.line(scaled(start, middle, start + length, middle), fill=GRID, width=SCALE)
        value, spread = panel.values[number], panel.spreads[number]
        if value is None:
            write(pen, (start + 4, middle), "none", TICK, SOFT, anchor="lm")
            continue
        end = start + length * (value - low) / (high - low)
        colour = COLOURS[number % len(COLOURS)]
        pen.rectangle(scaled(min(zero, end), middle - 8, max(zero, end), middle + 8), fill=colour)
        if spread is not None:
            reach = length * spread / (high - low)
            for x in (end - reach, end + reach):
                pen.line(scaled(x, middle - 5, x, middle + 5), fill=INK, width=SCALE)
            pen.line(scaled(end - reach, middle, end + reach, middle), fill=INK, width=SCALE)
        text = f"{value:.4f}" + ("" if spread is None else f" ± {spread:.4f}") + (" *" if panel.best[number] else "")
        write(pen, (start + length + 8, middle), text, TICK, INK, anchor="lm")
    pen.line(scaled(zero, top + _HEAD, zero, top + _HEAD + _ROW * len(names)), fill=SOFT, width=SCALE)


def _span(panel: Bars) -> tuple[float, float]:
    """Return the range of a panel: from 0, or from the lowest value below 0, to the highest value with its spread."""
    ends = [0.0]
    for value, spread in zip(panel.values, panel.spreads, strict=True):
        if value is not None:
            ends += [value - (spread or 0) if value < 0 else value, value + (spread or 0)]
    low, high = min(ends), max(ends)
    return (low, high) if high > low else (low, low + 1)
