"""Neighborhood attention from its definition, one query at a time: the reference for all faster implementations."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor


def axis_keys(index: int, length: int, kernel: int, stride: int, dilation: int, causal: bool) -> list[int]:
    """Return the keys of the query at ``index``, along one axis."""
    group, place = index % dilation, index // dilation
    count = -(-(length - group) // dilation)
    if causal:
        leader = min((place // stride) * stride + stride - 1, count - 1)
        chosen = range(max(leader - kernel + 1, 0), place + 1)
    else:
        leader = min((place // stride) * stride + stride // 2, count - 1)
        left, right = kernel // 2, kernel // 2 + kernel % 2 - 1
        centre = max(left, min(leader, count - 1 - right))
        chosen = range(centre - left, centre + right + 1)
    return [key * dilation + group for key in chosen]


def slow_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    causal: Sequence[bool],
    rpb: Tensor | None = None,
) -> Tensor:
    """Compute attention on (B, *sizes, heads, D); differentiable."""
    sizes = q.shape[1:-2]
    out = torch.zeros_like(v)
    rows = []
    for query in product(*map(range, sizes)):
        axes = [axis_keys(i, *rest) for i, *rest in zip(query, sizes, kernel, stride, dilation, causal)]
        keys = list(product(*axes))
        chosen = torch.stack([k[(slice(None), *key)] for key in keys], dim=2)  # (B, heads, N, D)
        values = torch.stack([v[(slice(None), *key)] for key in keys], dim=2)
        scores = (chosen @ q[(slice(None), *query)][..., None])[..., 0] * q.shape[-1] ** -0.5
        if rpb is not None:
            places = [[(key[a] - query[a]) // dilation[a] + kernel[a] - 1 for a in range(len(sizes))] for key in keys]
            scores = scores + torch.stack([rpb[(slice(None), *place)] for place in places], dim=1)
        rows.append((scores.softmax(-1)[..., None, :] @ values)[..., 0, :])
    out = torch.stack(rows, dim=1)
    return out.reshape(*q.shape[:1], *sizes, *out.shape[2:])
