"""CARAFE (Wang et al. 2019, section 3.2): upsampling with a separate kernel for each output pixel.

``features`` is (B, C, H, W). ``masks`` is (B, G * K * K, s * H, s * W), with G groups of C / G
channels, a kernel of K x K and scale s. The result is (B, C, s * H, s * W). The ``r...``
tensors are channels-last buffers of the compiled op. Only ``rfeatures`` is used here, because
the backward pass receives it instead of ``features``.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from visionzoo.ops.mmcv_ext.precision import fills_tensors, widen


@fills_tensors
def carafe_forward(
    features: Tensor,
    masks: Tensor,
    rfeatures: Tensor,
    routput: Tensor,
    rmasks: Tensor,
    output: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Fill ``output``, and copy ``features`` to ``rfeatures`` for the backward pass."""
    rfeatures.copy_(features)
    output.copy_(_reassemble(widen(features), widen(masks), kernel_size, group_size, scale_factor))


@fills_tensors
def carafe_backward(
    grad_output: Tensor,
    rfeatures: Tensor,
    masks: Tensor,
    rgrad_output: Tensor,
    rgrad_input_hs: Tensor,
    rgrad_input: Tensor,
    rgrad_masks: Tensor,
    grad_input: Tensor,
    grad_masks: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Add the gradients of features and masks."""
    carafe_naive_backward(grad_output, rfeatures, masks, grad_input, grad_masks, kernel_size, group_size, scale_factor)


@fills_tensors
def carafe_naive_forward(
    features: Tensor, masks: Tensor, output: Tensor, kernel_size: int, group_size: int, scale_factor: int
) -> None:
    """Fill ``output``, without buffers."""
    output.copy_(_reassemble(widen(features), widen(masks), kernel_size, group_size, scale_factor))


@fills_tensors
def carafe_naive_backward(
    grad_output: Tensor,
    features: Tensor,
    masks: Tensor,
    grad_input: Tensor,
    grad_masks: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Add the gradients of features and masks."""
    inputs = [widen(tensor).detach().requires_grad_() for tensor in (features, masks)]
    with torch.enable_grad():
        out = _reassemble(inputs[0], inputs[1], kernel_size, group_size, scale_factor)
    by_features, by_masks = torch.autograd.grad(out, inputs, widen(grad_output))
    grad_input += by_features
    grad_masks += by_masks


def _reassemble(features: Tensor, masks: Tensor, kernel: int, groups: int, scale: int) -> Tensor:
    """Process one tap of all kernels at a time, to avoid a (K * K)-fold copy of the features."""
    batch, channels, height, width = features.shape
    size = (batch, groups, channels // groups, height, scale, width, scale)
    padded = F.pad(features, [kernel // 2] * 4)
    taps = masks.view(batch, groups, kernel * kernel, height, scale, width, scale)
    out = features.new_zeros(size)
    for tap in range(kernel * kernel):
        top, left = divmod(tap, kernel)
        window = padded[:, :, top : top + height, left : left + width]
        out = out + window.reshape(batch, groups, -1, height, 1, width, 1) * taps[:, :, None, tap]
    return out.view(batch, channels, height * scale, width * scale)
