"""Layers and resizing for images with 1, 2 or 3 spatial axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

Dims = Literal[1, 2, 3]

CONVOLUTIONS: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED: dict[int, Any] = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
MAX_POOLS: dict[int, Any] = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
_LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


def conv_act(
    dims: int, before: int, after: int, act: nn.Module, *, stride: int = 1, bias: bool = True
) -> nn.Sequential:
    """Return a convolution 3 voxels wide and its activation.

    Args:
        dims: number of spatial axes, 1 to 3.
        before, after: input and output channels.
        act: activation; ``nn.Identity()`` for a linear layer.
        stride: stride of the convolution; sides are rounded up.
        bias: whether the convolution has a bias.

    Example:
        >>> import torch
        >>> conv_act(3, 2, 4, nn.ReLU(), stride=2)(torch.zeros(1, 2, 5, 6, 7)).shape
        torch.Size([1, 4, 3, 3, 4])
    """
    return nn.Sequential(CONVOLUTIONS[dims](before, after, 3, stride=stride, padding=1, bias=bias), act)


def resize_linear(image: Tensor, size: Sequence[int]) -> Tensor:
    """Resize (N, C, *S) linearly along 1 to 3 axes, with the corners of voxels aligned; the same size is a copy."""
    if tuple(image.shape[2:]) == tuple(size):
        return image
    return F.interpolate(image, size=tuple(size), mode=_LINEAR[image.ndim - 2], align_corners=False)


def run(part: Callable[..., Tensor], *inputs: Tensor, with_cp: bool) -> Tensor:
    """Run a part whose rows are independent; with ``with_cp``, recompute its activations in the backward pass.

    With ``with_cp`` the rows run one after the other, so that the buffers of convolutions are those of one row.
    """
    if not with_cp:
        return part(*inputs)
    rows = zip(*(each.split(1) for each in inputs), strict=True)
    return torch.cat([checkpoint(part, *row, use_reentrant=False) for row in rows])
