"""Slices of the images of a pair, beside each other, with the outlines of their labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from visionzoo.ops.intensities import scale_intensities
from visionzoo.reports.images import class_colour, label_font
from visionzoo.reports.registration_sheets import planes_of

_WIDTH, _HEIGHT = 300, 132  # pixels of a row
_GAP, _LETTERS = 4, 13


def draw_slices(
    images: Sequence[np.ndarray],
    labels: Sequence[np.ndarray | None],
    names: Sequence[str],
    spacing: Sequence[float] = (),
) -> np.ndarray:
    """Draw a row for each image: its middle planes, or the whole 2-D image, with label outlines.

    Args:
        images: (*S) each, on one grid.
        labels: (*S) of whole numbers, 0 for background; None for an image without labels.
        names: name of each image.
        spacing: length of a voxel along each axis; default 1.

    Returns:
        (H, W, 3) uint8 RGB.

    Example:
        >>> draw_slices([np.eye(20), np.eye(20)], [None, None], ["fixed", "moving"]).shape
        (306, 136, 3)
    """
    planes = planes_of(scale_intensities(np.asarray(images[0], np.float32)), None)
    lengths = np.array(spacing or (1.0,) * images[0].ndim)
    scale = min(_HEIGHT, _WIDTH // len(planes) - _GAP)
    rows = []
    for image, found in zip(images, labels, strict=True):
        grey = scale_intensities(np.asarray(image, np.float32))
        tiles = []
        for plane in planes:
            sides = np.array(plane.of(grey).shape) * lengths[list(plane.axes)]
            height, width = (max(8, round(float(side * scale / sides.max()))) for side in sides)
            tile = Image.fromarray((255 * plane.of(grey)).astype(np.uint8)).resize((width, height))
            tiles.append(_outlined(tile.convert("RGB"), None if found is None else plane.of(found)))
        rows.append(tiles)
    return _arranged(rows, names)


def _outlined(tile: Image.Image, labels: np.ndarray | None) -> Image.Image:
    if labels is None:
        return tile
    pixels = np.array(tile)
    large = np.asarray(Image.fromarray(labels.astype(np.int32)).resize(tile.size, Image.Resampling.NEAREST))
    edge = np.zeros(large.shape, bool)
    edge[:, 1:] |= large[:, 1:] != large[:, :-1]
    edge[1:] |= large[1:] != large[:-1]
    for number in np.unique(large[large > 0]).tolist():
        pixels[edge & (large == number)] = class_colour(int(number) - 1)
    return Image.fromarray(pixels)


def _arranged(rows: Sequence[Sequence[Image.Image]], names: Sequence[str]) -> np.ndarray:
    head = _LETTERS + 2 * _GAP
    heights = [head + max(tile.height for tile in row) for row in rows]
    widths = [max(row[column].width for row in rows) + _GAP for column in range(len(rows[0]))]
    sheet = Image.new("RGB", (sum(widths), sum(heights)), (255, 255, 255))
    pen, top = ImageDraw.Draw(sheet), 0
    for row, name, height in zip(rows, names, heights, strict=True):
        pen.text((_GAP, top + 2), name, fill=(0, 0, 0), font=label_font(_LETTERS))
        left = 0
        for tile, width in zip(row, widths, strict=True):
            sheet.paste(tile, (left, top + head))
            left += width
        top += height
    return np.asarray(sheet)
