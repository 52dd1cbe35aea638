"""Blocks of BossNet: bottlenecks around a convolution (ResConv) and around self-attention (ResAtt).

Both contain a strided depthwise convolution, the position encoding generator (PEG), before their main operation.

Tensors: B batch, C channels, H and W in pixels of the map, N = H * W tokens, h heads, d channels of a head.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmcv.cnn.bricks import DropPath
from torch import Tensor, nn

EXPANSION = 4
ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "silu": nn.SiLU}


class ResConv(nn.Module):
    """Bottleneck around a 3x3 convolution, (B, in_channels, H, W) to (B, 4 * planes, H / stride, W / stride).

    Args:
        in_channels: C of the input.
        planes: C inside the bottleneck.
        stride: stride of the PEG, 1 or 2.
        act: ``relu`` or ``silu``.
        avg_down: shrink the shortcut by average pooling, without activation.
        se: add squeeze and excitation before the sum.
        drop_path: probability of dropping the residual branch, per image, while training.
        dilation: dilation of the 3x3 convolution. Above 1, a shortcut without stride pools at the same size.
        first_dilation: dilation of only the 3x3 convolution; it replaces ``dilation``.

    Example:
        >>> import torch
        >>> ResConv(8, 4, stride=2)(torch.zeros(2, 8, 6, 6)).shape
        torch.Size([2, 16, 3, 3])
    """

    NORM_PAIRS = {"bn1": ("peg.conv",), "bn2": ("conv2",), "bn3": ("conv3",)}

    def __init__(
        self,
        in_channels: int,
        planes: int,
        stride: int = 1,
        *,
        act: str = "relu",
        avg_down: bool = False,
        se: bool = False,
        drop_path: float = 0.0,
        dilation: int = 1,
        first_dilation: int | None = None,
    ):
        super().__init__()
        out_channels, spread = EXPANSION * planes, first_dilation or dilation
        self.downsample = shortcut(in_channels, out_channels, stride, act=act, avg_down=avg_down, dilation=dilation)
        self.conv1 = nn.Conv2d(in_channels, planes, 1, bias=False)
        self.peg = PEG(planes, stride)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=spread, dilation=spread, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.se = SqueezeExcite(out_channels) if se else nn.Identity()
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()
        self.act = ACTIVATIONS[act](inplace=True)

    @property
    def last_norm(self) -> nn.BatchNorm2d:
        """Norm whose initial scale of zero makes the initial block equal to its shortcut."""
        return self.bn3

    def forward(self, x: Tensor) -> Tensor:
        inner = self.act(self.bn1(self.peg(self.conv1(x))))
        inner = self.act(self.bn2(self.conv2(inner)))
        inner = self.drop_path(self.se(self.bn3(self.conv3(inner))))
        return self.act(inner + self.downsample(x))


class ResAtt(nn.Module):
    """Bottleneck around self-attention, (B, in_channels, H, W) to (B, 4 * planes, H / stride, W / stride).

    Args:
        in_channels, planes, stride, act, avg_down: as for :class:`ResConv`.
        heads: h.
        head_dim: d. The bottleneck has ``heads * head_dim`` channels.
        transposed: see :class:`Attention`.

    Example:
        >>> import torch
        >>> ResAtt(8, 4, stride=2, heads=2, head_dim=4)(torch.zeros(2, 8, 6, 6)).shape
        torch.Size([2, 16, 3, 3])
    """

    NORM_PAIRS = {"proj.2": ("proj.1.conv",)}

    def __init__(
        self,
        in_channels: int,
        planes: int,
        stride: int = 1,
        *,
        heads: int,
        head_dim: int = 64,
        act: str = "relu",
        avg_down: bool = False,
        transposed: bool = False,
    ):
        super().__init__()
        inner, out_channels = heads * head_dim, EXPANSION * planes
        self.shortcut = shortcut(in_channels, out_channels, stride, act=act, avg_down=avg_down)
        self.proj = attention_input(in_channels, inner, stride)
        self.net = attention_body(inner, out_channels, heads, act=act, transposed=transposed)
        self.act = ACTIVATIONS[act](inplace=True)

    @property
    def last_norm(self) -> nn.BatchNorm2d:
        """See :class:`ResConv`."""
        return self.net[-1]  # type: ignore[return-value]

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.net(self.proj(x)) + self.shortcut(x))


def attention_input(in_channels: int, inner: int, stride: int) -> nn.Sequential:
    """Build the layers before the attention: projection to its width, position encoding and norm."""
    return nn.Sequential(nn.Conv2d(in_channels, inner, 1, bias=False), PEG(inner, stride), nn.BatchNorm2d(inner))


def attention_body(inner: int, out_channels: int, heads: int, *, act: str, transposed: bool) -> nn.Sequential:
    """Build activation, attention and projection to ``out_channels``."""
    return nn.Sequential(
        ACTIVATIONS[act](inplace=True),
        Attention(inner, heads, transposed=transposed),
        nn.BatchNorm2d(inner),
        ACTIVATIONS[act](inplace=True),
        nn.Conv2d(inner, out_channels, 1, bias=False),
        nn.BatchNorm2d(out_channels),
    )


class Attention(nn.Module):
    """Self-attention between all positions, without position encoding; the output has the shape of the input.

    Args:
        channels: C of the map (B, C, H, W), ``heads`` times d.
        heads: h.
        transposed: sum the softmax over the keys along the queries, as the authors' search code does. Their retraining
            code and the paper sum along the keys.

    Example:
        >>> import torch
        >>> Attention(8, heads=2)(torch.zeros(1, 8, 3, 4)).shape
        torch.Size([1, 8, 3, 4])
    """

    LOGIT_LAYERS = ("to_qkv",)

    def __init__(self, channels: int, heads: int, *, transposed: bool = False):
        super().__init__()
        self.heads, self.transposed = heads, transposed
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        head_dim = channels // self.heads
        by_channel = self.to_qkv(x).view(batch, 3 * self.heads, head_dim, height * width)
        if self.transposed:
            q, k, v = by_channel.chunk(3, 1)  # (B, h, d, N) each
            mixed = v @ ((q * head_dim**-0.5).transpose(2, 3) @ k).softmax(-1)
            return mixed.reshape(batch, channels, height, width)
        tokens = by_channel.transpose(2, 3)
        tokens = tokens if tokens.stride(-1) == 1 else tokens.contiguous()
        q, k, v = tokens.chunk(3, 1)  # (B, h, N, d) each
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2)  # (B, N, h, d)
        # A plain reshape would lose the memory format channels_last for all later layers.
        mixed = mixed.reshape(batch, height, width, channels).permute(0, 3, 1, 2)
        return mixed.contiguous(memory_format=memory_format_of(x))


def memory_format_of(x: Tensor) -> torch.memory_format:
    """Return the memory format of a map (B, C, H, W)."""
    is_last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return torch.channels_last if is_last else torch.contiguous_format


class PEG(nn.Module):
    """Position encoding generator: a depthwise 3x3 convolution. Unlike usual, its input is not added."""

    def __init__(self, channels: int, stride: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=stride, padding=1, groups=channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class SqueezeExcite(nn.Module):
    """Squeeze and excitation: weight channels by a function of their means. Its hidden activation is always ReLU."""

    def __init__(self, channels: int):
        super().__init__()
        squeezed = max(channels // 16, 8)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.fc2(self.fc1(x.mean((2, 3), keepdim=True)).relu_()).sigmoid()


def shortcut(
    in_channels: int, out_channels: int, stride: int, *, act: str, avg_down: bool, dilation: int = 1
) -> nn.Module:
    """Build the shortcut of a block: it converts the input to the size and width of the block's result."""
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    if avg_down:
        conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        return nn.Sequential(_average_pool(stride, dilation), conv, nn.BatchNorm2d(out_channels))
    return conv_norm_act(in_channels, out_channels, 3 if stride == 2 else 1, stride, act)


def conv_norm_act(in_channels: int, out_channels: int, kernel: int, stride: int, act: str) -> nn.Sequential:
    """Build a convolution padded by half its kernel, a norm and an activation."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), ACTIVATIONS[act](inplace=True))


def _average_pool(stride: int, dilation: int) -> nn.Module:
    if stride == 2:
        return nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False)
    return _SameAveragePool() if dilation > 1 else nn.Identity()


class _SameAveragePool(nn.Module):
    """Mean of 2x2 pixels at stride 1. A row and a column of zeros at the end keep the size."""

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(F.pad(x, (0, 1, 0, 1)), 2, 1)
