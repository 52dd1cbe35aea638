"""The parts of HMoDE: decoder, density experts, gates and attention.

Du et al., "Redesigning Multi-Scale Neural Network for Crowd Counting", TIP 2023, arXiv:2208.02894. Widths, orders and
the ReLU on the gates' logits are those of the authors' released code.

Tensors: B images, C channels, h, w cells of a level. Levels are fine to coarse.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from visionzoo.layers.windows import Window, enlarge_bilinear


def conv(channels: int, width: int, kernel: int, *, relu: bool = True) -> nn.Sequential:
    """A convolution of stride 1 that keeps the size, then ReLU."""
    layers = [nn.Conv2d(channels, width, kernel, padding=kernel // 2), *([nn.ReLU(inplace=True)] if relu else [])]
    return nn.Sequential(*layers)


def chain(widths: Sequence[int], kernels: Sequence[int], *, last_relu: bool = True) -> nn.Sequential:
    """Convolutions one after the other, each with ReLU, the last one perhaps without."""
    count = len(kernels)
    return nn.Sequential(
        *(
            conv(channels, width, kernel, relu=last_relu or index < count - 1)
            for index, ((channels, width), kernel) in enumerate(zip(pairwise(widths), kernels, strict=True))
        )
    )


class Decoder(nn.Module):
    """A U-shape: from the coarsest level upwards, each level joined with what lies below it.

    Args:
        in_channels: of the levels, fine to coarse, two at least.
        width: channels of the coarsest result; halved with every finer one.

    Attributes:
        out_channels: of the results, fine to coarse.
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
        """One map for every level, of its size; ``window`` numbers the levels as ``feats`` does."""
        found = [self.blocks[-1](feats[-1])]
        for level in range(len(feats) - 2, -1, -1):
            size = (feats[level].shape[2], feats[level].shape[3])
            below = enlarge_bilinear(found[0], size, window, level + 1, level)
            found.insert(0, self.blocks[level](torch.cat([feats[level], below], 1)))
        return found


class Gate(nn.Module):
    """Soft weights for every cell: 3x3 convolutions, then a 1x1 one to the logits.

    Args:
        widths: channels of the input and of every 3x3 convolution.
        groups: how many sets of weights there are.
        choices: among how many each set chooses.
        relu: also on the logits. Weights of negative logits are then all equal, and learn nothing.
    """

    def __init__(self, widths: Sequence[int], groups: int, choices: int, relu: bool):
        super().__init__()
        kernels = (3,) * (len(widths) - 1) + (1,)
        self.groups, self.choices = groups, choices
        self.layers = chain((*widths, groups * choices), kernels, last_relu=relu)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, groups * choices, h, w) float32; those of a set follow each other and sum to 1."""
        logits = self.layers(x).float().unflatten(1, (self.groups, self.choices))
        return logits.softmax(2).flatten(1, 2)


class Attention(nn.Module):
    """The probability of every cell that there is anybody.

    Args:
        widths: channels of the input and of two 3x3 convolutions.
    """

    def __init__(self, widths: Sequence[int]):
        super().__init__()
        self.layers = chain((*widths, 1), (3, 3, 1), last_relu=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, 1, h, w) float32, in [0, 1]."""
        return self.layers(x).float().sigmoid()
