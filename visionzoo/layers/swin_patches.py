"""Patches of Swin (Liu et al., ICCV 2021, arXiv:2103.14030). Tensors are channels-last: (B, H, W, C)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PatchEmbedding(nn.Module):
    """Patches of 4x4 pixels: (B, 3, H, W) to (B, H / 4, W / 4, C), rounded up by padding with zeros.

    Example:
        >>> PatchEmbedding(8)(torch.zeros(1, 3, 9, 12)).shape
        torch.Size([1, 3, 3, 8])
    """

    def __init__(self, dim: int):
        super().__init__()
        self.proj = nn.Conv2d(3, dim, 4, 4)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        x = F.pad(x, (0, -width % 4, 0, -height % 4))
        return self.norm(self.proj(x).permute(0, 2, 3, 1))


class PatchMerging(nn.Module):
    """Patches of 2x2 tokens: (B, H, W, C) to (B, H / 2, W / 2, 2C), rounded up by padding with zeros.

    The order of the four tokens is that of the released weights: upper left, lower left, upper right, lower right.

    Example:
        >>> PatchMerging(8)(torch.zeros(1, 3, 4, 8)).shape
        torch.Size([1, 2, 2, 16])
    """

    def __init__(self, dim: int):
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim)
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[1:3]
        x = F.pad(x, (0, 0, 0, width % 2, 0, height % 2))
        corners = [x[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        return self.reduction(self.norm(torch.cat(corners, dim=-1)))
