"""Confusion matrix: which class is mistaken for which."""

from __future__ import annotations

from collections.abc import Sequence

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
    mixed,
    new_canvas,
    reduced,
    scaled,
    shortened,
    write,
    write_up,
)
from visionzoo.reports.images import Colour, label_font

MOST = 20  # classes of a matrix
_PAIRS = 20  # rows of the table
_BLUE = COLOURS[0]
_NAMES, _LETTERS = 180, TICK
_SCALE, _OF_SCALE = 112, "1, share of the true class"  # width of the colours below the matrix; their text
_UNITS = ("", "k", "M", "G")


def draw_confusion(
    title: str, counts: np.ndarray, rows: Sequence[str], columns: Sequence[str], totals: np.ndarray | None = None
) -> np.ndarray:
    """Draw a matrix of counts. The colour of a cell is its share of its true class; its text is its count.

    Args:
        title: text above it.
        counts: (R, C) counts, true classes downwards, predicted ones to the right.
        rows, columns: names of the classes.
        totals: (R,) counts of the true classes with those of columns that are not drawn; None for the sums of the rows.

    Returns:
        (H, W, 3) uint8 RGB.

    Example:
        >>> draw_confusion("toy", np.array([[8, 2], [0, 5]]), ["cat", "dog"], ["cat", "dog"]).shape
        (286, 460, 3)
    """
    side = int(np.clip(640 // max(counts.shape), 34, 64))
    longest = [max(label_font(_LETTERS).getlength(name) for name in names) for names in (rows, columns)]
    left, top = (min(_NAMES, round(each)) + first for each, first in zip(longest, (48, 84)))
    texts = label_font(TITLE).getlength(title), left + _SCALE + label_font(TICK).getlength(_OF_SCALE)
    width = max(left + side * len(columns) + 24, 460, round(max(texts)) + 28)
    canvas, pen = new_canvas(width, top + side * len(rows) + 44)
    write(pen, (14, 10), title, TITLE, INK)
    _draw_cells(pen, counts, counts.sum(1) if totals is None else totals, side, (left, top))
    for number, name in enumerate(columns):
        column = left + (number + 0.5) * side
        write_up(canvas, (column, top - 8), shortened(pen, name, _LETTERS, _NAMES), _LETTERS, INK)
    for number, name in enumerate(rows):
        place = left - 8, top + (number + 0.5) * side
        write(pen, place, shortened(pen, name, _LETTERS, _NAMES), _LETTERS, INK, anchor="rm")
    write(pen, (left + side * len(columns) / 2, 52), "predicted", LABEL, SOFT, anchor="mm")
    write_up(canvas, (16, top + side * len(rows) / 2 + 16), "true", LABEL, SOFT)
    _draw_scale(pen, (left, top + side * len(rows) + 14))
    return reduced(canvas)


def worst_classes(counts: np.ndarray, most: int = MOST) -> np.ndarray:
    """Return the classes of the most frequent mistakes in a square matrix, ascending, with both classes of a mistake.

    Example:
        >>> worst_classes(np.array([[9, 0, 1], [0, 9, 0], [2, 0, 9]]), most=2).tolist()
        [0, 2]
    """
    wrong = counts - np.diag(np.diag(counts))
    rows, columns = np.unravel_index(np.argsort(-(wrong + wrong.T), axis=None, kind="stable"), counts.shape)
    kept = dict.fromkeys(np.stack([rows, columns], axis=1)[: most**2].ravel().tolist())
    return np.sort(np.array(list(kept)[:most], dtype=np.int64))


def confused_pairs(
    counts: np.ndarray, rows: Sequence[str], columns: Sequence[str], most: int = _PAIRS
) -> list[tuple[str, str, str, str]]:
    """Return rows of a table: true class, predicted class, count and share of the true class; most frequent first.

    Example:
        >>> confused_pairs(np.array([[8, 2], [0, 5]]), ["cat", "dog"], ["cat", "dog"])
        [('cat', 'dog', '2', '20.0 %')]
    """
    wrong = counts.copy()
    square = min(counts.shape)
    wrong[range(square), range(square)] = 0
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    totals = counts.sum(1)
    pairs = (np.unravel_index(each, counts.shape) for each in order)
    return [
        (
            rows[int(row)],
            columns[int(column)],
            f"{wrong[row, column]:,}",
            f"{100 * wrong[row, column] / totals[row]:.1f} %",
        )
        for row, column in pairs
        if wrong[row, column]
    ]


PAIR_COLUMNS = ("true", "predicted", "count", "of the true class")


def _draw_cells(
    pen: ImageDraw.ImageDraw, counts: np.ndarray, totals: np.ndarray, side: int, corner: tuple[int, int]
) -> None:
    for row, column in np.ndindex(*counts.shape):
        left, top = corner[0] + column * side, corner[1] + row * side
        colour = mixed(_BLUE, float(counts[row, column] / max(totals[row], 1)))
        pen.rectangle(scaled(left, top, left + side, top + side), fill=colour, outline=GRID, width=SCALE)
        if counts[row, column]:
            place = left + side / 2, top + side / 2
            text = short_count(int(counts[row, column]))
            height = 13 if len(text) > 3 and side < 40 else 15
            write(pen, place, text, height, _readable(colour), anchor="mm")


def short_count(count: int) -> str:
    """Return a count with at most four characters.

    Example:
        >>> short_count(999), short_count(1234), short_count(56789), short_count(3_400_000)
        ('999', '1.2k', '57k', '3.4M')
    """
    power = sum(count >= 999.5 * 1000**number for number in range(len(_UNITS) - 1))
    value = count / 1000**power
    return f"{value:.1f}{_UNITS[power]}" if power and value < 9.95 else f"{value:.0f}{_UNITS[power]}"


def _readable(colour: Colour) -> Colour:
    red, green, blue = colour
    return INK if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else (255, 255, 255)


def _draw_scale(pen: ImageDraw.ImageDraw, corner: tuple[int, int]) -> None:
    """Draw the colours of the shares from 0 to 1."""
    left, top = corner
    write(pen, (left, top + 8), "0", TICK, SOFT, anchor="rm")
    for step in range(50):
        colour = mixed(_BLUE, step / 49)
        pen.rectangle(scaled(left + 6 + 2 * step, top, left + 8 + 2 * step, top + 16), fill=colour)
    write(pen, (left + _SCALE, top + 8), _OF_SCALE, TICK, SOFT, anchor="lm")
