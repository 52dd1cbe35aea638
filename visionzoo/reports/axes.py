"""Axes of plots and what is drawn in them, for all drawings with Pillow.

Everything is drawn at ``SCALE`` times its size and reduced by :func:`reduced`, so that lines are smooth. Coordinates in
arguments are pixels of the reduced image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from visionzoo.reports.images import Colour, class_colour, label_font
from visionzoo.reports.ticks import Axis

SCALE = 2
INK, SOFT, GRID, FRAME, BACK = (40, 40, 40), (110, 110, 110), (228, 228, 228), (160, 160, 160), (255, 255, 255)

# Of Okabe and Ito, those that are readable on white.
COLOURS: tuple[Colour, ...] = tuple(class_colour(label) for label in (4, 5, 2, 6, 1, 0))

# Letters in pixels. Half of the smallest ones is still readable, as in a figure of half a page.
TITLE, LABEL, TICK = 21, 17, 16

# Pixels of dashes and gaps by turns; none for a solid line. Colours of equal lightness have different patterns, so that
# lines also differ in grey.
PATTERNS: tuple[tuple[int, ...], ...] = ((), (9, 5), (2, 4), (9, 4, 2, 4))
REFERENCE = (7, 7)  # pattern of a line without data, such as a diagonal
SAMPLE = 28  # pixels of a line in a legend


@dataclass(frozen=True)
class Place:
    """Both axes of a plot, and its edges.

    Attributes:
        across, up: the axes of x and y.
        edges: left, top, right and bottom of the plot in pixels.
    """

    across: Axis
    up: Axis
    edges: tuple[int, int, int, int]

    def at(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return places on the canvas, (N, 2), of points (N,); they are clipped to the plot from top to bottom."""
        left, top, right, bottom = self.edges
        columns = left + self.across.shares(x) * (right - left)
        rows = bottom - np.clip(self.up.shares(y), -0.02, 1.02) * (bottom - top)
        return SCALE * np.stack([columns, rows], axis=1)


