"""Dense predictions of large images, tile by tile, in the memory that one tile takes.

Every pixel is predicted by one tile only: the inner part of a tile is kept, its margin just lets convolutions see what
lies around. A head takes part with three things:

- ``in_strides`` of its levels, and ``stride``, pixels per side of a cell of its dense map, one of them;
- ``dense(feats, batch, window)``: the dense map (B, C, h, w) of images, or of the part of them that ``window``
  (:class:`visionzoo.layers.windows.Window`) says;
- ``write(dense, samples)``: the samples with predictions from the dense map of whole images.

Nothing else than the borders of tiles tells the result from that of a whole image, as long as backbone and neck read
their input locally. Parts that look at all of an image (global attention, pooled context) look at all of a tile.
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

# Pixels around the kept part of a tile unless a config says other ones.
MARGIN = 128

# Origins of tiles are multiples of it at least, so that levels that a head does not see are cut evenly too.
_ALIGNMENT = 32


@dataclass(frozen=True)
class Tiling:
    """How images are cut.

    Attributes:
        tile: side of the largest tile in pixels, margins included.
        margin: pixels of a tile that are not kept on each side, unless it ends at the image's border.
    """

    tile: int
    margin: int

    def applies_to(self, inputs: Tensor) -> bool:
        """Whether a batch (B, C, H, W) is larger than a tile."""
        return max(inputs.shape[2:]) > self.tile


@dataclass(frozen=True)
class _Run:
    """Pixels along one axis, ends exclusive: what a tile sees, and what of it is kept."""

    start: int
    end: int
    kept_from: int
    kept_to: int


def tiling_of(test_cfg: Mapping[str, Any] | None, head: nn.Module) -> Tiling | None:
    """What ``test_cfg`` of a model says of tiles; None where it says nothing.

    Sides are rounded to multiples of the coarsest stride, the tile down and the margin up.

    Raises:
        ConfigError: the head gives no dense map, or there is no room between the margins.
    """
    if not test_cfg or test_cfg.get("tile") is None:
        return None
    name = type(head).__name__
    if not (hasattr(head, "dense") and hasattr(head, "write")):
        raise ConfigError(
            "model.test_cfg.tile",
            expected="a head that gives a dense map (dense and write)",
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
    """The dense map of whole images, (B, C, h, w).

    Args:
        batch: with images (B, 3, H, W) and ``encode``.
        head: see the module.
        tiling: how they are cut.
    """
    inputs: Any = batch.inputs
    encode: Any = batch.encode
    rows, columns = (list(_runs(side, tiling)) for side in inputs.shape[2:])
    sizes, bands = None, []
    for row in reversed(rows):  # the last tile first: it tells how large the levels of the whole image are
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
    """What tiles see along an axis of ``side`` pixels; what is kept of them covers it once."""
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
    """(h, w) of every level over the whole image, from the tile in its last corner."""
    return tuple(
        (top // stride + feat.shape[2], left // stride + feat.shape[3])
        for feat, stride in zip(feats, strides, strict=True)
    )


def _kept(run: _Run, stride: int) -> slice:
    """The cells of a tile's map that are kept."""
    last = None if run.kept_to == run.end else (run.kept_to - run.start) // stride
    return slice((run.kept_from - run.start) // stride, last)
