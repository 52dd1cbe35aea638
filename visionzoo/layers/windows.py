"""Enlarge feature maps of a window with the positions of the whole image.

Nearest and bilinear enlargement compute positions from the sizes of both maps. A window has other sizes than the whole
image, so positions would shift by up to half a cell. Here the positions are those of the whole image. Enlargement
window by window therefore equals enlargement of the whole image, except where it reads cells outside the window.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Window:
    """Position in an image of the feature maps of a window.

    Attributes:
        top, left: first row and column in pixels; multiples of every stride.
        sizes: (h, w) of every level of the whole image, in the order of the levels.
        strides: strides of these levels.
    """

    top: int
    left: int
    sizes: tuple[tuple[int, int], ...]
    strides: tuple[int, ...]

    def span(self, axis: int, level: int) -> Span:
        """Return the position of the window in the whole map of ``level`` along an axis, 0 for rows, 1 for columns."""
        start = (self.top, self.left)[axis] // self.strides[level]
        return Span(start, self.sizes[level][axis])


@dataclass(frozen=True)
class Span:
    """A range of cells: the index ``start`` of its first cell in a line of ``total`` cells."""

    start: int
    total: int


def cell_of_pixel(cells: int, pixels: int) -> Tensor:
    """Return the source cell of each pixel in nearest enlargement from ``cells`` to ``pixels``, (pixels,) int64.

    This is ``floor(pixel * cells / pixels)`` with torch's rounding, so sums over cells equal sums over enlarged maps.

    Example:
        >>> cell_of_pixel(2, 5).tolist()
        [0, 0, 0, 1, 1]
    """
    return F.interpolate(torch.arange(cells, dtype=torch.float32)[None, None], size=pixels, mode="nearest")[0, 0].long()


def enlarge_nearest(x: Tensor, size: tuple[int, int], window: Window | None, coarse: int, fine: int) -> Tensor:
    """Enlarge by repeating cells: (B, C, h, w) to (B, C, *size).

    Args:
        x: a map of level ``coarse``.
        size: (h, w) of the window's map of level ``fine``.
        window: position of both maps; None for a whole image.
        coarse, fine: indices of the levels in ``window``.
    """
    if window is None:
        return F.interpolate(x, size=size, mode="nearest")
    for axis in (0, 1):
        source, target = window.span(axis, coarse), window.span(axis, fine)
        cells = cell_of_pixel(source.total, target.total)[target.start : target.start + size[axis]] - source.start
        x = x.index_select(2 + axis, cells.clamp(0, x.shape[2 + axis] - 1).to(x.device))
    return x


def enlarge_bilinear(x: Tensor, size: tuple[int, int], window: Window | None, coarse: int, fine: int) -> Tensor:
    """Enlarge bilinearly with aligned corner cells (``align_corners=True``).

    Args: see :func:`enlarge_nearest`.
    """
    if window is None:
        return F.interpolate(x, size=size, mode="bilinear", align_corners=True)
    for axis in (0, 1):
        x = _interpolated(x, 2 + axis, size[axis], window.span(axis, coarse), window.span(axis, fine))
    return x


def _interpolated(x: Tensor, dim: int, length: int, source: Span, target: Span) -> Tensor:
    scale = (source.total - 1) / max(1, target.total - 1)
    places = (target.start + torch.arange(length, dtype=torch.float64)) * scale - source.start
    places = places.clamp(0, x.shape[dim] - 1)
    before = places.floor().long()
    after = (before + 1).clamp_max(x.shape[dim] - 1)
    shape = [1] * x.ndim
    shape[dim] = length
    weight = (places - before).to(x.dtype).view(shape).to(x.device)
    return x.index_select(dim, before.to(x.device)).lerp(x.index_select(dim, after.to(x.device)), weight)