def new_canvas(width: int, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """Return a white canvas for an image of a size in pixels, and its pen."""
    canvas = Image.new("RGB", (SCALE * width, SCALE * height), BACK)
    return canvas, ImageDraw.Draw(canvas)


def reduced(canvas: Image.Image) -> np.ndarray:
    """Return the finished image, (H, W, 3) uint8 RGB."""
    size = canvas.width // SCALE, canvas.height // SCALE
    return np.asarray(canvas.resize(size, Image.Resampling.LANCZOS))


def draw_axes(pen: ImageDraw.ImageDraw, place: Place, *, whole: bool, counts: bool = False) -> None:
    """Draw the grid, the ticks with their values, and the left and lower edge of a plot.

    Args:
        pen: pen of the canvas.
        place: the axes.
        whole: only whole numbers on the axis of x.
        counts: only whole numbers on the axis of y.
    """
    left, top, right, bottom = place.edges
    for value, text in place.up.ticks(min(10, max(3, (bottom - top) // 30)), whole=counts):
        row = bottom - float(place.up.shares(np.array([value]))[0]) * (bottom - top)
        pen.line(scaled(left, row, right, row), fill=GRID, width=SCALE)
        write(pen, (left - 6, row), text, TICK, SOFT, anchor="rm")
    for value, text in place.across.ticks(max(3, (right - left) // 90), whole=whole):
        column = left + float(place.across.shares(np.array([value]))[0]) * (right - left)
        pen.line(scaled(column, top, column, bottom), fill=GRID, width=SCALE)
        write(pen, (column, bottom + 5), text, TICK, SOFT, anchor="ma")
    pen.line(scaled(left, top, left, bottom), fill=FRAME, width=SCALE)
    pen.line(scaled(left, bottom, right, bottom), fill=FRAME, width=SCALE)


def draw_curve(
    pen: ImageDraw.ImageDraw,
    place: Place,
    x: np.ndarray,
    y: np.ndarray,
    colour: Colour,
    width: int,
    pattern: Sequence[int] = (),
) -> None:
    """Draw a line through points; one whose y is not finite, or not positive on a logarithmic axis, breaks it.

    Args:
        pen: pen of the canvas.
        place: the axes.
        x, y: (N,) coordinates of the points.
        colour: RGB.
        width: width of the line in pixels of the canvas.
        pattern: pixels of dashes and gaps by turns; none for a solid line.
    """
    valid = np.isfinite(y) & ((y > 0) | (not place.up.is_log))
    for part in np.split(np.arange(len(x)), np.flatnonzero(~valid)):
        part = part[valid[part]]
        if len(part) > 1:
            _draw_line(pen, place.at(x[part], y[part]), colour, width, pattern)


def _draw_line(
    pen: ImageDraw.ImageDraw, points: np.ndarray, colour: Colour, width: int, pattern: Sequence[int]
) -> None:
    """Draw a line through points (N, 2) of the canvas."""
    for piece in _dashes(points, pattern) if pattern else [points]:
        pen.line([(float(column), float(row)) for column, row in piece], fill=colour, width=width, joint="curve")


def _dashes(points: np.ndarray, pattern: Sequence[int]) -> list[np.ndarray]:
    """Return the dashes of a line through points (N, 2) of the canvas, (n, 2) each; they follow its corners."""
    lengths = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    steps = SCALE * np.array(pattern, dtype=float)
    rounds = int(lengths[-1] // steps.sum()) + 1
    bounds = np.concatenate([[0.0], np.cumsum(np.tile(steps, rounds))])
    found = []
    for start, end in zip(bounds[:-1:2], np.minimum(bounds[1::2], lengths[-1])):
        if start < lengths[-1]:
            inside = lengths[(lengths > start) & (lengths < end)]
            at = np.concatenate([[start], inside, [end]])
            found.append(np.stack([np.interp(at, lengths, axis) for axis in points.T], axis=1))
    return found


def draw_sample(pen: ImageDraw.ImageDraw, at: tuple[float, float], colour: Colour, pattern: Sequence[int] = ()) -> None:
    """Draw a line of a legend; ``at`` is its left end."""
    ends = np.array([scaled(*at), scaled(at[0] + SAMPLE, at[1])])
    _draw_line(pen, ends, colour, 3 * SCALE, pattern)


def draw_dots(
    pen: ImageDraw.ImageDraw, place: Place, x: np.ndarray, y: np.ndarray, colour: Colour, radius: int
) -> None:
    """Draw a dot at each point whose coordinates are finite; ``radius`` is in pixels of the canvas."""
    valid = np.isfinite(x) & np.isfinite(y)
    for column, row in place.at(x[valid], y[valid]):
        pen.ellipse((column - radius, row - radius, column + radius, row + radius), fill=colour)


def draw_ring(pen: ImageDraw.ImageDraw, place: Place, x: float, y: float) -> None:
    """Draw a ring around a point."""
    ring, radius = place.at(np.array([x]), np.array([y]))[0], 6 * SCALE
    pen.ellipse((*(ring - radius), *(ring + radius)), outline=INK, width=SCALE)


def thinned(x: np.ndarray, y: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Return at most about ``most`` points that look alike: smallest and largest value of each of equal parts."""
    if len(x) <= most:
        return x, y
    keep: list[int] = []
    for part in np.array_split(np.arange(len(x)), most // 2):
        filled = np.where(np.isfinite(y[part]), y[part], np.inf)
        keep += sorted({int(part[filled.argmin()]), int(part[np.where(np.isinf(filled), -np.inf, filled).argmax()])})
    return x[keep], y[keep]


def draw_legend(pen: ImageDraw.ImageDraw, names: Sequence[str], row: float, span: tuple[float, float]) -> None:
    """Write the names of lines in one row that ends at the right of a span, as many as fit, each with its colour."""
    widths = [width_of(pen, name, TICK) + SAMPLE + 14 for name in names]
    rest = {count: 110 if count < len(names) else 12 for count in range(len(names) + 1)}  # room for "and 9 more"
    room = span[1] - span[0]
    shown = next((count for count in range(len(names), 0, -1) if sum(widths[:count]) + rest[count] < room), 0)
    right = span[1]
    if shown < len(names):
        write(pen, (right, row), f"and {len(names) - shown} more", TICK, SOFT, anchor="rm")
        right -= width_of(pen, f"and {len(names) - shown} more", TICK) + 10
    for number in reversed(range(shown)):
        left = right - widths[number]
        draw_sample(pen, (left + 4, row), *look_of(number))
        write(pen, (left + SAMPLE + 10, row), names[number], TICK, INK, anchor="lm")
        right = left


def look_of(number: int) -> tuple[Colour, tuple[int, ...]]:
    """Return the colour and the pattern of a line by its number.

    Example:
        >>> look_of(1), look_of(6)
        (((213, 94, 0), (9, 5)), ((0, 114, 178), (2, 4)))
    """
    return COLOURS[number % len(COLOURS)], PATTERNS[number % len(PATTERNS)]


def mixed(colour: Colour, share: float) -> Colour:
    """Return a colour mixed with white.

    Example:
        >>> mixed((0, 100, 200), 0.5)
        (128, 178, 228)
    """
    red, green, blue = (round(255 - share * (255 - value)) for value in colour)
    return red, green, blue


def scaled(*values: float) -> tuple[float, ...]:
    """Return pixels of the canvas."""
    return tuple(SCALE * value for value in values)


def write(
    pen: ImageDraw.ImageDraw, at: tuple[float, float], text: str, height: int, colour: Colour, anchor: str = "la"
) -> None:
    """Write a line of text; ``height`` is that of its letters, ``anchor`` one of Pillow's."""
    pen.text((SCALE * at[0], SCALE * at[1]), text, fill=colour, font=label_font(SCALE * height), anchor=anchor)


def write_up(canvas: Image.Image, at: tuple[float, float], text: str, height: int, colour: Colour) -> None:
    """Write a line of text from below to above; ``at`` is the place of its lower end, in the middle of its letters."""
    font = label_font(SCALE * height)
    left, top, right, bottom = font.getbbox(text or " ")
    mask = Image.new("L", (max(1, round(right - left)), max(1, round(bottom - top))))
    ImageDraw.Draw(mask).text((-left, -top), text, fill=255, font=font)
    mask = mask.rotate(90, expand=True)
    column, row = scaled(*at)
    canvas.paste(Image.new("RGB", mask.size, colour), (round(column - mask.width / 2), round(row - mask.height)), mask)


def width_of(pen: ImageDraw.ImageDraw, text: str, height: int) -> float:
    """Return the width of a line of text in pixels."""
    return pen.textlength(text, font=label_font(SCALE * height)) / SCALE


def shortened(pen: ImageDraw.ImageDraw, text: str, height: int, width: float) -> str:
    """Return a text that fits a width in pixels; the middle of a longer one is replaced, because its ends differ most.

    Example:
        >>> shortened(new_canvas(9, 9)[1], "a very long name of a class", 12, 90)
        'a very...a class'
    """
    if width_of(pen, text, height) <= width:
        return text
    for kept in range(len(text) - 1, 1, -1):
        short = f"{text[: (kept + 1) // 2].rstrip()}...{text[len(text) - kept // 2 :].lstrip()}"
        if width_of(pen, short, height) <= width:
            return short
    return text[:1]
