"""Parts of Swin (Liu et al., ICCV 2021, arXiv:2103.14030). Tensors are channels-last: (B, H, W, C)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import StochasticDepth

from visionzoo.layers.mlp import Mlp

# Score between two tokens of different regions of a shifted window.
_OTHER_REGION = -100.0


class WindowAttention(nn.Module):
    """Multi-head attention inside windows with a relative position bias (section 3.2).

    Args:
        dim: C.
        heads: number of heads, a divisor of C.
        window: side M of a window in tokens.
        shift: tokens by which the windows are moved down and right, 0 to M - 1. Tokens that are not neighbours in the
            image do not see each other.

    Example:
        >>> WindowAttention(8, heads=2, window=3, shift=1)(torch.zeros(1, 4, 5, 8)).shape
        torch.Size([1, 4, 5, 8])
    """

    def __init__(self, dim: int, heads: int, window: int, shift: int = 0):
        super().__init__()
        self.heads, self.window, self.shift = heads, window, shift
        self.qkv = nn.Linear(dim, 3 * dim)
        self.relative_position_bias_table = nn.Parameter(torch.empty((2 * window - 1) ** 2, heads))
        self.proj = nn.Linear(dim, dim)
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to the same shape. Padding with zeros fills the last windows."""
        height, width = x.shape[1:3]
        x = F.pad(x, (0, 0, 0, -width % self.window, 0, -height % self.window))
        rows, columns = (side // self.window for side in x.shape[1:3])
        if self.shift:
            x = x.roll((-self.shift, -self.shift), (1, 2))
        x = self.proj(self._attended(self._cut(x, rows, columns), rows, columns))
        x = x.unflatten(0, (-1, rows, columns)).unflatten(3, (self.window, self.window))
        x = x.transpose(2, 3).flatten(3, 4).flatten(1, 2)
        if self.shift:
            x = x.roll((self.shift, self.shift), (1, 2))
        return x[:, :height, :width]

    def _cut(self, x: Tensor, rows: int, columns: int) -> Tensor:
        """Cut (B, H, W, C) into windows, (B * rows * columns, M * M, C)."""
        x = x.unflatten(1, (rows, self.window)).unflatten(3, (columns, self.window))
        return x.transpose(2, 3).flatten(3, 4).flatten(0, 2)

    def _attended(self, x: Tensor, rows: int, columns: int) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        bias, windows = self._bias(), rows * columns
        if self.shift:
            # One batch entry for each image: its windows have different masks.
            bias = (bias + self._hidden(rows, columns, x)[:, None]).flatten(0, 1)
            q, k, v = (each.unflatten(0, (-1, windows)).flatten(1, 2) for each in (q, k, v))
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        if self.shift:
            out = out.unflatten(1, (windows, self.heads)).flatten(0, 1)
        return out.transpose(1, 2).flatten(2)

    def _bias(self) -> Tensor:
        """Return the bias of each pair of tokens of a window, (heads, M * M, M * M)."""
        places = torch.as_tensor(relative_places(self.window), device=self.relative_position_bias_table.device)
        return self.relative_position_bias_table[places.flatten()].T.reshape(self.heads, *places.shape)

    def _hidden(self, rows: int, columns: int, like: Tensor) -> Tensor:
        """Return the scores between tokens of different regions, (windows, M * M, M * M)."""
        regions = torch.as_tensor(shifted_regions(rows, columns, self.window, self.shift), device=like.device)
        return (regions[:, :, None] != regions[:, None]) * _OTHER_REGION


class SwinBlock(nn.Module):
    """Residual window attention and residual perceptron, each after a norm."""

    def __init__(self, attn: WindowAttention, dim: int, mlp_ratio: float, drop_path: float):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = attn
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, int(dim * mlp_ratio))
        self.drop_path = StochasticDepth(drop_path, "row") if drop_path else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to the same shape."""
        x = x + self.drop_path(self.attn(self.norm1(x)))
        return x + self.drop_path(self.mlp(self.norm2(x)))


@lru_cache(maxsize=16)
def relative_places(window: int) -> np.ndarray:
    """Return the row of the bias table of each pair of query and key, (M * M, M * M) int64.

    Example:
        >>> relative_places(2)[0].tolist()
        [4, 3, 1, 0]
    """
    row, column = np.divmod(np.arange(window * window), window)
    below, right = (axis[:, None] - axis[None] + window - 1 for axis in (row, column))
    return below * (2 * window - 1) + right


@lru_cache(maxsize=256)
def shifted_regions(rows: int, columns: int, window: int, shift: int) -> np.ndarray:
    """Return the region of each token after the shift, (rows * columns, M * M) int8.

    Regions are the parts of the map that the shift separates: tokens of two regions are not neighbours in the image.

    Example:
        >>> shifted_regions(1, 1, 2, 1).tolist()
        [[4, 5, 7, 8]]
    """

    def parts(count: int) -> np.ndarray:
        place = np.arange(count * window)
        return (place >= (count - 1) * window).astype(np.int8) + (place >= count * window - shift)

    regions = 3 * parts(rows)[:, None] + parts(columns)[None]
    cut = regions.reshape(rows, window, columns, window).swapaxes(1, 2)
    return cut.reshape(rows * columns, window * window).astype(np.int8)
