"""Parts of SCNN's head before and after the messages: reduction of feature maps, and existence of lanes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visionzoo.errors import require_known
from visionzoo.layers.levels import require_strides

REDUCERS = ("large_field", "1x1")

# Stride of the map in which the authors pass messages. At half the stride, messages cost four times as much.
_LEAST_STRIDE = 8
_DILATION = 4


class Reducer(nn.Module):
    """Reduce the feature maps of a trunk to one map.

    Each level is reduced separately and resized to the finest of them; the results are summed. Levels with a stride
    below 8 are skipped. If all strides are below 8, only the coarsest level is read.

    Args:
        in_channels, in_strides: channels and strides of every level.
        kind: ``large_field``: 3x3 conv with dilation 4 to ``hidden`` channels, norm, ReLU, 1x1 conv, norm, ReLU, which
            the authors use for VGG. ``1x1``: 1x1 conv, norm, ReLU, for trunks with a large receptive field.
        width: channels of the result.
        hidden: channels between the two convs of ``large_field``.

    Attributes:
        levels: indices of the levels that are read.
        stride: pixels per cell of the result.

    Raises:
        UnknownName: an unknown kind.
        ConfigError: the numbers of channels and strides differ.
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
        """Map one (B, C_i, H_i, W_i) per level to (B, width, H, W)."""
        reduced = [branch(feats[level]) for branch, level in zip(self.branches, self.levels)]
        size = reduced[self.finest].shape[2:]
        total = reduced[self.finest]
        for index, x in enumerate(reduced):
            if index != self.finest:
                total = total + F.interpolate(x, size=size, mode="bilinear", align_corners=False)
        return total


class ExistenceBranch(nn.Module):
    """Predict from the pixels' class probabilities whether each lane exists.

    Two linear layers read the probabilities after 2x2 pooling, so the number of weights depends on the image size.
    Images of another size are pooled adaptively to the same grid, which is our addition.

    Args:
        lanes: K.
        grid: (rows, columns) after pooling.
        hidden: channels between the two layers.
    """

    def __init__(self, lanes: int, grid: tuple[int, int], hidden: int):
        super().__init__()
        self.grid = grid
        self.layers = nn.Sequential(
            nn.Linear((lanes + 1) * grid[0] * grid[1], hidden), nn.ReLU(), nn.Linear(hidden, lanes)
        )

    def forward(self, logits: Tensor) -> Tensor:
        """Map logits of the pixel classes, (B, K + 1, h, w), to logits of existence, (B, K)."""
        prob = logits.softmax(1)
        if (prob.shape[2] // 2, prob.shape[3] // 2) == self.grid:
            pooled = F.avg_pool2d(prob, 2)
        else:
            pooled = _pooled(prob, self.grid)
        return self.layers(pooled.flatten(1))


def _pooled(x: Tensor, grid: tuple[int, int]) -> Tensor:
    """Pool adaptively by averages, as two matrix products that every exporter supports for any size."""
    rows, columns = (_averages(size, cells, x) for size, cells in zip(x.shape[2:], grid))
    return rows @ x @ columns.t()


def _averages(size: int, cells: int, like: Tensor) -> Tensor:
    """Return (cells, size) weights: cell i averages floor(i * size / cells) to ceil((i + 1) * size / cells)."""
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
