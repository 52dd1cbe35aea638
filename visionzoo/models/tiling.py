"""Dense predictions of large images, tile by tile, with the memory of one tile.

Each pixel is predicted by exactly one tile. Only the inner part of a tile is kept; its margin provides context for
convolutions. A head that supports tiles has these members:

- ``in_strides``: strides of its levels; ``stride``: pixels per side of a cell of its dense map, one of ``in_strides``;
- ``dense(feats, batch, window)``: returns the dense map (B, C, h, w) of images, or of the part of them that ``window``
  (:class:`visionzoo.layers.windows.Window`) describes;
- ``write(dense, samples)``: returns the samples with predictions from the dense map of whole images.

If backbone and neck read their input locally, the result differs from that of a whole image only at the borders of
tiles. Parts that read a whole image (global attention, pooled context) read a whole tile instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import lcm
from typing import Any

import torch
from torch import Tensor, nn

from visionzoo.errors import ConfigError
from visionzoo.layers.windows import Window
from visionzoo.models.calling import run_head
from visionzoo.structures.batch import Batch

# Default margin in pixels around the kept part of a tile.
MARGIN = 128

# Origins of tiles are multiples of this number, so that levels that the head does not read are also cut evenly.
_ALIGNMENT = 32


@dataclass(frozen=True)
class Tiling:
    """Sizes of tiles.

    Attributes:
        tile: side of the largest tile in pixels, including margins.
        margin: pixels on each side of a tile that are not kept, except at the image's border.
    """

    tile: int
    margin: int

    def applies_to(self, inputs: Tensor) -> bool:
        """Return True if a batch (B, C, H, W) is larger than a tile."""
        return max(inputs.shape[2:]) > self.tile


@dataclass(frozen=True)
class _Run:
    """Pixels of a tile along one axis, and the part of them that is kept; ends are exclusive."""

    start: int
    end: int
    kept_from: int
    kept_to: int


def tiling_of(
    test_cfg: Mapping[str, Any] | None, head: nn.Module, text_encoder: nn.Module | None = None
) -> Tiling | None:
    """Read the tiling from a model's ``test_cfg``; None if it has no ``tile``.

    Sizes are rounded to a multiple of 32 and of all strides: the tile down, the margin up.

    Raises:
        ConfigError: the model has a text encoder, the head returns no dense map, or the tile is too small for two
            margins.

    Example:
        >>> from visionzoo.heads.density import DensityHead
        >>> head = DensityHead([8], [8], "tiny")
        >>> tiling_of({"tile": 500, "margin": 40}, head)
        Tiling(tile=480, margin=64)
    """
    if not test_cfg or test_cfg.get("tile") is None:
        return None
    if text_encoder is not None:
        raise ConfigError(
            "model.test_cfg.tile",
            expected="a model without text_encoder, because a phrase describes the whole image",
            found=f"{type(text_encoder).__name__}",
            advice="leave tile out of test_cfg",
        )
    name = type(head).__name__
    if not (hasattr(head, "dense") and hasattr(head, "write")):
        raise ConfigError(
            "model.test_cfg.tile",
            expected="a head that returns a dense map (dense and write)",
            found=f"{name}",
            advice="leave tile out of test_cfg",
        )
    unit = lcm(_ALIGNMENT, *head.in_strides)  # type: ignore[misc]
    given, around = test_cfg["tile"], test_cfg.get("margin", MARGIN)
    tile, margin = given // unit * unit, -(-around // unit) * unit
    if margin < unit or tile < 2 * margin + unit:
        raise ConfigError(
            "model.test_cfg",
            expected=f"a margin of at least 1 pixel and a tile of at least two margins and {unit} pixels more",
            found=f"tile={given} and margin={around}",
            advice=f"use tile=1024, margin={MARGIN}",
        )
    return Tiling(tile, margin)


@torch.no_grad()
def dense_by_tiles(
    batch: Batch,
    head: Any,
    tiling: Tiling,
) -> Tensor:
    """Compute the dense map of whole images, (B, C, h, w).

    Args:
        batch: batch with images (B, 3, H, W) and ``encode``.
        head: head with the members in the docstring of this module.
        tiling: sizes of the tiles.
    """
    inputs: Any = batch.inputs
    encode: Any = batch.encode
    rows, columns = (list(_runs(side, tiling)) for side in inputs.shape[2:])
    sizes, bands = None, []
    for row in reversed(rows):  # the last tile first: its levels determine the sizes of the whole image's levels
        pieces = []
        for column in reversed(columns):
            tile = replace(batch, inputs=inputs[:, :, row.start : row.end, column.start : column.end])
            feats = encode(tile.inputs)
            sizes = sizes or _level_sizes(feats, head.in_strides, row.start, column.start)
            dense = run_head(head, "dense", feats, tile, Window(row.start, column.start, sizes, head.in_strides))
            pieces.append(dense[:, :, _kept(row, head.stride), _kept(column, head.stride)])
        bands.append(torch.cat(pieces[::-1], 3))
    return torch.cat(bands[::-1], 2)


def _runs(side: int, tiling: Tiling) -> Iterator[_Run]:
    """Return the tiles along an axis of ``side`` pixels; their kept parts cover each pixel once."""
    kept = 0
    while True:
        start = max(0, kept - tiling.margin)
        end = start + tiling.tile
        if end >= side:
            yield _Run(start, side, kept, side)
            return
        yield _Run(start, end, kept, end - tiling.margin)
        kept = end - tiling.margin


def _level_sizes(feats: Sequence[Tensor], strides: Sequence[int], top: int, left: int) -> tuple[tuple[int, int], ...]:
    """Return (h, w) of every level of the whole image, from the tile at its lower right corner."""
    return tuple(
        (top // stride + feat.shape[2], left // stride + feat.shape[3])
        for feat, stride in zip(feats, strides, strict=True)
    )


def _kept(run: _Run, stride: int) -> slice:
    """Return the slice of the cells of a tile's map that are kept."""
    last = None if run.kept_to == run.end else (run.kept_to - run.start) // stride
    return slice((run.kept_from - run.start) // stride, last)
