"""Neighborhood attention in pure torch: each token attends to the k nearest tokens along each axis.

Consider one axis of length L, with kernel k, dilation d and stride s. The query at i belongs to the group of all
positions congruent to i modulo d. Its place in the group is ``p = i // d``, one of n, and it attends to k neighbours in
the group. At the borders the window is shifted inward, so that it never shrinks. With a stride, s consecutive queries
share the window of the query in their middle. Axes are independent: the neighbourhood is the product of the windows of
all axes. Sources: Hassani et al., NAT, CVPR 2023, arXiv 2204.07143; dilation: DiNAT, arXiv 2209.15001; causal axes:
arXiv 2403.04690; stride: GNA, arXiv 2504.16922.

Computation: groups move to the batch axis, because a group has no dilation inside. Dense attention handles small
groups. Larger groups are cut into tiles of queries. The keys of a tile are one block that covers the windows of all its
queries, and keys outside the window of a query get a bias of minus infinity. Only tiles at the borders differ in their
bias from the tiles between them, so few biases are needed.

Tensors: B batch, D channels of a head, n places in a group.
"""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from visionzoo.errors import ConfigError, UnknownName

PerAxis = int | Sequence[int]
PerAxisFlag = bool | Sequence[bool]

IMPLEMENTATIONS = ("auto", "dense", "tiles", "natten")

# Maximum number of tokens of a group for dense attention. In larger groups most of the scores would be masked.
_DENSE_TOKENS = 200

# Possible sides of a tile, by number of axes. The side that wastes least is used, the first one in case of a tie.
_TILES = {1: (32,), 2: (8, 7), 3: (4,)}
# Training keeps the scores, and small maps have few tiles. Smaller tiles waste less in that case.
_SMALL_MAP, _SMALL_TILES = 28, {1: (16,), 2: (4,), 3: (4,)}


# Largest bias that is kept between calls, in values, and the number of kept ones: a dilated layer has up to four.
_MOST_KEPT, _TILINGS_KEPT = 2**21, 4


def na1d(q: Tensor, k: Tensor, v: Tensor, kernel_size: PerAxis, **options: Any) -> Tensor:
    """Compute neighborhood attention over sequences, (B, L, heads, D); see :func:`na2d`.

    Example:
        >>> x = torch.zeros(1, 9, 2, 4)
        >>> na1d(x, x, x, 3, dilation=2).shape
        torch.Size([1, 9, 2, 4])
    """
    return _attention(1, q, k, v, kernel_size, **options)


def na2d(q: Tensor, k: Tensor, v: Tensor, kernel_size: PerAxis, **options: Any) -> Tensor:
    """Compute neighborhood attention over maps.

    Args:
        q, k, v: (B, H, W, heads, D).
        kernel_size: number of keys along each axis, >= 2. One number for all axes, or one per axis.
        stride: number of consecutive queries that share a window, at most the kernel; default 1.
        dilation: distance of neighbours. ``kernel_size * dilation`` must not exceed the map; default 1.
        is_causal: exclude keys after the query, for each axis. The window then ends at the query and may be shorter.
        rpb: (heads, 2 * kernel - 1, 2 * kernel - 1), a bias for each distance in the group, added to the scaled scores.
            It requires odd kernels, stride 1 and no causal axis.
        scale: factor of the scores, default ``D ** -0.5``.
        kept: dict in which the biases of all scores are kept between calls; it belongs to unchanged values of ``rpb``.
        implementation: ``auto``; ``dense`` or ``tiles`` for groups of any size; ``natten`` if that library is
            installed. Results are equal up to rounding.

    Returns:
        (B, H, W, heads, D).

    Raises:
        ConfigError: a setting that is impossible for this map, or that the installed natten does not support.
        UnknownName: an unknown implementation.

    Example:
        >>> x = torch.zeros(1, 8, 6, 2, 4)
        >>> na2d(x, x, x, 3, rpb=torch.zeros(2, 5, 5)).shape
        torch.Size([1, 8, 6, 2, 4])
    """
    return _attention(2, q, k, v, kernel_size, **options)


def na3d(q: Tensor, k: Tensor, v: Tensor, kernel_size: PerAxis, **options: Any) -> Tensor:
    """Compute neighborhood attention over volumes, (B, depth, H, W, heads, D); see :func:`na2d`.

    Example:
        >>> x = torch.zeros(1, 4, 4, 3, 1, 2)
        >>> na3d(x, x, x, (2, 2, 3)).shape
        torch.Size([1, 4, 4, 3, 1, 2])
    """
    return _attention(3, q, k, v, kernel_size, **options)


