"""Parts of NAT, DiNAT and DiNAT_s. Tensors are channels-last: (B, H, W, C)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import StochasticDepth

from visionzoo.layers.mlp import Mlp
from visionzoo.ops.neighborhood_attention import na2d


class NeighborhoodAttention(nn.Module):
    """Multi-head neighborhood attention with a relative position bias (NAT, section 3).

    Maps smaller than the window are padded to its size at the right and the bottom, after the norm and before the
    projection to queries, keys and values. Padded tokens are keys like other tokens. The library that trained the
    released weights does the same. Detection needs padding: with COCO's dilation of 28 a window spans 784 pixels.

    Args:
        dim: C.
        heads: number of heads, a divisor of C.
        kernel_size, dilation: see :func:`visionzoo.ops.neighborhood_attention.na2d`.
        pads: pad maps smaller than the window. False makes them an error.
        implementation: see :func:`visionzoo.ops.neighborhood_attention.na2d`.

    Raises:
        ConfigError: in ``forward``, a map smaller than the window if ``pads`` is False.

    Example:
        >>> NeighborhoodAttention(8, heads=2, kernel_size=3)(torch.zeros(1, 2, 5, 8)).shape
        torch.Size([1, 2, 5, 8])
    """

    kept_tables: dict[Any, Tensor] | None = None

    def __init__(
        self,
        dim: int,
        heads: int,
        kernel_size: int,
        dilation: int = 1,
        *,
        pads: bool = True,
        implementation: str = "auto",
    ):
        super().__init__()
        self.heads, self.kernel_size, self.dilation = heads, kernel_size, dilation
        self.pads, self.implementation = pads, implementation
        self.qkv = nn.Linear(dim, 3 * dim)
        self.rpb = nn.Parameter(torch.empty(heads, 2 * kernel_size - 1, 2 * kernel_size - 1))
        self.proj = nn.Linear(dim, dim)
        nn.init.trunc_normal_(self.rpb, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to the same shape."""
        height, width = x.shape[1:3]
        if self.pads:
            x = _padded(x, self.kernel_size * self.dilation)
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).unbind(3)
        out = na2d(
            q,
            k,
            v,
            self.kernel_size,
            dilation=self.dilation,
            rpb=self.rpb,
            implementation=self.implementation,
            kept=self.kept_tables,
        )
        return self.proj(out[:, :height, :width].flatten(3))


def _padded(x: Tensor, least: int) -> Tensor:
    below, right = (max(0, least - size) for size in x.shape[1:3])
    return F.pad(x, (0, 0, 0, right, 0, below)) if below or right else x


class Layer(nn.Module):
    """Residual attention and residual perceptron, each after a norm. ``gamma1`` and ``gamma2`` are layer scales."""

    gamma1: nn.Parameter | None
    gamma2: nn.Parameter | None

    def __init__(
        self, attn: NeighborhoodAttention, dim: int, mlp_ratio: float, drop_path: float, layer_scale: float | None
    ):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = attn
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.drop_path = StochasticDepth(drop_path, "row") if drop_path else nn.Identity()
        for name in ("gamma1", "gamma2"):
            start = None if layer_scale is None else nn.Parameter(torch.full((dim,), float(layer_scale)))
            self.register_parameter(name, start)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to the same shape."""
        x = x + self.drop_path(_scaled(self.attn(self.norm1(x)), self.gamma1))
        return x + self.drop_path(_scaled(self.mlp(self.norm2(x)), self.gamma2))


def _scaled(x: Tensor, gamma: Tensor | None) -> Tensor:
    return x if gamma is None else gamma * x


class ConvTokenizer(nn.Module):
    """Two overlapping convolutions of stride 2: (B, 3, H, W) to (B, H / 4, W / 4, C), rounded up."""

    def __init__(self, dim: int):
        super().__init__()
        self.proj = nn.Sequential(nn.Conv2d(3, dim // 2, 3, 2, 1), nn.Conv2d(dim // 2, dim, 3, 2, 1))
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.proj(x).permute(0, 2, 3, 1))


class ConvDownsampler(nn.Module):
    """Overlapping convolution of stride 2: (B, H, W, C) to (B, H / 2, W / 2, 2C), rounded up."""

    def __init__(self, dim: int):
        super().__init__()
        self.reduction = nn.Conv2d(dim, 2 * dim, 3, 2, 1, bias=False)
        self.norm = nn.LayerNorm(2 * dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.reduction(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
