"""The two cells of NASNet-A and their layers (paper, figure 4).

Each cell reads the newest state of the network, ``cur``, and an earlier state, ``prev``. Convolutions have no bias and
are padded like TensorFlow's SAME: the padding depends on the size of the map, and an odd pixel is added at the end.

States are passed after their ReLU, because all readers start with it. The only exception is a ``prev`` that a cell
reads without an input convolution, as the first cell does: its pools and identities need the values before the ReLU.

Tensors: B batch, C channels, H and W in pixels of the map, F filters of the cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visionzoo.layers.drop_path import ScheduledDropPath


@dataclass(frozen=True)
class NormSettings:
    """Settings of all batch norms."""

    eps: float
    momentum: float


class _Cell(nn.Module):
    """Base of both cells, which prepares the two states.

    Args:
        cur_channels, prev_channels: C of the two states.
        filters: F.
        prev_is: preparation of ``prev``: ``halved`` by a factorized reduction, ``projected`` to F, or ``raw`` for an
            unchanged state.
        keep_prob: keep probability of all branches except identities, at the end of training.
        norm: settings of all batch norms.
    """

    def __init__(
        self,
        cur_channels: int,
        prev_channels: int,
        filters: int,
        *,
        prev_is: str,
        keep_prob: float,
        norm: NormSettings,
    ):
        super().__init__()
        self.reads_raw = prev_is == "raw"
        self.cur = ConvNorm(cur_channels, filters, norm)
        if not self.reads_raw:
            adapter = FactorizedReduction if prev_is == "halved" else ConvNorm
            self.prev: nn.Module = adapter(prev_channels, filters, norm)
        self.drop_path = ScheduledDropPath(keep_prob)

    def _prepared(self, cur: Tensor, prev: Tensor) -> tuple[Tensor, Tensor]:
        return self.cur(cur), prev if self.reads_raw else self.prev(prev)


class NormalCell(_Cell):
    """Compute a new state of the same size with 6 F channels from two states.

    If a raw ``prev`` does not have F channels, each reader without a convolution projects it.

    Args:
        cur_channels, prev_channels, filters, prev_is, keep_prob, norm: as for :class:`_Cell`.

    Example:
        >>> cell = NormalCell(8, 8, 4, prev_is="projected", keep_prob=1.0, norm=NormSettings(1e-3, 0.1))
        >>> cell(torch.zeros(2, 8, 6, 6), torch.zeros(2, 8, 6, 6)).shape
        torch.Size([2, 24, 6, 6])
    """

    def __init__(self, cur_channels: int, prev_channels: int, filters: int, *, prev_is: str, **options: Any):
        super().__init__(cur_channels, prev_channels, filters, prev_is=prev_is, **options)
        norm, prev_width = options["norm"], prev_channels if self.reads_raw else filters
        self.node_0_left = SeparableConv(filters, filters, 5, norm)
        self.node_0_right = SeparableConv(prev_width, filters, 3, norm)
        self.node_1_left = SeparableConv(prev_width, filters, 5, norm)
        self.node_1_right = SeparableConv(prev_width, filters, 3, norm)
        self.node_4_left = SeparableConv(filters, filters, 3, norm)
        self.projects = prev_width != filters
        if self.projects:
            self.node_2_right = ConvNorm(prev_width, filters, norm)
            self.node_3_left = ConvNorm(prev_width, filters, norm)
            self.node_3_right = ConvNorm(prev_width, filters, norm)
            self.output_prev = ConvNorm(prev_width, filters, norm)

    def forward(self, cur: Tensor, prev: Tensor) -> Tensor:
        """Compute (B, 6 F, H, W), before its ReLU.

        Args:
            cur: (B, C, H, W).
            prev: (B, C, H, W), or of twice the size if it is ``halved``.
        """
        cur, prev = self._prepared(cur, prev)
        drop, active_cur, active_prev = self.drop_path, F.relu(cur), F.relu(prev)
        node_0 = drop(self.node_0_left(active_cur)) + drop(self.node_0_right(active_prev))
        node_1 = drop(self.node_1_left(active_prev)) + drop(self.node_1_right(active_prev))
        node_4 = drop(self.node_4_left(active_cur)) + cur
        pooled_cur, pooled_prev = average_pool(cur, 1), average_pool(prev, 1)
        if self.projects:
            node_2 = drop(pooled_cur) + self.node_2_right(active_prev)
            node_3 = drop(self.node_3_left(pooled_prev)) + drop(self.node_3_right(pooled_prev))
            prev = self.output_prev(prev)
        else:
            node_2 = drop(pooled_cur) + prev
            node_3 = drop(pooled_prev) + drop(pooled_prev) if drop.is_active else 2 * pooled_prev
        return torch.cat([prev, node_0, node_1, node_2, node_3, node_4], 1)


class ReductionCell(_Cell):
    """Compute a new state of half the size, rounded up, with 4 F channels from two states.

    Args:
        cur_channels, prev_channels, filters, prev_is, keep_prob, norm: as for :class:`_Cell`.

    Example:
        >>> cell = ReductionCell(8, 8, 4, prev_is="projected", keep_prob=1.0, norm=NormSettings(1e-3, 0.1))
        >>> cell(torch.zeros(2, 8, 6, 5), torch.zeros(2, 8, 6, 5)).shape
        torch.Size([2, 16, 3, 3])
    """

    def __init__(self, cur_channels: int, prev_channels: int, filters: int, *, prev_is: str, **options: Any):
        super().__init__(cur_channels, prev_channels, filters, prev_is=prev_is, **options)
        norm, prev_width = options["norm"], prev_channels if self.reads_raw else filters
        self.node_0_left = SeparableConv(filters, filters, 5, norm, stride=2)
        self.node_0_right = SeparableConv(prev_width, filters, 7, norm, stride=2)
        self.node_1_right = SeparableConv(prev_width, filters, 7, norm, stride=2)
        self.node_2_right = SeparableConv(prev_width, filters, 5, norm, stride=2)
        self.node_4_left = SeparableConv(filters, filters, 3, norm)

    def forward(self, cur: Tensor, prev: Tensor) -> Tensor:
        """Compute (B, 4 F, H / 2, W / 2), before its ReLU.

        Args:
            cur: (B, C, H, W).
            prev: (B, C, H, W), or of twice the size if it is ``halved``.
        """
        cur, prev = self._prepared(cur, prev)
        drop, active_prev = self.drop_path, F.relu(prev)
        node_0 = drop(self.node_0_left(F.relu(cur))) + drop(self.node_0_right(active_prev))
        highest, node_2 = max_pool(cur, 2), drop(average_pool(cur, 2))
        node_1 = drop(highest) + drop(self.node_1_right(active_prev))
        node_2 = node_2 + drop(self.node_2_right(active_prev))
        node_3 = node_1 + drop(average_pool(node_0, 1))
        node_4 = drop(self.node_4_left(F.relu(node_0))) + drop(highest)
        return torch.cat([node_1, node_2, node_3, node_4], 1)


# --------------------------------------------------------------------------- layers


class ConvNorm(nn.Module):
    """Convolution without bias and its norm, (B, C, H, W) to (B, out_channels, ...)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        norm: NormSettings,
        kernel: int = 1,
        *,
        stride: int = 1,
        padding: int = 0,
    ):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride=stride, padding=padding, bias=False)
        self.bn: nn.Module = batch_norm(out_channels, norm)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