def _attention(
    axes: int,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    kernel_size: PerAxis,
    *,
    stride: PerAxis = 1,
    dilation: PerAxis = 1,
    is_causal: PerAxisFlag = False,
    rpb: Tensor | None = None,
    scale: float | None = None,
    implementation: str = "auto",
    kept: dict[Any, Tensor] | None = None,
) -> Tensor:
    sizes = _check_tensors(axes, q, k, v)
    rules = neighborhood_rules(sizes, kernel_size, stride=stride, dilation=dilation, is_causal=is_causal)
    _check_bias(rpb, rules, heads=q.shape[-2])
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    if implementation not in IMPLEMENTATIONS:
        raise UnknownName(implementation, kind="implementation of neighborhood attention", known=IMPLEMENTATIONS)
    if implementation == "natten":
        return _by_natten(axes, q, k, v, rules, rpb, scale)
    trains = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in (q, k, v, rpb))

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        tiling = _tiling(q.shape[1:-2:2], rules, implementation, trains=trains)
        return _attend_in_tiles(q, k, v, tiling, rpb, scale, trains=trains, kept=None if trains else kept)

    return _for_each_group(attend, q, k, v, [rule.dilation for rule in rules])


def attention_weights(
    q: Tensor,
    k: Tensor,
    kernel_size: PerAxis,
    *,
    stride: PerAxis = 1,
    dilation: PerAxis = 1,
    is_causal: PerAxisFlag = False,
    rpb: Tensor | None = None,
    scale: float | None = None,
) -> Tensor:
    """Return the attention weights of each query, for inspection. The keys of all windows are copied in memory.

    Args:
        q, k: (B, *sizes, heads, D) with one to three sizes.
        kernel_size, stride, dilation, is_causal, rpb, scale: as for :func:`na2d`.

    Returns:
        (B, *sizes, heads, N), N = product of the kernel. The window is in row-major order, smallest coordinates first.
        Where the border cuts a causal window, the last slots of that axis are zero.

    Example:
        >>> x = torch.zeros(1, 4, 1, 2)
        >>> attention_weights(x, x, 2, is_causal=True)[0, :2, 0].tolist()
        [[1.0, 0.0], [0.5, 0.5]]
    """
    sizes = _check_tensors(q.ndim - 3, q, k, k)
    rules = neighborhood_rules(sizes, kernel_size, stride=stride, dilation=dilation, is_causal=is_causal)
    _check_bias(rpb, rules, heads=q.shape[-2])
    keys, exists, offsets = window_indices(sizes, rules, q.device)
    scores = torch.einsum("bqhd,bqnhd->bqhn", q.flatten(1, -3), k.flatten(1, -3)[:, keys])
    scores = scores * (q.shape[-1] ** -0.5 if scale is None else scale)
    if rpb is not None:
        scores = scores + rpb.flatten(1)[:, offsets].transpose(0, 1)
    weights = scores.masked_fill(~exists[:, None], -torch.inf).softmax(-1)
    return weights.unflatten(1, sizes)


# --------------------------------------------------------------------------- rules


