"""Biases of the scores of a tile: the relative positions, and minus infinity outside the window of a query."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor

from visionzoo.ops.neighborhood_attention.tiles import AxisTiles

# Largest bias that is kept between calls, in values, and the number of kept ones: a dilated layer has up to four.
_MOST_KEPT, _TILINGS_KEPT = 2**21, 4


def bias_of(
    tiling: tuple[AxisTiles, ...], rpb: Tensor | None, heads: int, like: Tensor, *, trains: bool
) -> Tensor | None:
    """Return the bias of the scores, (tiles * heads, tokens, keys), or None if it would be zero everywhere."""
    hidden = _hidden(tiling)
    if rpb is None and hidden is None:
        return None
    if rpb is None:
        bias = torch.zeros(1, device=like.device, dtype=like.dtype)
    else:
        bias = _spread(rpb, tiling) if trains else _looked_up(rpb, tiling)
    if hidden is not None:
        bias = bias.masked_fill(torch.as_tensor(hidden, device=like.device), -torch.inf)
    if len(kinds := _kinds(tiling)) > 1:
        bias = bias.index_select(0, torch.as_tensor(kinds, device=like.device))
    return bias.expand(-1, heads, -1, -1).flatten(0, 1)


def keep(bias: Tensor | None, tiling: tuple[AxisTiles, ...], kept: dict[Any, Tensor] | None) -> None:
    """Keep a bias for the next call, unless it is large; those of other sizes of maps go."""
    if bias is None or kept is None or bias.numel() > _MOST_KEPT:
        return
    if len(kept) >= _TILINGS_KEPT:
        kept.clear()
    kept[tiling] = bias


@lru_cache(maxsize=256)
def _kinds(tiling: tuple[AxisTiles, ...]) -> np.ndarray:
    """Return the index of each tile's kind among the products of the axes' kinds, (tiles,)."""
    kinds = np.zeros(1, dtype=np.int64)
    for tiles in tiling:
        kinds = (kinds[:, None] * len(tiles.visible) + tiles.kinds[None]).reshape(-1)
    return kinds


@lru_cache(maxsize=256)
def _hidden(tiling: tuple[AxisTiles, ...]) -> np.ndarray | None:
    """Mark the keys outside a query's window, (kinds, 1, tokens, keys) bool. Return None if all keys are inside."""
    visible = reduce(_product(np.logical_and), (tiles.visible for tiles in tiling))
    return None if visible.all() else ~visible[:, None]


@lru_cache(maxsize=256)
def _places(tiling: tuple[AxisTiles, ...]) -> np.ndarray:
    """Return the index of each pair's bias in the flattened table, (kinds, tokens, keys)."""
    places = np.zeros((1, 1, 1), np.int64)
    for tiles in tiling:
        places = _product(np.add)(places * (2 * tiles.kernel - 1), tiles.offsets)
    return places


def _product(join: Callable[[Any, Any], Any]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return a function that combines the tables of two axes, (kinds, tile, block) each, to that of their product."""

    def joined(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        sizes = [x * y for x, y in zip(a.shape, b.shape, strict=True)]
        return join(a[:, None, :, None, :, None], b[None, :, None, :, None, :]).reshape(sizes)

    return joined


def _looked_up(rpb: Tensor, tiling: tuple[AxisTiles, ...]) -> Tensor:
    """Look up the bias of each pair of a query and a key: (kinds, heads, tokens, keys)."""
    places = _places(tiling)
    bias = rpb.flatten(1).index_select(1, torch.as_tensor(places.reshape(-1), device=rpb.device))
    return bias.reshape(rpb.shape[0], *places.shape).transpose(0, 1)


def _spread(rpb: Tensor, tiling: tuple[AxisTiles, ...]) -> Tensor:
    """Return the same as :func:`_looked_up`, computed as one product with a matrix of ones and zeros per axis.

    The gradient is such a product too. The gradient of indexing would be a slow accumulation.
    """
    bias = rpb
    for tiles in tiling:
        pick = torch.as_tensor(_picks(tiles), device=rpb.device).to(rpb.dtype)
        with torch.autocast(rpb.device.type, enabled=False):  # half precision would round the biases
            bias = bias.movedim(1, -1) @ pick
    axes, heads = len(tiling), rpb.shape[0]
    bias = bias.reshape(heads, *(size for tiles in tiling for size in tiles.offsets.shape))
    kinds, inside, keys = ([1 + 3 * axis + part for axis in range(axes)] for part in range(3))
    return bias.permute(*kinds, 0, *inside, *keys).reshape(-1, heads, *_places(tiling).shape[1:])


@lru_cache(maxsize=256)
def _picks(tiles: AxisTiles) -> np.ndarray:
    """Return a one-hot matrix, (2 * kernel - 1, kinds * tile * block), that selects the bias of each pair."""
    return np.eye(2 * tiles.kernel - 1, dtype=np.float32)[:, tiles.offsets.reshape(-1)]