class SeparableConv(nn.Module):
    """Two sequences of depthwise convolution, pointwise convolution and norm, with a ReLU between them.

    The input is (B, C, H, W) after its ReLU, the output (B, F, H / stride, W / stride), rounded up.

    Args:
        in_channels, out_channels: C and F. The first pointwise convolution returns F channels.
        kernel: kernel of both depthwise convolutions.
        norm: settings of both norms.
        stride: stride of the first depthwise convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, norm: NormSettings, *, stride: int = 1):
        super().__init__()
        self.depthwise_1 = SameDepthwiseConv(in_channels, kernel, stride)
        self.pointwise_1 = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.bn_1: nn.Module = batch_norm(out_channels, norm)
        self.depthwise_2 = SameDepthwiseConv(out_channels, kernel, 1)
        self.pointwise_2 = nn.Conv2d(out_channels, out_channels, 1, bias=False)
        self.bn_2: nn.Module = batch_norm(out_channels, norm)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn_1(self.pointwise_1(self.depthwise_1(x))), inplace=True)
        return self.bn_2(self.pointwise_2(self.depthwise_2(x)))


class FactorizedReduction(nn.Module):
    """Halve a map: (B, C, H, W) after its ReLU to (B, F, H / 2, W / 2), rounded up.

    One half of the F channels reads even rows and columns, the other half odd ones.
    """

    NORM_PAIRS = {"bn": ("path_1", "path_2")}

    def __init__(self, in_channels: int, out_channels: int, norm: NormSettings):
        super().__init__()
        # A stride instead of a slice of the map: a 1x1 convolution of a slice loses the memory format channels_last.
        self.path_1 = nn.Conv2d(in_channels, out_channels // 2, 1, stride=2, bias=False)
        self.path_2 = nn.Conv2d(in_channels, out_channels - out_channels // 2, 1, bias=False)
        self.bn: nn.Module = batch_norm(out_channels, norm)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        odd = F.pad(x[..., 1::2, 1::2], (0, width % 2, 0, height % 2))
        return self.bn(torch.cat([self.path_1(x), self.path_2(odd)], 1))


class SameDepthwiseConv(nn.Conv2d):
    """One filter per channel, padded like TensorFlow's SAME: (B, C, H, W) to (B, C, H / stride, W / stride)."""

    def __init__(self, channels: int, kernel: int, stride: int):
        super().__init__(channels, channels, kernel, stride, padding=kernel // 2, groups=channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        padding = same_padding(x.shape[-2:], self.kernel_size[0], self.stride[0])
        if padding == self.padding * 2:
            return super().forward(x)
        left, right, top, bottom = padding
        return F.conv2d(F.pad(x, (left, right, top, bottom)), self.weight, None, self.stride, groups=self.groups)


def batch_norm(channels: int, norm: NormSettings) -> nn.BatchNorm2d:
    """Build a batch norm with the given settings."""
    return nn.BatchNorm2d(channels, eps=norm.eps, momentum=norm.momentum)


def same_padding(size: tuple[int, ...], kernel: int, stride: int) -> tuple[int, int, int, int]:
    """Return left, right, top and bottom padding of TensorFlow's SAME for a map of ``size`` (H, W)."""
    (top, bottom), (left, right) = (_same_padding_of(length, kernel, stride) for length in size)
    return left, right, top, bottom


def _same_padding_of(length: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
    return total // 2, total - total // 2


def average_pool(x: Tensor, stride: int) -> Tensor:
    """Compute means of 3x3 pixels, padded like SAME. Only pixels inside the map count."""
    return F.avg_pool2d(x, 3, stride, _begin_of_3x3(x, stride), ceil_mode=True, count_include_pad=False)


def max_pool(x: Tensor, stride: int) -> Tensor:
    """Compute maxima of 3x3 pixels, padded like SAME."""
    return F.max_pool2d(x, 3, stride, _begin_of_3x3(x, stride), ceil_mode=True)


def _begin_of_3x3(x: Tensor, stride: int) -> tuple[int, int]:
    """Return the padding before each axis. With ``ceil_mode``, a pool ignores missing pixels at the end."""
    left, _, top, _ = same_padding(x.shape[-2:], 3, stride)
    return top, left
