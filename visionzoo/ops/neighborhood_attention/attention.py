"""Attention over sequences, maps and volumes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from visionzoo.errors import UnknownName
from visionzoo.ops.neighborhood_attention.biases import bias_of, keep
from visionzoo.ops.neighborhood_attention.compiled import by_natten
from visionzoo.ops.neighborhood_attention.groups import for_each_group
from visionzoo.ops.neighborhood_attention.rules import (
    PerAxis,
    PerAxisFlag,
    check_bias,
    check_tensors,
    neighborhood_rules,
)
from visionzoo.ops.neighborhood_attention.tiles import AxisTiles, tiling_of
from visionzoo.ops.neighborhood_attention.windows import window_indices

IMPLEMENTATIONS = ("auto", "dense", "tiles", "natten")


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
    sizes = check_tensors(axes, q, k, v)
    rules = neighborhood_rules(sizes, kernel_size, stride=stride, dilation=dilation, is_causal=is_causal)
    check_bias(rpb, rules, heads=q.shape[-2])
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    if implementation not in IMPLEMENTATIONS:
        raise UnknownName(implementation, kind="implementation of neighborhood attention", known=IMPLEMENTATIONS)
    if implementation == "natten":
        return by_natten(axes, q, k, v, rules, rpb, scale)
    trains = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in (q, k, v, rpb))

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        tiling = tiling_of(q.shape[1:-2:2], rules, implementation, trains=trains)
        return _attend_in_tiles(q, k, v, tiling, rpb, scale, trains=trains, kept=None if trains else kept)

    return for_each_group(attend, q, k, v, [rule.dilation for rule in rules])


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
    sizes = check_tensors(q.ndim - 3, q, k, k)
    rules = neighborhood_rules(sizes, kernel_size, stride=stride, dilation=dilation, is_causal=is_causal)
    check_bias(rpb, rules, heads=q.shape[-2])
    keys, exists, offsets = window_indices(sizes, rules, q.device)
    scores = torch.einsum("bqhd,bqnhd->bqhn", q.flatten(1, -3), k.flatten(1, -3)[:, keys])
    scores = scores * (q.shape[-1] ** -0.5 if scale is None else scale)
    if rpb is not None:
        scores = scores + rpb.flatten(1)[:, offsets].transpose(0, 1)
    weights = scores.masked_fill(~exists[:, None], -torch.inf).softmax(-1)
    return weights.unflatten(1, sizes)


# --------------------------------------------------------------------------- inside groups


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
        bias = bias_of(tiling, rpb, heads, queries, trains=trains)
        keep(bias, tiling, kept)
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


def _core(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, scale: float, *, trains: bool) -> Tensor:
    """Compute attention. The fused operator needs less memory, but not every device computes its bias's gradient."""
    if not trains:
        mask = None if bias is None else bias[None].to(q.dtype)
        return nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)
    scores = (q * scale) @ k.transpose(-2, -1)
    if bias is not None:
        scores = scores + bias
    return scores.softmax(-1).to(v.dtype) @ v
