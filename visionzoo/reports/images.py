"""Overlays: predictions drawn on their images.

Colours belong to classes, and to the places of lanes: the same label has the same colour in every image. They are
Okabe and Ito's, which people with colour blindness tell apart, then lighter and darker versions of them. Heat goes from
dark violet over red to yellow, lighter all the way. Lines and letters grow with the image.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from visionzoo.structures.class_scores import ClassScores
from visionzoo.structures.counts import CrowdCount
from visionzoo.structures.detections import Detections, decode_mask
from visionzoo.structures.lanes import Lanes
from visionzoo.structures.saliency_maps import SaliencyMap

Colour = tuple[int, int, int]
_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

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
_MASK_OPACITY = 0.45
_MAP_OPACITY = 0.6
_READABLE_SIDE = 400  # pixels; smaller images are enlarged
_SMALLEST_LETTERS = 9  # pixels; below, nobody reads them
_SUBPIXELS = 4  # binary digits: curves are drawn to a sixteenth of a pixel
_DARKEST_HEAT = 0.25  # of the colour table; its beginning is black, which is no heat on a dark image
_HEAT_OPACITY = 0.85
# The hottest colour is never given to less than as much as so many people spread over the whole image.
_LEAST_HEAT = 20
_STRIP = 256  # rows that are coloured at a time, which keeps the floats of large images small


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


def draw_detections(image: np.ndarray, found: Detections, scale: int = 1) -> np.ndarray:
    """Masks, boxes and labels with their scores, best on top.

    Args:
        image: (H, W, 3) uint8 RGB, of the size that the boxes are for. It is not changed.
        found: what to draw; all of it, so filter by score before.
        scale: enlarge the image this many times, so that letters do not hide it; see :func:`scale_to_read`.

    Returns:
        (scale * H, scale * W, 3) uint8 RGB.
    """
    image = enlarged(_with_masks(image, found), scale)
    found = replace(found, boxes=found.boxes * scale, masks=None)
    drawing = Image.fromarray(image)
    pen = ImageDraw.Draw(drawing)
    width, font = _line_width(image), _font(_letter_height(image))
    for index in range(len(found))[::-1]:
        colour = class_colour(int(found.labels[index]))
        _draw_box(pen, found.boxes[index], colour, width, drawing.size)
    numbers = [int(number) for number in found.labels]
    texts = [f"{found.name_of(number)} {score:.2f}" for number, score in zip(numbers, found.scores)]
    _write_labels(pen, zip(texts, map(class_colour, numbers), found.boxes), font, drawing.size)
    return np.asarray(drawing).copy()


def draw_class_scores(image: np.ndarray, found: ClassScores, scale: int = 1) -> np.ndarray:
    """The image with a panel below it: one bar for each class, as long as its score.

    Args:
        image: (H, W, 3) uint8 RGB. It is not changed.
        found: what to draw, best first.
        scale: enlarge the image this many times; see :func:`scale_to_read`.

    Returns:
        (scale * H + panel, scale * W, 3) uint8 RGB.
    """
    image = enlarged(image, scale)
    letters = _letter_height(image)
    row, font = round(1.6 * letters), _font(letters)
    panel = Image.new("RGB", (image.shape[1], max(1, len(found)) * row), (255, 255, 255))
    pen = ImageDraw.Draw(panel)
    for index, (label, score) in enumerate(zip(found.labels.tolist(), found.scores.tolist())):
        top = index * row
        length = round(min(score, 1.0) * panel.width)
        pen.rectangle((0, top, max(length - 1, 1), top + row - 3), fill=_paler(class_colour(label)))
        pen.text((4, top + 0.15 * row), f"{found.name_of(label)} {score:.2f}", fill=(0, 0, 0), font=font)
    return np.concatenate([image, np.asarray(panel)], axis=0)


def draw_saliency(image: np.ndarray, found: SaliencyMap, scale: int = 1) -> np.ndarray:
    """The image with colour where the map is high, and a line around the mask.

    Args:
        image: (H, W, 3) uint8 RGB, of the map's size. It is not changed.
        found: what to draw.
        scale: enlarge the image this many times; see :func:`scale_to_read`.

    Returns:
        (scale * H, scale * W, 3) uint8 RGB.
    """
    colour = np.array(class_colour(0), dtype=float)
    opacity = _MAP_OPACITY * enlarged(found.map[..., None], scale)
    canvas = (enlarged(image, scale) * (1 - opacity) + colour * opacity).astype(np.uint8)
    mask = enlarged(found.mask, scale)
    for width in range(2 * _line_width(canvas)):
        edge = _edge_of(mask)
        canvas[edge] = colour.astype(np.uint8) if width % 2 == 0 else 0
        mask = mask & ~edge
    return canvas


def draw_lanes(image: np.ndarray, found: Lanes, scale: int = 1) -> np.ndarray:
    """A curve for every lane with a dot at each of its points, and near its lower end its place and score.

    Args:
        image: (H, W, 3) uint8 RGB, of the size that the points are for. It is not changed.
        found: what to draw; lanes of the same place (slot) have the same colour in every image.
        scale: enlarge the image this many times; see :func:`scale_to_read`.

    Returns:
        (scale * H, scale * W, 3) uint8 RGB.
    """
    canvas = enlarged(image, scale).copy()
    width = _line_width(canvas)
    curves = [(lane + 0.5) * scale - 0.5 for lane in found.points]
    for slot, curve in zip(found.slots, curves):
        _draw_curve(canvas, curve, class_colour(slot), width)
    drawing = Image.fromarray(canvas)
    texts = [f"{slot}: {score:.2f}" for slot, score in zip(found.slots, found.scores)]
    ends = [_lower_end(curve, 2 * width) for curve in curves]
    font = _font(_letter_height(canvas))
    _write_labels(ImageDraw.Draw(drawing), zip(texts, map(class_colour, found.slots), ends), font, drawing.size)
    return np.asarray(drawing).copy()


def _draw_curve(canvas: np.ndarray, curve: np.ndarray, colour: Colour, width: int) -> None:
    """Straight from point to point, (n, 2), on a dark line that shows it on any background."""
    inside = np.clip(curve, -canvas.shape[1] - canvas.shape[0], 2 * (canvas.shape[1] + canvas.shape[0]))
    points = np.round(inside * 2**_SUBPIXELS).astype(np.int32)
    for tint, wider in (((0, 0, 0), 2), (colour, 0)):
        cv2.polylines(canvas, [points[:, None]], False, tint, width + wider, cv2.LINE_AA, _SUBPIXELS)
    for point in points:
        for tint, radius in (((0, 0, 0), width + 1.0), (colour, float(width))):
            cv2.circle(canvas, point.tolist(), round(radius * 2**_SUBPIXELS), tint, -1, cv2.LINE_AA, _SUBPIXELS)


def _lower_end(curve: np.ndarray, radius: int) -> np.ndarray:
    """The box, xyxy, around the lowest point of a curve."""
    x, y = curve[np.argmax(curve[:, 1])]
    return np.array([x - radius, y - radius, x + radius, y + radius])


def draw_count(image: np.ndarray, found: CrowdCount, scale: int = 1) -> np.ndarray:
    """The image, paler, with heat where people are dense, and the count in large letters.

    Args:
        image: (H, W, 3) uint8 RGB, of the size that the density is for. It is not changed.
        found: what to draw. The densest place has the hottest colour, whatever its density.
        scale: enlarge the image this many times; see :func:`scale_to_read`.

    Returns:
        (scale * H, scale * W, 3) uint8 RGB.
    """
    image = enlarged(image, scale)
    heat = _heat(found.density, image.shape[1], image.shape[0])
    canvas = np.empty_like(image)
    for top in range(0, len(image), _STRIP):
        rows = slice(top, top + _STRIP)
        canvas[rows] = _heated(image[rows], heat[rows])
    drawing = Image.fromarray(canvas)
    font = _font(2 * _letter_height(canvas))
    corner = np.zeros(4)
    _write_labels(ImageDraw.Draw(drawing), [(f"{found.count:.1f}", (255, 255, 255), corner)], font, drawing.size)
    return np.asarray(drawing).copy()


def _heat(density: np.ndarray, width: int, height: int) -> np.ndarray:
    """People per cell, (h, w), as smooth (height, width) float32 in [0, 1]; 1 is the densest place."""
    cells = np.clip(density, 0, None).astype(np.float32)
    highest = max(float(cells.max(initial=0)), _LEAST_HEAT / cells.size)
    return cv2.resize(cells / highest, (width, height), interpolation=cv2.INTER_LINEAR)


def _heated(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """The image, (H, W, 3) uint8, half way to grey, under its heat, (H, W) in [0, 1]."""
    opacity = (_HEAT_OPACITY * np.sqrt(heat))[..., None]
    paler = 0.5 * (image + image.mean(axis=2, keepdims=True, dtype=np.float32))
    return (paler * (1 - opacity) + _heat_colours(heat) * opacity).astype(np.uint8)


def _heat_colours(heat: np.ndarray) -> np.ndarray:
    """Values in [0, 1], (H, W), as (H, W, 3) uint8 RGB."""
    shades = np.round(255 * (_DARKEST_HEAT + (1 - _DARKEST_HEAT) * heat)).astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(shades, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)


def _paler(colour: Colour) -> Colour:
    """Half way to white, so that black letters can be read on it."""
    red, green, blue = ((part + 255) // 2 for part in colour)
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
    line = np.full((image.shape[0], max(2, _line_width(image)), 3), 255, np.uint8)
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


def _line_width(image: np.ndarray) -> int:
    return max(1, round(0.003 * (image.shape[0] + image.shape[1]) / 2 + 0.5))


def _letter_height(image: np.ndarray) -> int:
    return max(_SMALLEST_LETTERS, round(0.022 * float(np.sqrt(image.shape[0] * image.shape[1]))))


@lru_cache(maxsize=32)
def _font(height: int) -> _Font:
    return ImageFont.load_default(height)


def _with_masks(image: np.ndarray, found: Detections) -> np.ndarray:
    canvas = image.copy()
    for index in range(len(found))[::-1]:
        if found.masks is None:
            break
        mask = decode_mask(found.masks[index])
        colour = np.array(class_colour(int(found.labels[index])), dtype=float)
        canvas[mask] = (canvas[mask] * (1 - _MASK_OPACITY) + colour * _MASK_OPACITY).astype(np.uint8)
        canvas[_edge_of(mask)] = colour.astype(np.uint8)
    return canvas


def _edge_of(mask: np.ndarray) -> np.ndarray:
    """Pixels of the mask with a neighbour outside it."""
    padded = np.pad(mask, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner


def _draw_box(pen: ImageDraw.ImageDraw, box: np.ndarray, colour: Colour, width: int, size: tuple[int, int]) -> None:
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


def _write_labels(
    pen: ImageDraw.ImageDraw, wanted: Iterable[tuple[str, Colour, np.ndarray]], font: _Font, size: tuple[int, int]
) -> None:
    """Texts on plates of their colours, each beside its box, xyxy; the first on top."""
    for label in _placed_labels(pen, wanted, font, size)[::-1]:
        pen.rectangle((label.x, label.y, label.x + label.width - 1, label.y + label.height - 1), fill=label.colour)
        pen.text((label.x + label.dx, label.y + label.dy), label.text, fill=_readable_on(label.colour), font=font)


def _placed_labels(
    pen: ImageDraw.ImageDraw, wanted: Iterable[tuple[str, Colour, np.ndarray]], font: _Font, size: tuple[int, int]
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
