"""What comes before and beside SCNN's messages: reducing feature maps, and whether each lane is there."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visionzoo.errors import require_known
from visionzoo.layers.levels import require_strides

REDUCERS = ("large_field", "1x1")

# Pixels per cell of the map that the authors send messages in; finer levels would cost four times as much.
_LEAST_STRIDE = 8
_DILATION = 4


class Reducer(nn.Module):
    """Feature maps of a trunk to one map: each reduced on its own, brought to the finest one's size, and summed.

    Levels of strides below 8 are left out, unless there are no others: then the coarsest is read.

    Args:
        in_channels, in_strides: of every level.
        kind: ``large_field``: conv 3x3 of dilation 4 to ``hidden`` channels, norm, ReLU, conv 1x1, norm, ReLU, the
            authors' for VGG. ``1x1``: conv 1x1, norm, ReLU, for trunks that see far by themselves.
        width: channels of the result.
        hidden: channels between both convs of ``large_field``.

    Attributes:
        levels: indices of the levels that are read.
        stride: pixels per cell of the result.

    Raises:
        UnknownName: an unknown kind.
        ConfigError: channels and strides do not belong together.
    """

    def __init__(self, in_channels: Sequence[int], in_strides: Sequence[int], kind: str, width: int, hidden: int):
        super().__init__()
        require_known(kind, REDUCERS, "reducer of SCNNHead")
        require_strides(in_channels, in_strides, "SCNNHead")
        self.levels = _levels_of(in_strides)
        self.stride = min(in_strides[level] for level in self.levels)
        self.finest = [in_strides[level] for level in self.levels].index(self.stride)
        self.branches = nn.ModuleList(_branch(kind, in_channels[level], width, hidden) for level in self.levels)

    def forward(self, feats: Sequence[Tensor]) -> Tensor:
        """One (B, C_i, H_i, W_i) per level to (B, width, H, W)."""
        reduced = [branch(feats[level]) for branch, level in zip(self.branches, self.levels)]
        size = reduced[self.finest].shape[2:]
        total = reduced[self.finest]
        for index, x in enumerate(reduced):
            if index != self.finest:
                total = total + F.interpolate(x, size=size, mode="bilinear", align_corners=False)
        return total


class ExistenceBranch(nn.Module):
    """Whether each lane is in the image, from what every pixel is taken for.

    Probabilities, pooled 2x2, go through two linear layers, so that the number of weights depends on the size of the
    image. At another size they are pooled to the same grid adaptively, which is our choice; at the built size that
    grid is the 2x2 pooling itself.

    Args:
        lanes: K.
        grid: (rows, columns) after pooling.
        hidden: channels between both layers.
    """

    def __init__(self, lanes: int, grid: tuple[int, int], hidden: int):
        super().__init__()
        self.grid = grid
        self.layers = nn.Sequential(
            nn.Linear((lanes + 1) * grid[0] * grid[1], hidden), nn.ReLU(), nn.Linear(hidden, lanes)
        )

    def forward(self, logits: Tensor) -> Tensor:
        """(B, K + 1, h, w) logits of the pixels' classes to (B, K) logits of existence."""
        prob = logits.softmax(1)
        if (prob.shape[2] // 2, prob.shape[3] // 2) == self.grid:
            pooled = F.avg_pool2d(prob, 2)
        else:
            pooled = _pooled(prob, self.grid)
        return self.layers(pooled.flatten(1))


def _pooled(x: Tensor, grid: tuple[int, int]) -> Tensor:
    """Adaptive average pooling as two matrix products, which every exporter knows for any size."""
    rows, columns = (_averages(size, cells, x) for size, cells in zip(x.shape[2:], grid))
    return rows @ x @ columns.t()


def _averages(size: int, cells: int, like: Tensor) -> Tensor:
    """(cells, size): cell i is the mean of places floor(i * size / cells) to ceil((i + 1) * size / cells)."""
    cell = torch.arange(cells, device=like.device)[:, None]
    place = torch.arange(size, device=like.device)
    first = torch.div(cell * size, cells, rounding_mode="floor")
    last = -torch.div(-(cell + 1) * size, cells, rounding_mode="floor")
    is_inside = ((place >= first) & (place < last)).to(like.dtype)
    return is_inside / is_inside.sum(1, keepdim=True)


def _levels_of(strides: Sequence[int]) -> list[int]:
    chosen = [level for level, stride in enumerate(strides) if stride >= _LEAST_STRIDE]
    return chosen or [list(strides).index(max(strides))]


def _branch(kind: str, channels: int, width: int, hidden: int) -> nn.Sequential:
    if kind == "1x1":
        return nn.Sequential(nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
    return nn.Sequential(
        nn.Conv2d(channels, hidden, 3, padding=_DILATION, dilation=_DILATION, bias=False),
        nn.BatchNorm2d(hidden),
        nn.ReLU(inplace=True),
        nn.Conv2d(hidden, width, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    )
