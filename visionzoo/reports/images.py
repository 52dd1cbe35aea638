"""Drawing helpers that tasks share: colours, labels, boxes, enlarged and joined images.

A class, or the slot of a lane, has the same colour in every image. The first colours are those of Okabe and Ito, which
people with colour blindness can distinguish; lighter and darker versions follow. The size of lines and letters grows
with the image.
"""

from __future__ import annotations

import io
import math
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

# Okabe and Ito (2008), without black. The first colours differ most.
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
_SMALLEST_LETTERS = 9  # pixels; smaller letters are not readable
_SPELLED = dict(zip("ßæÆœøØłŁμ×–", ("ss", "ae", "AE", "oe", "o", "O", "l", "L", "u", "x", "-")))
_NO_LETTER = "\U0010ffff"
_FURTHER = "\n©«°±·»‘’“”…‹›™"  # what Pillow's font has besides ASCII


def class_colour(label: int) -> Colour:
    """Return the colour of a class, RGB.

    Example:
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
    """Return the factor by which an image is enlarged before letters are drawn on it.

    The factor is 1 if the longer side has at least 400 pixels. It is at most 4.

    Example:
        >>> scale_to_read(np.zeros((120, 160, 3))), scale_to_read(np.zeros((480, 640, 3)))
        (3, 1)
    """
    return min(4, -(-_READABLE_SIDE // max(image.shape[:2])))


def enlarged(image: np.ndarray, scale: int) -> np.ndarray:
    """Repeat every pixel ``scale`` times in both directions.

    Example:
        >>> enlarged(np.zeros((2, 3, 3)), 2).shape
        (4, 6, 3)
    """
    return image if scale == 1 else image.repeat(scale, axis=0).repeat(scale, axis=1)


def side_by_side(image: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Join two images with a white line between them, the original on the left.

    The shorter image is padded with white below.

    Args:
        image, drawn: (H, W, 3) uint8; the heights may differ.

    Example:
        >>> side_by_side(np.zeros((2, 3, 3), np.uint8), np.zeros((4, 3, 3), np.uint8)).shape
        (4, 8, 3)
    """
    below = [(0, max(image.shape[0], drawn.shape[0]) - each.shape[0]) for each in (image, drawn)]
    image, drawn = (
        np.pad(each, (rows, (0, 0), (0, 0)), constant_values=255) for each, rows in zip((image, drawn), below)
    )
    line = np.full((image.shape[0], max(2, line_width(image)), 3), 255, np.uint8)
    return np.concatenate([image, line, drawn], axis=1)


