"""Convolution with the padding "SAME" of TensorFlow."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def same_conv(before: int, after: int, kernel: int, stride: int = 1, depthwise: bool = False) -> nn.Conv2d:
    """Return a convolution without bias whose output has size ``ceil(size / stride)``.

    Args:
        before, after: channels of input and output.
        kernel: odd side of the kernel.
        stride: stride of both axes.
        depthwise: one kernel for each input channel.

    Example:
        >>> same_conv(3, 8, kernel=3, stride=2)(torch.zeros(2, 3, 7, 10)).shape
        torch.Size([2, 8, 4, 5])
    """
    options: dict[str, Any] = dict(stride=stride, groups=before if depthwise else 1, bias=False)
    if stride == 1:
        return nn.Conv2d(before, after, kernel, padding=kernel // 2, **options)
    return _StridedSameConv(before, after, kernel, **options)


class _StridedSameConv(nn.Conv2d):
    """Convolution whose padding depends on the size of its input. An odd row or column of zeros is added at the end."""

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', ceil(H / stride), ceil(W / stride))."""
        pads: list[Any] = []
        for axis in (1, 0):  # F.pad begins with the last axis
            size, kernel, stride = input.shape[2 + axis], self.kernel_size[axis], self.stride[axis]
            missing = torch.sym_max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [missing // 2, missing - missing // 2]
        return F.conv2d(F.pad(input, pads), self.weight, self.bias, self.stride, 0, self.dilation, self.groups)