@dataclass(frozen=True)
class AxisRule:
    """Neighbours of a query along one axis."""

    kernel: int
    stride: int
    dilation: int
    causal: bool

    def window(self, place: int, count: int) -> tuple[int, int]:
        """Return the first and the last neighbour of the query at ``place`` in a group of ``count``."""
        if self.causal:
            leader = min(place // self.stride * self.stride + self.stride - 1, count - 1)
            return max(leader - self.kernel + 1, 0), place
        leader = min(place // self.stride * self.stride + self.stride // 2, count - 1)
        left = self.kernel // 2
        right = self.kernel - left - 1
        centre = min(max(leader, left), count - 1 - right)
        return centre - left, centre + right


def neighborhood_rules(
    sizes: Sequence[int],
    kernel_size: PerAxis,
    *,
    stride: PerAxis = 1,
    dilation: PerAxis = 1,
    is_causal: PerAxisFlag = False,
) -> tuple[AxisRule, ...]:
    """Return one rule for each axis of a map of ``sizes``.

    Raises:
        ConfigError: a kernel below 2, a stride above the kernel, or a window that is larger than the map.

    Example:
        >>> rule, _ = neighborhood_rules((9, 11), 3)
        >>> rule.window(0, 9), rule.window(4, 9)
        ((0, 2), (3, 5))
    """
    count = len(sizes)
    settings = (_each(kernel_size, count), _each(stride, count), _each(dilation, count), _each(is_causal, count))
    rules = tuple(AxisRule(int(k), int(s), int(d), bool(c)) for k, s, d, c in zip(*settings, strict=True))
    for axis, (rule, size) in enumerate(zip(rules, sizes, strict=True)):
        where = f"neighborhood attention, axis {axis}"
        if rule.kernel < 2:
            raise ConfigError(where, expected="a kernel of at least 2", found=f"{rule.kernel}", advice="use 7")
        if not 1 <= rule.stride <= rule.kernel:
            raise ConfigError(
                where,
                expected=f"a stride from 1 to the kernel's {rule.kernel}",
                found=f"{rule.stride}",
                advice="use 1",
            )
        if rule.dilation < 1:
            raise ConfigError(
                where, expected="a dilation of at least 1", found=f"{rule.dilation}", advice="use 1 for none"
            )
        if rule.kernel * rule.dilation > size:
            raise ConfigError(
                where,
                expected=f"kernel * dilation of at most the map's {size}",
                found=f"{rule.kernel} * {rule.dilation}",
                advice="lower the dilation, or pad the map (small_maps='pad' in the backbones)",
            )
    return rules


def _each(value: Any, count: int) -> tuple:
    values = tuple(value) if isinstance(value, Sequence) else (value,) * count
    if len(values) != count:
        raise ConfigError(
            "neighborhood attention",
            expected=f"one number or one for each of {count} axes",
            found=f"{value}",
            advice="correct it",
        )
    return values


def _check_tensors(axes: int, q: Tensor, k: Tensor, v: Tensor) -> torch.Size:
    if q.ndim != axes + 3 or q.shape != k.shape or q.shape[:-1] != v.shape[:-1]:
        raise ConfigError(
            f"na{axes}d",
            expected=f"q, k and v of one shape with {axes + 3} axes (B, sizes, heads, D)",
            found=f"{tuple(q.shape)}, {tuple(k.shape)} and {tuple(v.shape)}",
            advice="permute them",
        )
    return q.shape[1:-2]


def _check_bias(rpb: Tensor | None, rules: Sequence[AxisRule], heads: int) -> None:
    if rpb is None:
        return
    if any(rule.kernel % 2 == 0 or rule.stride > 1 or rule.causal for rule in rules):
        raise ConfigError(
            "neighborhood attention",
            expected="odd kernels, stride 1 and no causal axis with a relative position bias",
            found=(
                f"kernel {[r.kernel for r in rules]}, stride {[r.stride for r in rules]}, causal "
                f"{[r.causal for r in rules]}"
            ),
            advice="leave the bias out or change the others",
        )
    expected = (heads, *(2 * rule.kernel - 1 for rule in rules))
    if tuple(rpb.shape) != expected:
        raise ConfigError(
            "neighborhood attention",
            expected=f"a relative position bias of shape {expected}",
            found=f"{tuple(rpb.shape)}",
            advice="resize it to the kernel",
        )


# --------------------------------------------------------------------------- groups


def _for_each_group(
    attend: Callable[[Tensor, Tensor, Tensor], Tensor],
    q: Tensor,
    k: Tensor,
    v: Tensor,
    dilations: Sequence[int],
    axis: int = 0,
) -> Tensor:
    """Split each axis into (place in the group, group), call ``attend``, and join the results.

    Where the dilation does not divide the length, longer and shorter groups are processed separately. ``attend``
    receives (B, n_0, groups_0, n_1, groups_1, ..., heads, D).
    """
    if axis == len(dilations):
        return attend(q, k, v)
    at, dilation = 1 + 2 * axis, dilations[axis]
    parts = zip(_split(q, at, dilation), _split(k, at, dilation), _split(v, at, dilation), strict=True)
    done = [_for_each_group(attend, *part, dilations=dilations, axis=axis + 1) for part in parts]
    return _join(done, at, q.shape[at], dilation)


def _split(x: Tensor, at: int, dilation: int) -> list[Tensor]:
    """Split axis ``at`` into (n, groups): the longer groups first, then those with one place less."""
    length, uneven = divmod(x.shape[at], dilation)
    whole = x.narrow(at, 0, length * dilation).unflatten(at, (length, dilation))
    if not uneven:
        return [whole]
    rest = x.narrow(at, length * dilation, uneven).unsqueeze(at)
    longer = torch.cat([whole.narrow(at + 1, 0, uneven), rest], dim=at)
    return [longer, whole.narrow(at + 1, uneven, dilation - uneven)]


def _join(parts: list[Tensor], at: int, size: int, dilation: int) -> Tensor:
    """Invert :func:`_split`."""
    if len(parts) == 1:
        return parts[0].flatten(at, at + 1)
    longer, shorter = parts
    length = size // dilation
    whole = torch.cat([longer.narrow(at, 0, length), shorter], dim=at + 1).flatten(at, at + 1)
    return torch.cat([whole, longer.select(at, length)], dim=at)


# --------------------------------------------------------------------------- tiles


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


def _tiling(
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


def _attend_in_tiles(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    tiling: tuple[AxisTiles, ...],
    rpb: Tensor | None,
    scale: float,
    *,
    trains: bool,
    kept: dict[Any, Tensor] | None,
) -> Tensor:
    """Attend inside groups: (B, n_0, groups_0, n_1, groups_1, ..., heads, D) to the same shape."""
    heads, axes = q.shape[-2], len(tiling)
    queries, keys, values = _cut_queries(q, tiling), _take_blocks(k, tiling), _take_blocks(v, tiling)
    cut = queries.shape
    bias = None if kept is None else kept.get(tiling)
    if bias is None:
        bias = _bias(tiling, rpb, heads, queries, trains=trains)
        _keep(bias, tiling, kept)
    batched_q, batched_k, batched_v = (_as_batch(x, axes) for x in (queries, keys, values))
    out = _core(batched_q, batched_k, batched_v, bias, scale, trains=trains)
    out = out.reshape(*cut[:-1], out.shape[-1]).permute(_inverse(_tile_order(axes)))
    for axis, tiles in enumerate(tiling):
        out = out.flatten(1 + 2 * axis, 2 + 2 * axis).narrow(1 + 2 * axis, 0, tiles.count)
    return out


def _cut_queries(x: Tensor, tiling: Sequence[AxisTiles]) -> Tensor:
    """Cut queries to (B, groups..., tiles..., heads, tile..., D). Queries beyond an axis are zero."""
    for axis, tiles in enumerate(tiling):
        at = 1 + 3 * axis
        missing = len(tiles.starts) * tiles.tile - tiles.count
        if missing:
            x = torch.cat([x, x.new_zeros(*x.shape[:at], missing, *x.shape[at + 1 :])], dim=at)
        x = x.unflatten(at, (len(tiles.starts), tiles.tile))
    return x.permute(_tile_order(len(tiling)))


def _tile_order(axes: int) -> list[int]:
    """Return the axes that permute (B, tiles, tile, groups, ..., heads, D) as :func:`_cut_queries` returns them."""
    tiles, inside, groups = ([1 + 3 * axis + kind for axis in range(axes)] for kind in range(3))
    return [0, *groups, *tiles, 1 + 3 * axes, *inside, 2 + 3 * axes]


def _take_blocks(x: Tensor, tiling: Sequence[AxisTiles]) -> Tensor:
    """Copy the overlapping blocks of keys to (B, groups..., tiles..., heads, block..., D)."""
    axes = len(tiling)
    places, groups = ([1 + 2 * axis + kind for axis in range(axes)] for kind in range(2))
    x = x.permute(0, *groups, 1 + 2 * axes, *places, 2 + 2 * axes)
    for axis, tiles in enumerate(tiling):
        at = 2 + axes + 2 * axis  # position of this axis's places, after the tiles of the earlier axes
        blocks = [x.narrow(at, start, tiles.block) for start in tiles.starts.tolist()]
        to = 1 + axes + axis
        x = torch.stack(blocks, dim=to) if len(blocks) > 1 else blocks[0].unsqueeze(to)
    return x


def _as_batch(x: Tensor, axes: int) -> Tensor:
    """Flatten (B, groups..., tiles..., heads, inside..., D) to (B * groups, tiles * heads, tokens, D)."""
    inside = x.shape[2 + 2 * axes : -1]
    batch = math.prod(x.shape[: 1 + axes])
    return x.reshape(batch, math.prod(x.shape[1 + axes : 2 + 2 * axes]), math.prod(inside), x.shape[-1])


def _inverse(order: Sequence[int]) -> list[int]:
    return [int(index) for index in np.argsort(order)]


def _bias(
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


def _keep(bias: Tensor | None, tiling: tuple[AxisTiles, ...], kept: dict[Any, Tensor] | None) -> None:
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


def _core(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, scale: float, *, trains: bool) -> Tensor:
    """Compute attention. The fused operator needs less memory, but not every device computes its bias's gradient."""
    if not trains:
        mask = None if bias is None else bias[None].to(q.dtype)
        return nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)
    scores = (q * scale) @ k.transpose(-2, -1)
    if bias is not None:
        scores = scores + bias
    return scores.softmax(-1).to(v.dtype) @ v


# --------------------------------------------------------------------------- windows, one by one


def window_indices(
    sizes: Sequence[int], rules: Sequence[AxisRule], device: torch.device | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return three (L, N) tables for the queries in row-major order.

    N is the product of the kernel. Slots keep their place in the window on each axis. Where the border cuts a causal
    window, the last slots of that axis have no key.

    Returns:
        Index of each key; True where the key exists; index of the key's distance in the bias.
    """
    keys, exists, offsets = np.zeros((1, 1), np.int64), np.ones((1, 1), bool), np.zeros((1, 1), np.int64)
    for size, rule in zip(sizes, rules, strict=True):
        axis_keys, axis_exists, axis_offsets = _axis_windows(rule, size)
        keys = _paired(keys * size, axis_keys, np.add)
        exists = _paired(exists, axis_exists, np.logical_and)
        offsets = _paired(offsets * (2 * rule.kernel - 1), axis_offsets, np.add)
    return tuple(torch.as_tensor(table, device=device) for table in (keys, exists, offsets))  # type: ignore[return-value]


def _axis_windows(rule: AxisRule, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    keys = np.zeros((size, rule.kernel), np.int64)
    exists = np.zeros((size, rule.kernel), bool)
    offsets = np.zeros((size, rule.kernel), np.int64)
    for index in range(size):
        group, place = index % rule.dilation, index // rule.dilation
        first, last = rule.window(place, -(-(size - group) // rule.dilation))
        places = np.arange(first, last + 1)
        keys[index, : len(places)] = places * rule.dilation + group
        exists[index, : len(places)] = True
        offsets[index, : len(places)] = places - place + rule.kernel - 1
    return keys, exists, offsets


def _paired(outer: np.ndarray, inner: np.ndarray, join: Callable[[Any, Any], Any]) -> np.ndarray:
    joined = join(outer[:, None, :, None], inner[None, :, None, :])
    return joined.reshape(len(outer) * len(inner), -1)


# --------------------------------------------------------------------------- natten


def _by_natten(
    axes: int, q: Tensor, k: Tensor, v: Tensor, rules: Sequence[AxisRule], rpb: Tensor | None, scale: float
) -> Tensor:
    """Call the compiled library if it is installed. Its releases accept different arguments."""
    if find_spec("natten") is None:
        raise ConfigError(
            "implementation='natten'", expected="natten to be installed", found="none", advice="use 'auto'"
        )
    try:
        function = getattr(importlib.import_module("natten.functional"), f"na{axes}d")
    except (ImportError, AttributeError):
        function = getattr(importlib.import_module("natten"), f"na{axes}d")
    arguments: dict[str, tuple[Any, bool]] = {
        "kernel_size": (tuple(rule.kernel for rule in rules), True),
        "stride": (tuple(rule.stride for rule in rules), any(rule.stride > 1 for rule in rules)),
        "dilation": (tuple(rule.dilation for rule in rules), any(rule.dilation > 1 for rule in rules)),
        "is_causal": (tuple(rule.causal for rule in rules), any(rule.causal for rule in rules)),
        "rpb": (rpb, rpb is not None),
        "scale": (scale, True),
    }
    known = inspect.signature(function).parameters
    missing = [name for name, (_, is_needed) in arguments.items() if is_needed and name not in known]
    if missing:
        raise ConfigError(
            "implementation='natten'",
            expected=f"a natten whose na{axes}d takes {', '.join(missing)}",
            found="one without",
            advice="use 'auto'",
        )
    return function(q, k, v, **{name: value for name, (value, _) in arguments.items() if name in known})
