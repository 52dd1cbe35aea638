"""Supernet of MBConv networks on ImageNet, for which the paper compares ratings (section 5.2).

Five blocks are searched. Each layer chooses the expansion and the kernel of an inverted residual.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from visionzoo.algorithms.bossnas.paths import Path, every_path, fair_paths
from visionzoo.algorithms.bossnas.supernet import LazyChoices, Reducers, Supernet, conv_norm, weights_drawn_from
from visionzoo.errors import ConfigError

# Expansion and kernel by op id.
OPS = ((6, 3), (6, 5), (3, 3), (3, 5))

# Channels, stride and number of layers of each block. The sixth block, with 320 channels, is not searched.
BLOCKS = ((24, 2, 2), (40, 2, 4), (80, 2, 4), (112, 1, 4), (192, 2, 4))
FIXED_BLOCK = (320, 1, 1)

_STEM = 32


class MBConvSupernet(Supernet):
    """All networks of the search space in one network with shared weights.

    Args:
        image_size: size of the views in pixels, >= 32. The network does not depend on it.
        seed: seed of the weights.

    Raises:
        ConfigError: ``image_size`` is below 32, or, in a call, a path that does not fit the block.

    Example:
        >>> supernet = MBConvSupernet(image_size=32)
        >>> len(supernet.candidates(0, []))
        16
        >>> supernet.run_block(torch.zeros(2, 3, 32, 32), 0, (0, 3), []).shape
        torch.Size([2, 24, 8, 8])
    """

    num_blocks = len(BLOCKS)

    def __init__(self, *, image_size: int = 224, seed: int = 0):
        super().__init__()
        if image_size < 32:
            raise ConfigError(
                "MBConv.image_size", expected="at least 32 pixels", found=f"{image_size}", advice="224 is usual"
            )
        with weights_drawn_from(seed, "stem"):
            self.stem = nn.Sequential(
                *conv_norm(3, _STEM, 3, stride=2), nn.SiLU(inplace=True), _SeparableConv(_STEM, _STEM // 2)
            )
        self.blocks = nn.ModuleList()
        in_channels = _STEM // 2
        for block, (channels, stride, layers) in enumerate((*BLOCKS, FIXED_BLOCK)):
            self.blocks.append(
                nn.ModuleList(
                    _Layer(f"blocks.{block}.{i}", in_channels if i == 0 else channels, channels, stride, i, seed)
                    for i in range(layers)
                )
            )
            in_channels = channels

    def candidates(self, block: int, best_paths: Sequence[Path]) -> list[Path]:
        return every_path(len(OPS), BLOCKS[block][2])

    def sample(self, block: int, best_paths: Sequence[Path], count: int, draw: torch.Generator) -> list[Path]:
        """Return one path per op, so that each layer uses each op once. ``count`` is not used."""
        return fair_paths(len(OPS), BLOCKS[block][2], draw)

    def fixed_block(self, x: Tensor, op: int = 0) -> Tensor:
        """Run the block that is not searched: from the last searched map with 192 channels to 320."""
        return self.blocks[len(BLOCKS)][0](x, op)  # type: ignore[index]

    def prepare(self, block: int, paths: Sequence[Path], best_paths: Sequence[Path]) -> None:
        for path in paths:
            self.check_path(block, path)
            for layer, op in zip(self.layers_of(block), path):
                layer.ops.ask(op)

    def keep_path(self, block: int, path: Path) -> None:
        for layer, op in zip(self.layers_of(block), path):
            layer.ops.keep([op])

    def projected(self, block: int) -> tuple[int, Reducers]:
        return BLOCKS[block][0], {}

    def check_path(self, block: int, path: Path) -> None:
        layers = BLOCKS[block][2]
        if len(path) != layers or not set(path) <= set(range(len(OPS))):
            raise ConfigError(
                "MBConv",
                expected=f"a path of {layers} ops from 0 to {len(OPS) - 1} for block {block}",
                found=f"{list(path)}",
                advice="take it from candidates()",
            )


class _Layer(nn.Module):
    """Candidate ops of one layer, and their common shortcut."""

    def __init__(self, name: str, in_channels: int, channels: int, stride: int, index: int, seed: int):
        super().__init__()
        stride = stride if index == 0 else 1
        with weights_drawn_from(seed, f"{name}.downsample"):
            self.downsample = _shortcut(in_channels, channels, stride)
        makers = {
            str(op): partial(InvertedResidual, in_channels, channels, kernel, stride, expansion)
            for op, (expansion, kernel) in enumerate(OPS)
        }
        self.ops = LazyChoices(makers, name=f"{name}.ops", seed=seed)

    def forward(self, x: Tensor, op: int) -> Tensor:
        return self.ops.ask(op)(x) + self.downsample(x)


def _shortcut(in_channels: int, channels: int, stride: int) -> nn.Sequential:
    pool = [nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False)] if stride == 2 else []
    return nn.Sequential(*pool, *(conv_norm(in_channels, channels, 1) if in_channels != channels else []))


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution, squeeze and excitation, and projection, without the shortcut."""

    def __init__(self, in_channels: int, channels: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        inner = in_channels * expansion
        self.expand = nn.Sequential(*conv_norm(in_channels, inner, 1), nn.SiLU(inplace=True))
        self.depthwise = nn.Sequential(*conv_norm(inner, inner, kernel, stride, inner), nn.SiLU(inplace=True))
        self.se = _SqueezeExcite(inner, in_channels // 4)
        self.project = nn.Sequential(*conv_norm(inner, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.project(self.se(self.depthwise(self.expand(x))))


class _SeparableConv(nn.Module):
    """Depthwise convolution, squeeze and excitation, and projection."""

    def __init__(self, in_channels: int, channels: int):
        super().__init__()
        self.depthwise = nn.Sequential(
            *conv_norm(in_channels, in_channels, 3, groups=in_channels), nn.SiLU(inplace=True)
        )
        self.se = _SqueezeExcite(in_channels, in_channels // 4)
        self.project = nn.Sequential(*conv_norm(in_channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.project(self.se(self.depthwise(x)))


class _SqueezeExcite(nn.Module):
    def __init__(self, channels: int, squeezed: int):
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(channels, squeezed, 1), nn.Conv2d(squeezed, channels, 1)
        self.act = nn.SiLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.expand(self.act(self.reduce(x.mean((2, 3), keepdim=True)))).sigmoid()
