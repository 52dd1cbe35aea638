"""Point-wise spatial attention masks (Zhao et al. 2018, section 3.2).

Each pixel predicts a mask over a window of kH x kW around it, (B, kH * kW, H, W). The masks are
converted to attention between all pairs of pixels, (B, H * W, H, W). With ``collect`` (0) the
predicting pixel is on the last two axes, with ``distribute`` (1) on the second.
"""

from __future__ import annotations

import torch
from torch import Tensor

from visionzoo.ops.mmcv_ext.precision import fills_tensors

COLLECT, DISTRIBUTE = 0, 1


@fills_tensors
def psamask_forward(
    input: Tensor,
    output: Tensor,
    psa_type: int,
    num_: int,
    h_feature: int,
    w_feature: int,
    h_mask: int,
    w_mask: int,
    half_h_mask: int,
    half_w_mask: int,
) -> None:
    """Fill ``output``. Pairs further apart than the window are unchanged."""
    tap, source, goal = _pairs(input, (h_feature, w_feature), (h_mask, w_mask), (half_h_mask, half_w_mask))
    values = input.flatten(2)[:, tap, source]
    pairs = output.view(num_, h_feature * w_feature, h_feature * w_feature)
    first, second = (goal, source) if psa_type == COLLECT else (source, goal)
    pairs[:, first, second] = values


@fills_tensors
def psamask_backward(
    grad_output: Tensor,
    grad_input: Tensor,
    psa_type: int,
    num_: int,
    h_feature: int,
    w_feature: int,
    h_mask: int,
    w_mask: int,
    half_h_mask: int,
    half_w_mask: int,
) -> None:
    """Fill ``grad_input``. Mask entries outside the image are unchanged."""
    tap, source, goal = _pairs(grad_output, (h_feature, w_feature), (h_mask, w_mask), (half_h_mask, half_w_mask))
    pairs = grad_output.reshape(num_, h_feature * w_feature, h_feature * w_feature)
    first, second = (goal, source) if psa_type == COLLECT else (source, goal)
    grad_input.view(num_, h_mask * w_mask, -1)[:, tap, source] = pairs[:, first, second]


def _pairs(
    like: Tensor, feature: tuple[int, int], mask: tuple[int, int], half: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return flat indices of all pairs inside the image: mask entry, predicting pixel, pixel that the entry is for."""
    axes = [torch.arange(size, device=like.device) for size in (*mask, *feature)]
    tap_y, tap_x, y, x = torch.meshgrid(*axes, indexing="ij")
    goal_y, goal_x = y + tap_y - half[0], x + tap_x - half[1]
    inside = (goal_y >= 0) & (goal_y < feature[0]) & (goal_x >= 0) & (goal_x < feature[1])
    flat = (tap_y * mask[1] + tap_x, y * feature[1] + x, goal_y * feature[1] + goal_x)
    return flat[0][inside], flat[1][inside], flat[2][inside]
