"""Drawing helpers that tasks share: colours, labels, boxes, enlarged and joined images.

Colours belong to classes, and to the places of lanes: the same label has the same colour in every image. They are
Okabe and Ito's, which people with colour blindness tell apart, then lighter and darker versions of them. Lines
and letters grow with the image.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

# Okabe and Ito (2008), without black; ordered so that the first differ most.
_BASE: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
_READABLE_SIDE = 400  # pixels; smaller images are enlarged
_SMALLEST_LETTERS = 9  # pixels; below, nobody reads them


def class_colour(label: int) -> Colour:
    """The colour of a class, RGB.

    >>> class_colour(0), class_colour(7) != class_colour(0)
    ((230, 159, 0), True)
    """
    base = np.array(_BASE[label % len(_BASE)], dtype=float)
    version = (label // len(_BASE)) % 3
    if version == 1:
        base = base + (255 - base) * 0.5
    elif version == 2:
        base = base * 0.6
    red, green, blue = (int(value) for value in base)
    return red, green, blue


def scale_to_read(image: np.ndarray) -> int:
    """How many times a small image is enlarged before letters are drawn on it: 1 from 400 pixels on, at most 4.

    >>> scale_to_read(np.zeros((120, 160, 3))), scale_to_read(np.zeros((480, 640, 3)))
    (3, 1)
    """
    return min(4, -(-_READABLE_SIDE // max(image.shape[:2])))


def enlarged(image: np.ndarray, scale: int) -> np.ndarray:
    """The image with every pixel repeated ``scale`` times in both directions."""
    return image if scale == 1 else image.repeat(scale, axis=0).repeat(scale, axis=1)


def side_by_side(image: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Two images of one width, original left, with a white line between; white below the lower one."""
    below = [(0, max(image.shape[0], drawn.shape[0]) - each.shape[0]) for each in (image, drawn)]
    image, drawn = (
        np.pad(each, (rows, (0, 0), (0, 0)), constant_values=255) for each, rows in zip((image, drawn), below)
    )
    line = np.full((image.shape[0], max(2, line_width(image)), 3), 255, np.uint8)
    return np.concatenate([image, line, drawn], axis=1)


def thumbnail(image: np.ndarray, side: int = 192) -> np.ndarray:
    """The image made to fit into a white square, (side, side, 3); small ones are enlarged too."""
    drawing = Image.fromarray(image)
    scale = side / max(drawing.size)
    drawing = drawing.resize([max(1, round(scale * length)) for length in drawing.size], Image.Resampling.BILINEAR)
    square = Image.new("RGB", (side, side), (255, 255, 255))
    square.paste(drawing, ((side - drawing.width) // 2, (side - drawing.height) // 2))
    return np.asarray(square)


def contact_sheet(squares: Sequence[np.ndarray]) -> np.ndarray:
    """Images of one size row by row, about as many rows as columns, white lines between."""
    columns = math.ceil(math.sqrt(len(squares)))
    side = squares[0].shape[0] + 4
    rows = math.ceil(len(squares) / columns)
    sheet = np.full((rows * side + 4, columns * side + 4, 3), 255, np.uint8)
    for number, square in enumerate(squares):
        top, left = (side * place + 4 for place in divmod(number, columns))
        sheet[top : top + side - 4, left : left + side - 4] = square
    return sheet


def line_width(image: np.ndarray) -> int:
    return max(1, round(0.003 * (image.shape[0] + image.shape[1]) / 2 + 0.5))


def letter_height(image: np.ndarray) -> int:
    return max(_SMALLEST_LETTERS, round(0.022 * float(np.sqrt(image.shape[0] * image.shape[1]))))


@lru_cache(maxsize=32)
def label_font(height: int) -> Font:
    return ImageFont.load_default(height)


def edge_of(mask: np.ndarray) -> np.ndarray:
    """Pixels of the mask with a neighbour outside it."""
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner


def draw_box(pen: ImageDraw.ImageDraw, box: np.ndarray, colour: Colour, width: int, size: tuple[int, int]) -> None:
    """A coloured line between two thin dark ones, so that it shows on any background."""
    left, top, right, bottom = _inside(box, size)
    if width >= 2:
        pen.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=(0, 0, 0), width=width + 2)
    pen.rectangle((left, top, right, bottom), outline=colour, width=width)


def _inside(box: np.ndarray, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Whole pixels in the image, right and bottom not before left and top."""
    left, top, right, bottom = (round(float(value)) for value in box)
    left, top = min(max(left, 0), size[0] - 1), min(max(top, 0), size[1] - 1)
    return left, top, min(max(right - 1, left), size[0] - 1), min(max(bottom - 1, top), size[1] - 1)


@dataclass(frozen=True)
class _Label:
    """A text on its plate: the plate's corner and size, and where in it the text starts; pixels."""

    text: str
    colour: Colour
    x: int
    y: int
    width: int
    height: int
    dx: float
    dy: float

    def covers(self, other: _Label) -> bool:
        return (
            self.x < other.x + other.width
            and other.x < self.x + self.width
            and self.y < other.y + other.height
            and other.y < self.y + self.height
        )


def write_labels(
    pen: ImageDraw.ImageDraw, wanted: Iterable[tuple[str, Colour, np.ndarray]], font: Font, size: tuple[int, int]
) -> None:
    """Texts on plates of their colours, each beside its box, xyxy; the first on top."""
    for label in _placed_labels(pen, wanted, font, size)[::-1]:
        pen.rectangle((label.x, label.y, label.x + label.width - 1, label.y + label.height - 1), fill=label.colour)
        pen.text((label.x + label.dx, label.y + label.dy), label.text, fill=_readable_on(label.colour), font=font)


def _placed_labels(
    pen: ImageDraw.ImageDraw, wanted: Iterable[tuple[str, Colour, np.ndarray]], font: Font, size: tuple[int, int]
) -> list[_Label]:
    """Labels, best first: each where it covers none before it, as far as there is such a place."""
    placed: list[_Label] = []
    for text, colour, box in wanted:
        left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
        label = _Label(text, colour, 0, 0, int(right - left) + 4, int(bottom - top) + 4, 2 - left, 2 - top)
        if label.width > size[0] or label.height > size[1]:
            continue
        places = [replace(label, x=x, y=y) for x, y in _corners(label, _inside(box, size), size)]
        placed.append(next((new for new in places if not any(new.covers(old) for old in placed)), places[0]))
    return placed


def _corners(label: _Label, box: tuple[int, int, int, int], size: tuple[int, int]) -> list[tuple[int, int]]:
    """Where a label may be put: above its box, inside at the top, inside at the bottom, below; then from the right."""
    left, top, right, bottom = box
    rows = [top - label.height, top, bottom - label.height, bottom + 1]
    inside = [y for y in rows if 0 <= y <= size[1] - label.height] or [min(top, size[1] - label.height)]
    columns = [min(left, size[0] - label.width), max(right - label.width + 1, 0)]
    return [(x, y) for x in columns for y in inside]


def _readable_on(colour: Colour) -> Colour:
    """Black or white, whichever has more contrast."""
    red, green, blue = colour
    return (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 110 else (255, 255, 255)
