"""Drawing of maps whose pixels belong to regions: coloured areas with lines between them, and a name in each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw

from visionzoo.reports.images import enlarged, label_font, letter_height, line_width, write_labels

Colour = tuple[int, int, int]

_OPACITY = 0.5


class Region(NamedTuple):
    """One region of a map.

    Attributes:
        number: the number of its pixels in the map.
        text: text of its label; empty for no label.
        colour: RGB.
    """

    number: int
    text: str
    colour: Colour


def draw_regions(image: np.ndarray, numbers: np.ndarray, regions: Iterable[Region], scale: int = 1) -> np.ndarray:
    """Colour the regions of a map, draw lines between them, and write the texts inside, the largest region first.

    Pixels of other numbers keep the colours of the image.

    Args:
        image: (H, W, 3) uint8 RGB. The array is not changed.
        numbers: (H, W) integers, the region of each pixel.
        regions: the regions to draw.
        scale: factor by which the image is enlarged, >= 1.

    Returns:
        (scale * H, scale * W, 3) uint8 RGB.

    Example:
        >>> numbers = np.arange(32)[:, None].repeat(48, 1) // 16
        >>> draw_regions(np.zeros((32, 48, 3), np.uint8), numbers, [Region(1, "sea", (0, 114, 178))], 2).shape
        (64, 96, 3)
    """
    listed = list(regions)
    known, inverse = np.unique(numbers, return_inverse=True)
    inverse = inverse.reshape(numbers.shape)
    table = np.full((len(known), 4), -1.0)
    for region in listed:
        table[known == region.number] = (*region.colour, 1)
    colours = enlarged(table[inverse], scale)
    canvas = enlarged(image, scale).astype(float)
    inside = colours[..., 3] > 0
    canvas[inside] = canvas[inside] * (1 - _OPACITY) + colours[inside, :3] * _OPACITY
    canvas[_borders(enlarged(inverse, scale), line_width(canvas))] = 255
    drawn = Image.fromarray(canvas.astype(np.uint8))
    _write_texts(drawn, inverse, {region: int(np.searchsorted(known, region.number)) for region in listed}, scale)
    return np.asarray(drawn).copy()


def _borders(numbers: np.ndarray, width: int) -> np.ndarray:
    """Return the pixels between two regions, (H, W) bool."""
    edges = np.zeros(numbers.shape, dtype=np.uint8)
    edges[:-1] |= numbers[:-1] != numbers[1:]
    edges[:, :-1] |= numbers[:, :-1] != numbers[:, 1:]
    return (cv2.dilate(edges, np.ones((width, width), np.uint8)) if width > 1 else edges).astype(bool)


def _write_texts(drawn: Image.Image, places: np.ndarray, regions: dict[Region, int], scale: int) -> None:
    font = label_font(letter_height(np.asarray(drawn)))
    counts = np.bincount(places.ravel(), minlength=max(regions.values(), default=0) + 1)
    ordered = sorted(regions, key=lambda region: -counts[regions[region]])
    labels = []
    for region in ordered:
        mask = places == regions[region]
        if region.text and mask.any():
            x, y = (scale * side for side in middle_of(mask))
            labels.append((region.text, region.colour, np.array([x, y, x + scale, y + scale], dtype=float)))
    write_labels(ImageDraw.Draw(drawn), labels, font, drawn.size)


def middle_of(mask: np.ndarray) -> tuple[int, int]:
    """Return the pixel (x, y) of a mask that is the farthest from its edges and from the edges of the image.

    Args:
        mask: (H, W) bool with at least one pixel.

    Example:
        >>> middle_of(np.ones((3, 5), bool))[1]
        1
    """
    padded = np.pad(mask.astype(np.uint8), 1)
    distances = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
    y, x = np.unravel_index(int(distances.argmax()), mask.shape)
    return int(x), int(y)
