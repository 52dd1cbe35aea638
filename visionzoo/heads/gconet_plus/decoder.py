"""The decoder of GCoNet+, from the deepest feature map to the finest, and the layers after it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visionzoo.errors import ConfigError


class Block(nn.Module):
    """Two 3x3 convolutions with ReLU between them: the authors' ResBlk, which has no skip connection.

    Args:
        in_channels, inner, out_channels: channels before, between and after the convolutions.
        norm: use batch normalisation after each convolution.
    """

    def __init__(self, in_channels: int, inner: int, out_channels: int, norm: bool):
        super().__init__()
        self.conv_in = nn.Conv2d(in_channels, inner, 3, padding=1)
        self.bn_in = nn.BatchNorm2d(inner) if norm else nn.Identity()
        self.conv_out = nn.Conv2d(inner, out_channels, 3, padding=1)
        self.bn_out = nn.BatchNorm2d(out_channels) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.bn_out(self.conv_out(F.relu(self.bn_in(self.conv_in(x)), inplace=True)))


class Decoder(nn.Module):
    """Fuse L feature maps into one map of the image's size; ``blocks`` and ``laterals`` are ordered deep first.

    Args:
        in_channels: channels of every feature map, shallow first.
        width: channels at the two deepest maps; each shallower map halves them.
        inner: channels inside the blocks.
        norm: use batch normalisation in the blocks.

    Attributes:
        out_channels: channels of the result; 32 with five maps and the authors' width.

    Raises:
        ConfigError: fewer than two maps, or a width that cannot be halved for every level.
    """

    def __init__(self, in_channels: Sequence[int], width: int, inner: int, norm: bool):
        super().__init__()
        if len(in_channels) < 2 or width % 2 ** (len(in_channels) - 2):
            raise ConfigError(
                "GCoNetPlusHead",
                expected=f"two maps or more and a width that is a multiple of {2 ** max(0, len(in_channels) - 2)}",
                found=f"{len(in_channels)} maps and width {width}",
                advice="change model.head.width or the backbone's out_indices",
            )
        widths = [width // 2**level for level in range(len(in_channels) - 1)]
        self.out_channels = widths[-1]
        self.top = Block(in_channels[-1], inner, width, norm)
        self.blocks = nn.ModuleList(
            Block(before, inner, after, norm)
            for before, after in zip([width, *widths], [*widths, widths[-1]], strict=True)
        )
        self.laterals = nn.ModuleList(
            nn.Conv2d(channels, after, 1) for channels, after in zip(reversed(in_channels[:-1]), widths, strict=True)
        )

    def forward(self, deepest: Tensor, feats: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """Map the weighted deepest map and the L - 1 others, shallow first, to (N, out_channels, *size)."""
        x = self.top(deepest)
        for block, lateral, feat in zip(self.blocks, self.laterals, reversed(feats)):
            x = resize(block(x), feat.shape[2:]) + lateral(feat)
        return resize(self.blocks[-1](x), size)


class Binarizer(nn.Module):
    """A probability and a threshold for every pixel: the two branches of the confidence enhancement module (CEM).

    Args:
        channels: channels of the decoder's result.
        norm: use batch normalisation after the 3x3 convolutions.
    """

    def __init__(self, channels: int, norm: bool):
        super().__init__()
        self.prob = _branch(channels, norm)
        self.threshold = _branch(channels, norm)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, channels, H, W) to probability minus threshold, (N, 1, H, W) in (-1, 1), float32."""
        return self.prob(x).float().sigmoid() - self.threshold(x).float().sigmoid()


def _branch(channels: int, norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(2):
        layers.append(nn.Conv2d(channels, channels, 3, padding=1))
        layers += [nn.BatchNorm2d(channels)] if norm else []
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers, nn.Conv2d(channels, 1, 1))


# Steepness of the step, and steepness if the authors' exponential overflows float32.
STEEP, LESS_STEEP = 300.0, 50.0


def step(margin: Tensor, sizes: Sequence[int]) -> Tensor:
    """Convert probability minus threshold to a nearly binary map, 1 / (1 + exp(-k margin)).

    As in the authors' code, k is 300 unless exp(-300 margin) overflows for any pixel of a set of images; then k is 50
    for the whole set. A set holds the images of one pass of the authors' network: a group, or a pair of groups in
    training.

    Args:
        margin: (N, 1, H, W), float32, because the exponential overflows sooner in half precision.
        sizes: number of images of each set; the sum is N.
    """
    if len(sizes) == 1:
        return torch.sigmoid(_steepness(margin.detach()) * margin)
    steepness = [_steepness(part) for part in margin.detach().split(list(sizes))]
    each = torch.stack([k for k, size in zip(steepness, sizes) for _ in range(size)])
    return torch.sigmoid(each.view(-1, 1, 1, 1) * margin)


def _steepness(margin: Tensor) -> Tensor:
    overflows = torch.exp(-STEEP * margin.min()).isinf()
    return torch.where(overflows, margin.new_tensor(LESS_STEEP), margin.new_tensor(STEEP))


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """Resize bilinearly with aligned corners; a map that already has the size is returned unchanged."""
    if x.shape[2:] == tuple(size):
        return x
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=True)
