"""One image with the drawings of several tasks: areas below, lines and boxes above them, then labels and a legend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from visionzoo.reports.images import GatheredLabels, class_colour, label_font, letter_height, write_gathered

MARKS = ("areas", "region", "heat", "lines", "boxes", "bars")  # what drawings consist of, the lowest first
_INK = (0, 0, 0)
_HEAT = ((66, 10, 104), (147, 38, 103), (221, 81, 58), (252, 165, 10))  # of OpenCV's inferno, RGB
_GREY = (90, 90, 90)
_LEAST = 20  # width of a legend in heights of a letter, for images that are narrower than its lines


@dataclass(frozen=True)
class Layer:
    """The drawing of one task.

    Attributes:
        title: its line in the legend.
        mark: what it consists of, one of :data:`MARKS`.
        drawn: the image with the drawing, without labels, (H + rows, W, 3) uint8 RGB. Rows below the image, such as a
            panel, are placed below it again. None for a task without a drawing.
    """

    title: str
    mark: str
    drawn: np.ndarray | None


def draw_layers(image: np.ndarray, layers: Sequence[Layer], labels: GatheredLabels) -> np.ndarray:
    """Draw several tasks on one image.

    Colours of areas are mixed. A line or a box replaces what is below it. A label covers no other label if one of its
    places is free.

    Args:
        image: (H, W, 3) uint8 RGB, the image on which the layers were drawn.
        layers: the layers, in any order. The legend has their order.
        labels: labels of the layers, see :func:`visionzoo.reports.images.gathered_labels`.

    Returns:
        (H + rows + legend, W, 3) uint8 RGB. An image that is narrower than a legend has white pixels on its right.

    Example:
        >>> image, drawn = np.zeros((32, 48, 3), np.uint8), np.full((40, 48, 3), 255, np.uint8)
        >>> layers = [Layer("lanes: 2 lanes", "lines", image), Layer("classification: cat", "bars", drawn)]
        >>> draw_layers(image, layers, GatheredLabels()).shape
        (68, 180, 3)
    """
    height, canvas, below = len(image), image.astype(np.int16), []
    base = canvas.copy()
    for layer in sorted(layers, key=lambda each: MARKS.index(each.mark)):
        if layer.drawn is None or layer.drawn.shape[1] != image.shape[1]:
            continue
        change = layer.drawn[:height].astype(np.int16) - base
        if MARKS.index(layer.mark) < MARKS.index("lines"):
            canvas = np.clip(canvas + change, 0, 255)
        else:
            canvas = np.where(change.any(axis=2, keepdims=True), layer.drawn[:height], canvas)
        below.append(layer.drawn[height:])
    drawing = Image.fromarray(canvas.astype(np.uint8))
    write_gathered(ImageDraw.Draw(drawing), labels, drawing.size)
    letters = letter_height(image)
    legend = _legend(layers, max(image.shape[1], _LEAST * letters), letters)
    drawn = np.concatenate([np.asarray(drawing), *below], axis=0)
    missing = legend.shape[1] - drawn.shape[1]
    return np.concatenate([np.pad(drawn, ((0, 0), (0, missing), (0, 0)), constant_values=255), legend], axis=0)


def _legend(layers: Sequence[Layer], width: int, letters: int) -> np.ndarray:
    """Return one row for each layer: a sample of its mark, and its title."""
    row, gap, font = round(1.6 * letters), max(4, letters // 2), label_font(letters)
    panel = Image.new("RGB", (width, row * len(layers)), (255, 255, 255))
    pen = ImageDraw.Draw(panel)
    for number, layer in enumerate(layers):
        middle = row * (number + 0.5)
        box = (gap, round(middle - 0.4 * letters), gap + 2 * letters, round(middle + 0.4 * letters))
        _draw_mark(pen, layer.mark, box)
        pen.text((2 * gap + 2 * letters, middle), layer.title, fill=_INK, font=font, anchor="lm")
    return np.asarray(panel)


def _draw_mark(pen: ImageDraw.ImageDraw, mark: str, box: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = box
    height, width, middle = bottom - top, right - left, (top + bottom) / 2
    if mark == "areas":
        for number in range(3):
            ends = [left + width * place / 3 for place in (number, number + 1)]
            pen.rectangle((ends[0], top, ends[1], bottom), fill=class_colour(number))
    elif mark == "region":
        pen.rectangle(box, fill=class_colour(0), outline=_INK, width=max(1, height // 8))
    elif mark == "heat":
        for number, colour in enumerate(_HEAT):
            ends = [left + width * place / len(_HEAT) for place in (number, number + 1)]
            pen.rectangle((ends[0], top, ends[1], bottom), fill=colour)
    elif mark == "lines":
        pen.line((left, middle, right, middle), fill=_GREY, width=max(1, height // 6))
        radius = height / 5
        for x in (left + radius, (left + right) / 2, right - radius):
            pen.ellipse((x - radius, middle - radius, x + radius, middle + radius), fill=_GREY)
    elif mark == "boxes":
        pen.rectangle(box, outline=_GREY, width=max(1, height // 6))
    else:
        for number, length in enumerate((1.0, 0.6, 0.3)):
            y = top + number * height / 2.6
            pen.rectangle((left, y, left + length * width, y + height / 5), fill=_GREY)