def thumbnail(image: np.ndarray, side: int = 192) -> np.ndarray:
    """Resize the image to fit into a white square, (side, side, 3). Small images are enlarged.

    Example:
        >>> thumbnail(np.zeros((8, 16, 3), np.uint8), side=32).shape
        (32, 32, 3)
    """
    drawing = Image.fromarray(image)
    scale = side / max(drawing.size)
    drawing = drawing.resize([max(1, round(scale * length)) for length in drawing.size], Image.Resampling.BILINEAR)
    square = Image.new("RGB", (side, side), (255, 255, 255))
    square.paste(drawing, ((side - drawing.width) // 2, (side - drawing.height) // 2))
    return np.asarray(square)


def fitted(image: np.ndarray, side: int) -> np.ndarray:
    """Return the image with at most ``side`` pixels in its longer side. Small images are unchanged.

    Example:
        >>> fitted(np.zeros((60, 90, 3), np.uint8), 30).shape, fitted(np.zeros((6, 9, 3), np.uint8), 30).shape
        ((20, 30, 3), (6, 9, 3))
    """
    drawing = Image.fromarray(image)
    drawing.thumbnail((side, side), Image.Resampling.BICUBIC)
    return np.asarray(drawing)


def contact_sheet(squares: Sequence[np.ndarray]) -> np.ndarray:
    """Arrange square images of one size in rows, with about as many rows as columns and white lines between them.

    Example:
        >>> contact_sheet([np.zeros((16, 16, 3), np.uint8)] * 3).shape
        (44, 44, 3)
    """
    columns = math.ceil(math.sqrt(len(squares)))
    side = squares[0].shape[0] + 4
    rows = math.ceil(len(squares) / columns)
    sheet = np.full((rows * side + 4, columns * side + 4, 3), 255, np.uint8)
    for number, square in enumerate(squares):
        top, left = (side * place + 4 for place in divmod(number, columns))
        sheet[top : top + side - 4, left : left + side - 4] = square
    return sheet


_MAGNIFIED: ContextVar[float] = ContextVar("magnified", default=1.0)


@contextmanager
def magnified(factor: float) -> Iterator[None]:
    """Draw wider lines and larger letters on images inside, such as on those that are reduced later.

    Example:
        >>> with magnified(2.0):
        ...     letter_height(np.zeros((480, 640, 3)))
        24
    """
    before = _MAGNIFIED.set(factor)
    try:
        yield
    finally:
        _MAGNIFIED.reset(before)


def line_width(image: np.ndarray) -> int:
    """Return the width of lines on an image in pixels.

    Example:
        >>> line_width(np.zeros((480, 640, 3)))
        2
    """
    width = max(1, round(0.003 * (image.shape[0] + image.shape[1]) / 2 + 0.5))
    return round(_MAGNIFIED.get() * width)


def letter_height(image: np.ndarray) -> int:
    """Return the height of letters on an image in pixels, >= 9.

    Example:
        >>> letter_height(np.zeros((480, 640, 3)))
        12
    """
    height = max(_SMALLEST_LETTERS, round(0.022 * float(np.sqrt(image.shape[0] * image.shape[1]))))
    return round(_MAGNIFIED.get() * height)


def drawable(text: str) -> str:
    """Return a text with the letters of Pillow's font: accents are dropped, and what it lacks becomes ``?``.

    Example:
        >>> drawable("Bär, Straße"), drawable("猫 1")
        ('Bar, Strasse', '? 1')
    """
    parts = (_SPELLED.get(each, each) for each in unicodedata.normalize("NFKD", text))
    plain = "".join(part for part in parts if not unicodedata.combining(part[0]))
    return "".join(each if " " <= each <= "~" or each in _FURTHER else "?" for each in plain)


class _LabelFont(ImageFont.FreeTypeFont):
    """A font that draws and measures what :func:`drawable` returns; an unknown letter would be an empty box.

    Texts of other alphabets are drawn by the font of matplotlib, if it is installed.
    """

    def getmask2(self, text: Any, *args: Any, **kwargs: Any) -> Any:
        other, drawn = _chosen(text, self.size)
        return other.getmask2(drawn, *args, **kwargs) if other else super().getmask2(drawn, *args, **kwargs)

    def getbbox(self, text: Any, *args: Any, **kwargs: Any) -> Any:
        other, drawn = _chosen(text, self.size)
        return other.getbbox(drawn, *args, **kwargs) if other else super().getbbox(drawn, *args, **kwargs)

    def getlength(self, text: Any, *args: Any, **kwargs: Any) -> float:
        other, drawn = _chosen(text, self.size)
        return other.getlength(drawn, *args, **kwargs) if other else super().getlength(drawn, *args, **kwargs)


@lru_cache(maxsize=4096)
def _chosen(text: Any, size: float) -> tuple[ImageFont.FreeTypeFont | None, Any]:
    """Return the font of other alphabets, or None for the own one, and what it draws of a text."""
    plain = drawable(text) if isinstance(text, str) else text
    if plain == text or plain.count("?") == text.count("?"):
        return None, plain
    other = _other_font(size)
    known = "" if other is None else "".join(each if _has_letter(each) else "?" for each in text)
    return (other, known) if known and known.count("?") < plain.count("?") else (None, plain)


@lru_cache(maxsize=32)
def _other_font(size: float) -> ImageFont.FreeTypeFont | None:
    """Return DejaVu Sans, which has Greek, Cyrillic, Arabic and further alphabets; None without matplotlib."""
    spec = find_spec("matplotlib")  # finds its folder and imports nothing
    folders = [] if spec is None else spec.submodule_search_locations or []
    paths = [Path(folder, "mpl-data", "fonts", "ttf", "DejaVuSans.ttf") for folder in folders]
    return next((ImageFont.truetype(path, size) for path in paths if path.is_file()), None)


@lru_cache(maxsize=4096)
def _has_letter(letter: str) -> bool:
    """Return True if the font of other alphabets has a letter: it draws another image than for no letter."""
    font = _other_font(16)
    return font is not None and bytes(font.getmask(letter)) != bytes(font.getmask(_NO_LETTER))


@lru_cache(maxsize=32)
def label_font(height: int) -> Font:
    """Return the font for labels, with letters of ``height`` pixels."""
    font = ImageFont.load_default(height)
    if not isinstance(font, ImageFont.FreeTypeFont):
        return font
    return _LabelFont(io.BytesIO(font.font_bytes), height, layout_engine=font.layout_engine)


def edge_of(mask: np.ndarray) -> np.ndarray:
    """Return the pixels of the mask, (H, W) bool, that have one of their four neighbours outside it.

    Example:
        >>> int(edge_of(np.ones((4, 4), bool)).sum())
        12
    """
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner


def draw_outline(canvas: np.ndarray, mask: np.ndarray, colour: Colour) -> None:
    """Draw lines along the inner edge of a mask, in a colour and in black in turn, so that one of them is visible.

    Args:
        canvas: (H, W, 3) uint8 RGB. It is changed.
        mask: (H, W) bool.
        colour: RGB.

    Example:
        >>> canvas = np.full((9, 9, 3), 7, np.uint8)
        >>> draw_outline(canvas, np.ones((9, 9), bool), (255, 255, 255))
        >>> canvas[0, 0].tolist(), canvas[1, 1].tolist(), canvas[4, 4].tolist()
        ([255, 255, 255], [0, 0, 0], [7, 7, 7])
    """
    for number in range(2 * line_width(canvas)):
        edge = edge_of(mask)
        canvas[edge] = colour if number % 2 == 0 else 0
        mask = mask & ~edge


def draw_box(pen: ImageDraw.ImageDraw, box: np.ndarray, colour: Colour, width: int, size: tuple[int, int]) -> None:
    """Draw a box as a coloured line between two thin dark lines, so that it is visible on any background.

    Args:
        pen: drawing context of the image.
        box: xyxy in pixels; right and bottom are exclusive. It is clipped to the image.
        colour: RGB.
        width: width of the coloured line in pixels. A line of one pixel has no dark lines.
        size: (width, height) of the image.
    """
    left, top, right, bottom = _inside(box, size)
    if width >= 2:
        pen.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=(0, 0, 0), width=width + 2)
    pen.rectangle((left, top, right, bottom), outline=colour, width=width)


def _inside(box: np.ndarray, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Round and clip the box to inclusive pixels of the image, with right >= left and bottom >= top."""
    left, top, right, bottom = (round(float(value)) for value in box)
    left, top = min(max(left, 0), size[0] - 1), min(max(top, 0), size[1] - 1)
    return left, top, min(max(right - 1, left), size[0] - 1), min(max(bottom - 1, top), size[1] - 1)


@dataclass(frozen=True)
class _Label:
    """A text on a plate: corner and size of the plate, and offset of the text in it, in pixels."""

    text: str
    colour: Colour
    x: int
    y: int
    width: int
    height: int
    dx: float
    dy: float

    def covers(self, other: _Label) -> bool:
        """Return True if the plates of both labels overlap."""
        return (
            self.x < other.x + other.width
            and other.x < self.x + self.width
            and self.y < other.y + other.height
            and other.y < self.y + self.height
        )


Wanted = tuple[str, Colour, np.ndarray]  # text, RGB colour, and box of a label, xyxy in pixels


@dataclass
class GatheredLabels:
    """Labels of several drawings on one image, with their fonts, in the order in which they were drawn."""

    found: list[tuple[Sequence[Wanted], Font]] = field(default_factory=list)


_GATHERED: ContextVar[GatheredLabels | None] = ContextVar("gathered", default=None)


@contextmanager
def gathered_labels() -> Iterator[GatheredLabels]:
    """Keep the labels of all drawings inside instead of writing them; :func:`write_gathered` then writes them.

    Example:
        >>> pen = ImageDraw.Draw(Image.new("RGB", (48, 32)))
        >>> with gathered_labels() as labels:
        ...     write_labels(pen, [("cat", (0, 0, 0), np.array([1, 1, 9, 9]))], label_font(10), (48, 32))
        >>> len(labels.found), pen._image.getbbox()
        (1, None)
    """
    found = GatheredLabels()
    before = _GATHERED.set(found)
    try:
        yield found
    finally:
        _GATHERED.reset(before)


def write_labels(pen: ImageDraw.ImageDraw, wanted: Iterable[Wanted], font: Font, size: tuple[int, int]) -> None:
    """Write each text on a plate of its colour near its box. The first label is on top.

    Args:
        pen: drawing context of the image.
        wanted: (text, RGB colour, box xyxy in pixels) of each label, the most important one first.
        font: font of the texts.
        size: (width, height) of the image. Wider labels are cut off; higher ones are skipped.
    """
    gathered = _GATHERED.get()
    if gathered is not None:
        gathered.found.append((list(wanted), font))
        return
    write_gathered(pen, GatheredLabels([(list(wanted), font)]), size)


def write_gathered(pen: ImageDraw.ImageDraw, labels: GatheredLabels, size: tuple[int, int]) -> None:
    """Write the labels of several drawings, those of the first drawing on top; see :func:`write_labels`."""
    placed: list[tuple[_Label, Font]] = []
    for wanted, font in labels.found:
        new = _placed_labels(pen, wanted, font, size, [label for label, _ in placed])
        placed += [(label, font) for label in new]
    for label, font in placed[::-1]:
        pen.rectangle((label.x, label.y, label.x + label.width - 1, label.y + label.height - 1), fill=label.colour)
        pen.text((label.x + label.dx, label.y + label.dy), label.text, fill=_readable_on(label.colour), font=font)


def wrapped(pen: ImageDraw.ImageDraw, text: str, font: Font, width: int, most: int = 2) -> str:
    """Return a text with line ends, so that its lines fit a width; further lines and letters are cut off.

    Args:
        pen: drawing context of the image.
        text: the text.
        font: its font.
        width: width of a line in pixels.
        most: largest number of lines, >= 1.

    Example:
        >>> pen = ImageDraw.Draw(Image.new("L", (1, 1)))
        >>> wrapped(pen, "the box on the left", label_font(10), 70).count(chr(10))
        1
    """
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        if pen.textlength(joined, font=font) <= width:
            lines[-1] = joined
        else:
            lines.append(word)
    lines = [line for line in lines if line]
    kept = [*lines[:most], *(["..."] if len(lines) > most else [])]
    if len(kept) > most:
        kept[-2:] = [f"{kept[-2]} ..."]
    return "\n".join(_cut(pen, line, font, width) for line in kept)


def _cut(pen: ImageDraw.ImageDraw, line: str, font: Font, width: int) -> str:
    while line and pen.textlength(line, font=font) > width:
        line = line[:-1]
    return line


def _placed_labels(
    pen: ImageDraw.ImageDraw, wanted: Iterable[Wanted], font: Font, size: tuple[int, int], before: Sequence[_Label]
) -> list[_Label]:
    """Place labels, best first. A label covers no earlier one, nor one of ``before``, if one of its places is free."""
    placed: list[_Label] = []
    for text, colour, box in wanted:
        text = "\n".join(_cut(pen, line, font, size[0] - 4) for line in text.split("\n"))
        left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
        label = _Label(text, colour, 0, 0, int(right - left) + 4, int(bottom - top) + 4, 2 - left, 2 - top)
        if not text or label.width > size[0] or label.height > size[1]:
            continue
        places = [replace(label, x=x, y=y) for x, y in _corners(label, _inside(box, size), size)]
        others = [*before, *placed]
        placed.append(next((new for new in places if not any(new.covers(old) for old in others)), places[0]))
    return placed


def _corners(label: _Label, box: tuple[int, int, int, int], size: tuple[int, int]) -> list[tuple[int, int]]:
    """Return possible corners of a label: above its box, inside at the top or bottom, below; left, then right."""
    left, top, right, bottom = box
    rows = [top - label.height, top, bottom - label.height, bottom + 1]
    inside = [y for y in rows if 0 <= y <= size[1] - label.height] or [min(top, size[1] - label.height)]
    columns = [min(left, size[0] - label.width), max(right - label.width + 1, 0)]
    return [(x, y) for x in columns for y in inside]


def _readable_on(colour: Colour) -> Colour:
    """Return black or white, whichever has more contrast with the colour."""
    red, green, blue = colour
    return (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 110 else (255, 255, 255)
