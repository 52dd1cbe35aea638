"""Multi-scale deformable attention (Zhu et al. 2021, equation 3).

``value`` is (B, sum of H * W over levels, M, D), with M heads of D channels.
``spatial_shapes`` is (L, 2), (H, W) of each level. ``sampling_loc`` is (B, Q, M, L, P, 2),
(x, y) in [0, 1], where 0 and 1 are the borders of a level. ``attn_weight`` is
(B, Q, M, L, P). Values outside a level are zero.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from visionzoo.ops.mmcv_ext.precision import fills_tensors, widen


def ms_deform_attn_forward(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_loc: Tensor,
    attn_weight: Tensor,
    im2col_step: int,
) -> Tensor:
    """Return weighted sums of sampled values, (B, Q, M * D), in the dtype of ``value``.

    Example:
        >>> value, shapes = torch.ones(1, 4 * 6, 2, 8), torch.tensor([[4, 6]])
        >>> points, weights = torch.full((1, 5, 2, 1, 3, 2), 0.5), torch.ones(1, 5, 2, 1, 3)
        >>> ms_deform_attn_forward(value, shapes, torch.tensor([0]), points, weights, 64).shape
        torch.Size([1, 5, 16])
    """
    if value.is_meta:
        return value.new_empty(len(value), sampling_loc.shape[1], value.shape[2] * value.shape[3])
    with torch.autocast(value.device.type, enabled=False):
        out = _attend(widen(value), spatial_shapes, widen(sampling_loc), widen(attn_weight))
    return out.to(value.dtype)


@fills_tensors
def ms_deform_attn_backward(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_loc: Tensor,
    attn_weight: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int,
) -> None:
    """Add the gradients of values, sampling locations and attention weights.

    Values are sampled again, because stored samples would need B * Q * M * D * L * P numbers.
    """
    inputs = [widen(tensor).detach().requires_grad_() for tensor in (value, sampling_loc, attn_weight)]
    with torch.enable_grad():
        out = _attend(inputs[0], spatial_shapes, inputs[1], inputs[2])
    by_value, by_location, by_weight = torch.autograd.grad(out, inputs, widen(grad_output))
    grad_value += by_value
    grad_sampling_loc += by_location
    grad_attn_weight += by_weight


def _attend(value: Tensor, spatial_shapes: Tensor, sampling_loc: Tensor, attn_weight: Tensor) -> Tensor:
    batch, _, heads, channels = value.shape
    _, queries, _, levels, points, _ = sampling_loc.shape
    shapes = [(int(height), int(width)) for height, width in spatial_shapes]
    grids = (2 * sampling_loc - 1).transpose(1, 2).flatten(0, 1)  # (B*M, Q, L, P, 2), -1 and 1 at the borders
    sampled = [
        _sample(values, shape, grids[:, :, level])
        for level, (values, shape) in enumerate(zip(value.split([h * w for h, w in shapes], dim=1), shapes))
    ]
    weights = attn_weight.transpose(1, 2).reshape(batch * heads, 1, queries, levels * points)
    out = (torch.cat(sampled, dim=-1) * weights).sum(-1)  # (B*M, D, Q)
    return out.view(batch, heads * channels, queries).transpose(1, 2).contiguous()


def _sample(values: Tensor, shape: tuple[int, int], grid: Tensor) -> Tensor:
    """Sample the values of one level, (B, H*W, M, D), at (B*M, Q, P, 2): (B*M, D, Q, P)."""
    planes = values.flatten(2).transpose(1, 2).reshape(len(grid), values.shape[3], *shape)
    return F.grid_sample(planes, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
