"""The parts of HMoDE: decoder, density experts, gates and attention.

Du et al., "Redesigning Multi-Scale Neural Network for Crowd Counting", TIP 2023, arXiv:2208.02894. Widths, orders and
the ReLU on the gates' logits follow the authors' released code.

Tensors: B images, C channels, h, w cells of a level. Levels are ordered fine to coarse.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from visionzoo.layers.windows import Window, enlarge_bilinear


def conv(channels: int, width: int, kernel: int, *, relu: bool = True) -> nn.Sequential:
    """Build a convolution of stride 1 that keeps the size, then ReLU."""
    layers = [nn.Conv2d(channels, width, kernel, padding=kernel // 2), *([nn.ReLU(inplace=True)] if relu else [])]
    return nn.Sequential(*layers)


def chain(widths: Sequence[int], kernels: Sequence[int], *, last_relu: bool = True) -> nn.Sequential:
    """Build consecutive convolutions, each with ReLU; ``last_relu=False`` omits the last ReLU."""
    count = len(kernels)
    return nn.Sequential(
        *(
            conv(channels, width, kernel, relu=last_relu or index < count - 1)
            for index, ((channels, width), kernel) in enumerate(zip(pairwise(widths), kernels, strict=True))
        )
    )


class Decoder(nn.Module):
    """A U-shaped decoder: from coarse to fine, each level is joined with the result of the coarser level.

    Args:
        in_channels: channels of the levels, fine to coarse, at least two.
        width: channels of the coarsest result; each finer result has half as many.

    Attributes:
        out_channels: channels of the results, fine to coarse.
    """

    def __init__(self, in_channels: Sequence[int], width: int):
        super().__init__()
        depth = len(in_channels)
        self.out_channels = tuple(width // 2 ** (depth - 1 - level) for level in range(depth))
        self.blocks = nn.ModuleList()
        for level, (channels, out) in enumerate(zip(in_channels, self.out_channels, strict=True)):
            below = 0 if level == depth - 1 else self.out_channels[level + 1]
            self.blocks.append(chain((channels + below, 2 * out, out), (3, 3)))

    def forward(self, feats: Sequence[Tensor], window: Window | None = None) -> list[Tensor]:
        """Return one map per level, of the level's size; ``window`` has the same levels as ``feats``."""
        decoded = [self.blocks[-1](feats[-1])]
        for level in range(len(feats) - 2, -1, -1):
            size = (feats[level].shape[2], feats[level].shape[3])
            below = enlarge_bilinear(decoded[0], size, window, level + 1, level)
            decoded.insert(0, self.blocks[level](torch.cat([feats[level], below], 1)))
        return decoded


class Gate(nn.Module):
    """Soft weights for every cell: 3x3 convolutions, then a 1x1 convolution to the logits, then softmax.

    Args:
        widths: channels of the input and of every 3x3 convolution.
        groups: number of sets of weights.
        choices: number of weights in each set.
        relu: also apply ReLU to the logits. Negative logits then all have equal weights and no gradients.
    """

    def __init__(self, widths: Sequence[int], groups: int, choices: int, relu: bool):
        super().__init__()
        kernels = (3,) * (len(widths) - 1) + (1,)
        self.groups, self.choices = groups, choices
        self.layers = chain((*widths, groups * choices), kernels, last_relu=relu)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, groups * choices, h, w) float32; weights of a set are consecutive and sum to 1."""
        logits = self.layers(x).float().unflatten(1, (self.groups, self.choices))
        return logits.softmax(2).flatten(1, 2)


class Attention(nn.Module):
    """The probability that a cell is occupied by people.

    Args:
        widths: channels of the input and of two 3x3 convolutions.
    """

    def __init__(self, widths: Sequence[int]):
        super().__init__()
        self.layers = chain((*widths, 1), (3, 3, 1), last_relu=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, 1, h, w) float32, in [0, 1]."""
        return self.layers(x).float().sigmoid()
