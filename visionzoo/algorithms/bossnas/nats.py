"""Supernet of NATS-Bench's size space on CIFAR, for which the paper compares ratings (section 5.2).

Each of the five layers is a fixed cell or a reduction and chooses its width. The weights of a width are the first rows
and columns of the weights of the largest width.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visionzoo.algorithms.bossnas.paths import Path, every_path, fair_paths
from visionzoo.algorithms.bossnas.supernet import Reducers, Supernet, conv_norm, weights_drawn_from
from visionzoo.errors import ConfigError, require_known

# Widths by op id.
WIDTHS = (8, 16, 24, 32, 40, 48, 56, 64)

# Number of layers of each block, by data set. The second and the fourth of the five layers reduce the map.
LAYERS = {"cifar10": (2, 2, 1), "cifar100": (2, 1, 2)}
_REDUCTIONS = (1, 3)


class NATSSupernet(Supernet):
    """All networks of the search space in one network with shared weights.

    Args:
        target: ``cifar10`` or ``cifar100``. They differ in the number of layers per block.
        projected_channels: C to which maps of all widths are converted before their projection.
        seed: seed of the weights.

    Raises:
        UnknownName: an unknown target.
        ConfigError: in a call, a path that does not fit the block.

    Example:
        >>> supernet = NATSSupernet(projected_channels=8)
        >>> len(supernet.candidates(0, []))
        64
        >>> supernet.run_block(torch.zeros(2, 3, 8, 8), 0, (0, 1), []).shape
        torch.Size([2, 16, 4, 4])
    """

    def __init__(self, target: str = "cifar10", *, projected_channels: int = 2048, seed: int = 0):
        super().__init__()
        require_known(target, LAYERS, "NATS-Bench data set")
        self.counts, self.projected_channels = LAYERS[target], projected_channels
        self.num_blocks = len(self.counts)
        with weights_drawn_from(seed, "nats"):
            self.stem, self.stem_norm = _SlimConv(3, 3), _SlimNorm()
            modules = [_Reduction() if i in _REDUCTIONS else _Cell() for i in range(sum(self.counts))]
        starts = [sum(self.counts[:block]) for block in range(self.num_blocks)]
        self.blocks = nn.ModuleList(
            nn.ModuleList(modules[start : start + count]) for start, count in zip(starts, self.counts)
        )

    def candidates(self, block: int, best_paths: Sequence[Path]) -> list[Path]:
        return every_path(len(WIDTHS), self.counts[block])

    def sample(self, block: int, best_paths: Sequence[Path], count: int, draw: torch.Generator) -> list[Path]:
        """Return one path per width, so that each layer uses each width once. ``count`` is not used."""
        return fair_paths(len(WIDTHS), self.counts[block], draw)

    def check_path(self, block: int, path: Path) -> None:
        if len(path) != self.counts[block] or not set(path) <= set(range(len(WIDTHS))):
            raise ConfigError(
                "NATS-Bench",
                expected=f"a path of {self.counts[block]} widths from 0 to {len(WIDTHS) - 1} for block {block}",
                found=f"{list(path)}",
                advice="take it from candidates()",
            )

    def run_block(self, x: Tensor, block: int, path: Path, best_paths: Sequence[Path]) -> Tensor:
        self.check_path(block, path)
        if block == 0:
            x = self.stem_norm(self.stem(x, WIDTHS[path[0]]))
        for layer, op in zip(self.layers_of(block), path):
            x = layer(x, WIDTHS[op])
        return x

    def projected(self, block: int) -> tuple[int, Reducers]:
        return self.projected_channels, {width: partial(_widen, width, self.projected_channels) for width in WIDTHS}


def _widen(width: int, channels: int) -> nn.Sequential:
    return nn.Sequential(*conv_norm(width, channels, 1))


class _Cell(nn.Module):
    """Cell of three nodes after the input: conv(0); conv(0) + conv(1); skip(0) + conv(1) + conv(2).

    A skip between different widths is a 1x1 convolution.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv01, self.conv02, self.conv12 = _ReLUConvNorm(3), _ReLUConvNorm(3), _ReLUConvNorm(3)
        self.conv13, self.conv23, self.skip = _ReLUConvNorm(3), _ReLUConvNorm(3), _ReLUConvNorm(1)

    def forward(self, x: Tensor, width: int) -> Tensor:
        first = self.conv01(x, width)
        second = self.conv02(x, width) + self.conv12(first, width)
        skipped = x if x.shape[1] == width else self.skip(x, width)
        return skipped + self.conv13(first, width) + self.conv23(second, width)


class _Reduction(nn.Module):
    """Basic residual block of stride 2."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_a, self.conv_b = _ReLUConvNorm(3, stride=2), _ReLUConvNorm(3)
        self.shortcut = _SlimConv(WIDTHS[-1], 1)

    def forward(self, x: Tensor, width: int) -> Tensor:
        return self.shortcut(F.avg_pool2d(x, 2), width) + self.conv_b(self.conv_a(x, width), width)


class _ReLUConvNorm(nn.Module):
    def __init__(self, kernel: int, stride: int = 1):
        super().__init__()
        self.conv, self.norm = _SlimConv(WIDTHS[-1], kernel, stride), _SlimNorm()

    def forward(self, x: Tensor, width: int) -> Tensor:
        return self.norm(self.conv(x.relu(), width))


class _SlimConv(nn.Conv2d):
    """Convolution of any number of input channels to a given number of output channels."""

    def __init__(self, in_channels: int, kernel: int, stride: int = 1):
        super().__init__(in_channels, WIDTHS[-1], kernel, stride, kernel // 2, bias=False)

    def forward(self, x: Tensor, width: int) -> Tensor:  # type: ignore[override]
        return F.conv2d(x, self.weight[:width, : x.shape[1]], None, self.stride, self.padding)


class _SlimNorm(nn.Module):
    """Separate norm for each width."""

    def __init__(self) -> None:
        super().__init__()
        self.by_width = nn.ModuleDict({str(width): nn.BatchNorm2d(width) for width in WIDTHS})

    def forward(self, x: Tensor) -> Tensor:
        return self.by_width[str(x.shape[1])](x)
