"""Deformable convolution, version 1 (Dai et al. 2017) and 2 with modulation (Zhu et al. 2019).

``input`` is (B, C, H, W) and ``weight`` (Cout, C / groups, kH, kW). ``offset`` is
(B, 2 * D * kH * kW, Hout, Wout) with D deformable groups, in pixels, y before x for each tap.
``mask`` is (B, D * kH * kW, Hout, Wout). ``columns`` and ``ones`` are buffers of the compiled
op and are not used here. Values are computed in float32 or float64, see ``precision.widen``.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torchvision  # noqa: F401  (registers torch.ops.torchvision)
from torch import Tensor

from visionzoo.ops.mmcv_ext.precision import fills_tensors, widen


class Shape(NamedTuple):
    """Arguments that torchvision's op takes after its tensors, in its order."""

    stride_h: int
    stride_w: int
    pad_h: int
    pad_w: int
    dilation_h: int
    dilation_w: int
    groups: int
    deform_groups: int
    use_mask: bool


@fills_tensors
def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Fill ``output`` (B, Cout, Hout, Wout) with the convolution."""
    shape = Shape(dH, dW, padH, padW, dilationH, dilationW, group, deformable_group, use_mask=False)
    output.copy_(_convolve(input, weight, offset, None, None, shape))


@fills_tensors
def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    columns: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Add the gradients of the input and of the offsets."""
    shape = Shape(dH, dW, padH, padW, dilationH, dilationW, group, deformable_group, use_mask=False)
    by_input, _, by_offset, _, _ = _gradients(grad_output, input, weight, offset, None, shape)
    grad_input += by_input
    grad_offset += by_offset


@fills_tensors
def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    scale: float,
    im2col_step: int,
) -> None:
    """Add ``scale`` times the gradient of the weight. It does not depend on the values of the weight."""
    shape = Shape(dH, dW, padH, padW, dilationH, dilationW, group, deformable_group, use_mask=False)
    by_weight = _gradients(grad_output, input, torch.zeros_like(grad_weight), offset, None, shape)[1]
    grad_weight += scale * by_weight


@fills_tensors
def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Fill ``output`` (B, Cout, Hout, Wout). The sample of each tap is multiplied by its ``mask``."""
    shape = Shape(stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group, use_mask=True)
    output.copy_(_convolve(input, weight, offset, mask, bias if with_bias else None, shape))


@fills_tensors
def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Add all five gradients. ``grad_bias`` is unchanged if ``with_bias`` is False."""
    shape = Shape(stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group, use_mask=True)
    by_input, by_weight, by_offset, by_mask, by_bias = _gradients(grad_output, input, weight, offset, mask, shape)
    grad_input += by_input
    grad_weight += by_weight
    grad_offset += by_offset
    grad_mask += by_mask
    if with_bias:
        grad_bias += by_bias


def _convolve(
    input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor | None, bias: Tensor | None, shape: Shape
) -> Tensor:
    tensors = _operands(input, weight, offset, mask, bias)
    return torch.ops.torchvision.deform_conv2d(*tensors, *shape)


def _gradients(
    grad_output: Tensor, input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor | None, shape: Shape
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients by input, weight, offset, mask and bias.

    Images are processed one by one, like in mmcv's modulated op. Sums are therefore rounded
    like there, and only the columns of one image are in memory.
    """
    image, kernel, moves, scale, shift = _operands(input, weight, offset, mask, None)
    by_weight, by_bias = torch.zeros_like(kernel), torch.zeros_like(shift)
    by_image = []
    for index in range(len(image)):
        grad, x, dx, m = (tensor[index : index + 1] for tensor in (widen(grad_output), image, moves, scale))
        parts = torch.ops.torchvision._deform_conv2d_backward(grad, x, kernel, dx, m, shift, *shape)
        by_weight += parts[1]
        by_bias += parts[4]
        by_image.append((parts[0], parts[2], parts[3]))
    by_input, by_offset, by_mask = (torch.cat(parts) for parts in zip(*by_image, strict=True))
    return by_input, by_weight, by_offset, by_mask, by_bias


def _operands(
    input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor | None, bias: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return torchvision's five tensors. Its op requires a tensor for an unused mask, and zeros for a missing bias."""
    image = widen(input)
    scale = image.new_zeros(len(image), 1) if mask is None else widen(mask)
    shift = image.new_zeros(len(weight)) if bias is None else widen(bias)
    return image, widen(weight), widen(offset), scale, shift
