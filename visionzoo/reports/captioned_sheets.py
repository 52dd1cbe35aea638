"""Contact sheet with a caption below each image, a title, and a legend of class colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from visionzoo.reports.images import Colour, label_font

_SIDE = 300
_GAP, _LETTERS = 10, 15
_ROW = _LETTERS + 4
_HATCH = 12  # pixels between the lines that mark padding


@dataclass(frozen=True)
class Tile:
    """An image of a sheet, (H, W, 3) uint8 RGB, and the lines below it."""

    image: np.ndarray
    lines: tuple[str, ...]


def captioned_sheet(
    tiles: Sequence[Tile],
    title: Sequence[str],
    legend: Sequence[tuple[str, Colour]] = (),
    columns: int = 6,
    side: int = _SIDE,
) -> np.ndarray:
    """Arrange images in rows; each is made to fit into a square box.

    Args:
        tiles: the images.
        title: lines above them.
        legend: names and colours below the title.
        columns: images of a row, at most.
        side: pixels of a side of the box.

    Returns:
        (H, W, 3) uint8 RGB.

    Example:
        >>> captioned_sheet([Tile(np.zeros((8, 16, 3), np.uint8), ("a.png", "16x8"))], ["one image"]).shape
        (247, 700, 3)
    """
    across = min(columns, max(1, len(tiles)))
    width = max(700, across * (side + _GAP) + _GAP)
    fitted = [_fitted(tile.image, side) for tile in tiles]
    rows = [range(start, min(start + across, len(tiles))) for start in range(0, len(tiles), across)]
    legend_rows = _legend_rows(legend, width)
    top = _GAP + _ROW * (len(title) + len(legend_rows)) + _GAP
    heights = [max(fitted[at].height + _ROW * len(tiles[at].lines) for at in row) + 2 * _GAP for row in rows]
    sheet = Image.new("RGB", (width, top + sum(heights)), (255, 255, 255))
    pen, font = ImageDraw.Draw(sheet), label_font(_LETTERS)
    for number, line in enumerate(title):
        pen.text((_GAP, _GAP + number * _ROW), _cut(pen, line, width - 2 * _GAP), fill=(0, 0, 0), font=font)
    _draw_legend(pen, legend_rows, _GAP + _ROW * len(title))
    for row, height in zip(rows, heights, strict=True):
        for place, at in enumerate(row):
            left = _GAP + place * (side + _GAP)
            sheet.paste(fitted[at], (left, top))
            for number, line in enumerate(tiles[at].lines):
                y = top + fitted[at].height + 3 + number * _ROW
                pen.text((left, y), _cut(pen, line, side), fill=(0, 0, 0), font=font)
        top += height
    return np.asarray(sheet)


def hatched(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Mark the part of an image below ``height`` and right of ``width``, which is padding, by diagonal lines.

    Example:
        >>> marked = hatched(np.zeros((20, 30, 3), np.uint8), 20, 10)
        >>> bool(marked[:, :10].any()), bool(marked[:, 10:].any())
        (False, True)
    """
    marked = image.copy()
    rows, columns = np.indices(image.shape[:2])
    is_padding = (rows >= height) | (columns >= width)
    step = (rows + columns) % _HATCH
    marked[is_padding & (step < 2)] = (255, 255, 255)
    marked[is_padding & (step >= 2) & (step < 4)] = (0, 0, 0)
    return marked


def _fitted(image: np.ndarray, side: int) -> Image.Image:
    drawing = Image.fromarray(image)
    scale = side / max(drawing.size)
    size = [max(1, round(scale * length)) for length in drawing.size]
    return drawing.resize(size, Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.NEAREST)


def _cut(pen: ImageDraw.ImageDraw, text: str, width: int) -> str:
    """Return a text that fits, without its middle if it is too long."""
    font = label_font(_LETTERS)
    if pen.textlength(text, font=font) <= width:
        return text
    kept = min(len(text) - 1, width // 3)  # a letter is wider than 3 pixels on average
    while kept > 2 and pen.textlength(f"{text[: kept // 2]}...{text[-(kept - kept // 2) :]}", font=font) > width:
        kept -= 1
    return f"{text[: kept // 2]}...{text[-(kept - kept // 2) :]}"


_Placed = tuple[int, str, Colour]


def _legend_rows(legend: Sequence[tuple[str, Colour]], width: int) -> list[list[_Placed]]:
    pen, font = ImageDraw.Draw(Image.new("RGB", (1, 1))), label_font(_LETTERS)
    rows: list[list[_Placed]] = []
    left = width
    for name, colour in legend:
        length = _LETTERS + 6 + round(pen.textlength(name, font=font)) + 2 * _GAP
        if left + length > width - _GAP:
            rows.append([])
            left = _GAP
        rows[-1].append((left, name, colour))
        left += length
    return rows


def _draw_legend(pen: ImageDraw.ImageDraw, rows: Sequence[Sequence[_Placed]], top: int) -> None:
    for number, row in enumerate(rows):
        y = top + number * _ROW
        for left, name, colour in row:
            pen.rectangle((left, y + 2, left + _LETTERS - 2, y + _LETTERS), fill=colour, outline=(0, 0, 0))
            pen.text((left + _LETTERS + 6, y), name, fill=(0, 0, 0), font=label_font(_LETTERS))
