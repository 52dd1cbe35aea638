"""Bars of several runs: one panel for each metric, drawn with Pillow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from visionzoo.reports.images import Colour, class_colour, label_font

_SCALE = 2  # drawn at twice the size and reduced, so that letters are smooth
_WIDTH, _TITLE, _HEAD, _ROW, _GAP = 1000, 46, 30, 24, 14
_LABEL, _NUMBER = 60, 150  # columns of the names and of the numbers
_INK, _SOFT, _GRID = (40, 40, 40), (110, 110, 110), (228, 228, 228)

# Of Okabe and Ito, those that are readable on white.
COLOURS: tuple[Colour, ...] = tuple(class_colour(label) for label in (4, 5, 2, 6, 1, 0))


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
        (138, 1000, 3)
    """
    tall = _HEAD + _ROW * len(names) + _GAP
    height = _TITLE + tall * -(-len(panels) // 2)
    canvas = Image.new("RGB", (_SCALE * _WIDTH, _SCALE * height), (255, 255, 255))
    pen = ImageDraw.Draw(canvas)
    _write(pen, (14, 12), title, 17, _INK)
    for number, panel in enumerate(panels):
        row, column = divmod(number, 2)
        _draw_panel(pen, panel, names, (column * _WIDTH // 2 + 14, _TITLE + row * tall))
    return np.asarray(canvas.resize((_WIDTH, height), Image.Resampling.LANCZOS))


def _draw_panel(pen: ImageDraw.ImageDraw, panel: Bars, names: Sequence[str], at: tuple[float, float]) -> None:
    left, top = at
    _write(pen, (left, top + 4), panel.title, 14, _INK)
    used = pen.textlength(panel.title, font=label_font(14 * _SCALE)) / _SCALE
    _write(pen, (left + used + 10, top + 6), panel.remark, 12, _SOFT)
    low, high = _span(panel)
    start, length = left + _LABEL, _WIDTH / 2 - 28 - _LABEL - _NUMBER
    zero = start + length * (0 - low) / (high - low)
    for number, name in enumerate(names):
        middle = top + _HEAD + _ROW * number + _ROW / 2
        _write(pen, (start - 8, middle), name, 13, _INK, anchor="rm")
        pen.line(_scaled(start, middle, start + length, middle), fill=_GRID, width=_SCALE)
        value, spread = panel.values[number], panel.spreads[number]
        if value is None:
            _write(pen, (start + 4, middle), "none", 12, _SOFT, anchor="lm")
            continue
        end = start + length * (value - low) / (high - low)
        colour = COLOURS[number % len(COLOURS)]
        pen.rectangle(_scaled(min(zero, end), middle - 8, max(zero, end), middle + 8), fill=colour)
        if spread is not None:
            reach = length * spread / (high - low)
            for x in (end - reach, end + reach):
                pen.line(_scaled(x, middle - 5, x, middle + 5), fill=_INK, width=_SCALE)
            pen.line(_scaled(end - reach, middle, end + reach, middle), fill=_INK, width=_SCALE)
        text = f"{value:.4f}" + ("" if spread is None else f" ± {spread:.4f}") + (" *" if panel.best[number] else "")
        _write(pen, (start + length + 8, middle), text, 13, _INK, anchor="lm")
    pen.line(_scaled(zero, top + _HEAD, zero, top + _HEAD + _ROW * len(names)), fill=_SOFT, width=_SCALE)


def _span(panel: Bars) -> tuple[float, float]:
    """Return the range of a panel: from 0, or from the lowest value below 0, to the highest value with its spread."""
    ends = [0.0]
    for value, spread in zip(panel.values, panel.spreads, strict=True):
        if value is not None:
            ends += [value - (spread or 0) if value < 0 else value, value + (spread or 0)]
    low, high = min(ends), max(ends)
    return (low, high) if high > low else (low, low + 1)


def _scaled(*values: float) -> tuple[float, ...]:
    return tuple(_SCALE * value for value in values)


def _write(
    pen: ImageDraw.ImageDraw, at: tuple[float, float], text: str, height: int, colour: Colour, anchor: str = "la"
) -> None:
    pen.text((_SCALE * at[0], _SCALE * at[1]), text, fill=colour, font=label_font(_SCALE * height), anchor=anchor)
