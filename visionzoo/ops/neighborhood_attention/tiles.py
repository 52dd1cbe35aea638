"""Tiles of queries along each axis of a group, with one block of keys each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from visionzoo.ops.neighborhood_attention.rules import AxisRule

# Maximum number of tokens of a group for dense attention. In larger groups most of the scores would be masked.
_DENSE_TOKENS = 200

# Possible sides of a tile, by number of axes. The side that wastes least is used, the first one in case of a tie.
_TILES = {1: (32,), 2: (8, 7), 3: (4,)}
# Training keeps the scores, and small maps have few tiles. Smaller tiles waste less in that case.
_SMALL_MAP, _SMALL_TILES = 28, {1: (16,), 2: (4,), 3: (4,)}


@dataclass(frozen=True, eq=False)  # compared by identity, so that functions can cache tables for each object
class AxisTiles:
    """Tiles of queries along one axis of n places, and the block of keys of each tile.

    Attributes:
        kernel: kernel of the rule.
        count: n.
        tile: number of queries in a tile. The last tile may extend beyond the axis.
        block: number of keys of a tile.
        starts: (tiles,), first key of each tile's block.
        kinds: (tiles,), index of each tile's kind in ``visible`` and ``offsets``.
        visible: (kinds, tile, block) bool, True if the key is in the query's window, or if the query is beyond the
            axis.
        offsets: (kinds, tile, block), index of the key's distance in the bias. Entries that are not visible have no
            meaning.
    """

    kernel: int
    count: int
    tile: int
    block: int
    starts: np.ndarray
    kinds: np.ndarray
    visible: np.ndarray
    offsets: np.ndarray


@lru_cache(maxsize=512)
def axis_tiles(rule: AxisRule, count: int, tile: int) -> AxisTiles:
    """Cut a group of ``count`` places into tiles of ``tile`` queries."""
    first, last = np.array([rule.window(place, count) for place in range(count)]).T
    begins = np.arange(0, count, tile)
    low = np.minimum.reduceat(first, begins)
    high = np.maximum.reduceat(last, begins)
    block = int((high - low).max()) + 1
    starts = np.minimum(low, count - block)
    query = begins[:, None, None] + np.arange(tile)[None, :, None]
    key = starts[:, None, None] + np.arange(block)[None, None, :]
    inside = np.minimum(query, count - 1)
    visible = (query >= count) | ((first[inside] <= key) & (key <= last[inside]))
    offsets = np.clip(key - query + rule.kernel - 1, 0, 2 * rule.kernel - 2)
    tables = np.concatenate([visible, offsets], axis=1).reshape(len(begins), -1)
    _, examples, kinds = np.unique(tables, axis=0, return_index=True, return_inverse=True)
    return AxisTiles(rule.kernel, count, tile, block, starts, kinds.reshape(-1), visible[examples], offsets[examples])


def tiling_of(
    counts: Sequence[int], rules: Sequence[AxisRule], implementation: str, *, trains: bool
) -> tuple[AxisTiles, ...]:
    """Choose how to cut groups of ``counts`` places."""
    is_dense = implementation == "dense" or (implementation == "auto" and math.prod(counts) <= _DENSE_TOKENS)
    is_small = trains and max(counts) <= _SMALL_MAP
    choices = (_SMALL_TILES if is_small else _TILES)[len(counts)]
    return tuple(
        axis_tiles(rule, count, count if is_dense else _least_waste(count, choices))
        for rule, count in zip(rules, counts, strict=True)
    )


def _least_waste(count: int, choices: Sequence[int]) -> int:
    return min(count, min(choices, key=lambda tile: -count % tile))
