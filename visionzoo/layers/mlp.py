"""Two linear layers with GELU between them, as in transformers."""

from __future__ import annotations

from torch import Tensor, nn


class Mlp(nn.Module):
    """``fc2(GELU(fc1(x)))`` on the last dimension. Parameters have the names of timm's ``Mlp``.

    timm has this layer too; its import takes as long as that of torch, because all its models are imported.

    Args:
        dim: C.
        hidden: channels between the layers.

    Example:
        >>> import torch
        >>> Mlp(8, 32)(torch.zeros(2, 3, 5, 8)).shape
        torch.Size([2, 3, 5, 8])
    """

    def __init__(self, dim: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) to (..., C)."""
        return self.fc2(self.act(self.fc1(x)))
