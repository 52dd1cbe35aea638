"""The decoder of ConnNet: from a pyramid to one map at its finest stride.

The paper's method section is not fully public. The parts follow its summary: non-local blocks, feature pyramid,
upsampling streams, optional ASPP. Widths and order are our choice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visionzoo.errors import ConfigError
from visionzoo.heads.connnet.non_local import NonLocalBlock
from visionzoo.layers.levels import require_strides

# Stride of a level by its usual name.
_STRIDES = {f"c{number}": 2**number for number in range(1, 8)}
_ASPP_RATES = (6, 12, 18)


class ContextDecoder(nn.Module):
    """Non-local blocks on deep levels, a feature pyramid, and one upsampling stream per level; the streams are summed.

    A stream repeats conv 3x3, norm, ReLU and doubling, log2(stride / finest stride) times. The finest level has one
    conv without doubling. Any number of levels and any strides are possible.

    Args:
        in_channels: channels of every level, shallow first.
        in_strides: strides of every level.
        width: channels of the result, >= 1; the pyramid has twice as many.
        non_local: levels with a non-local block: ``c4`` is the level whose stride is nearest to 2 ** 4, and so on.
        aspp: add context from several dilations on the deepest level; see :class:`ASPP`.

    Raises:
        ConfigError: the numbers of channels and strides differ, ``width`` is below 1, or a level is unknown.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        in_strides: Sequence[int],
        width: int = 128,
        non_local: Sequence[str] = ("c4",),
        aspp: bool = False,
    ):
        super().__init__()
        _check(in_channels, in_strides, width)
        pyramid = 2 * width
        chosen = sorted({_nearest_level(name, in_strides) for name in non_local})
        self.relations = nn.ModuleDict({str(level): NonLocalBlock(in_channels[level]) for level in chosen})
        self.aspp = ASPP(in_channels[-1], pyramid) if aspp else None
        entries = [*in_channels[:-1], pyramid] if aspp else in_channels
        self.laterals = nn.ModuleList(nn.Conv2d(channels, pyramid, 1) for channels in entries)
        self.outputs = nn.ModuleList(nn.Conv2d(pyramid, pyramid, 3, padding=1) for _ in entries)
        finest = min(in_strides)
        self.streams = nn.ModuleList(
            UpsamplingStream(pyramid, width, max(0, round(math.log2(stride / finest)))) for stride in in_strides
        )
        self.finest = list(in_strides).index(finest)

    def forward(self, feats: Sequence[Tensor]) -> Tensor:
        """Map one (B, C, H, W) per level to (B, width, H, W) of the finest level's size."""
        feats = [self.relations[str(i)](x) if str(i) in self.relations else x for i, x in enumerate(feats)]
        if self.aspp is not None:
            feats[-1] = self.aspp(feats[-1])
        levels = [lateral(x) for lateral, x in zip(self.laterals, feats, strict=True)]
        for i in range(len(levels) - 1, 0, -1):
            levels[i - 1] = levels[i - 1] + F.interpolate(levels[i], size=levels[i - 1].shape[2:], mode="nearest")
        size = levels[self.finest].shape[2:]
        streams = zip(self.streams, self.outputs, levels, strict=True)
        return torch.stack([_resized(stream(output(x)), size) for stream, output, x in streams]).sum(0)


class UpsamplingStream(nn.Sequential):
    """3x3 convs with norm and ReLU, each followed by bilinear upsampling by 2.

    Args:
        in_channels, width: channels before and after.
        doublings: number of convs with upsampling; 0 means one conv without upsampling.
    """

    def __init__(self, in_channels: int, width: int, doublings: int):
        layers: list[nn.Module] = []
        for number in range(max(1, doublings)):
            layers += _conv_norm(width if number else in_channels, width, 3)
            if doublings:
                layers.append(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False))
        super().__init__(*layers)


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling (DeepLabv3, arXiv 1706.05587): 1x1, three dilated 3x3 and the image's mean.

    The branch of the mean has no norm, so that training works with a batch of one image. This is our choice.

    Args:
        in_channels: channels of the input.
        width: channels of each branch and of the result.
    """

    def __init__(self, in_channels: int, width: int):
        super().__init__()
        dilated = [nn.Sequential(*_conv_norm(in_channels, width, 3, rate)) for rate in _ASPP_RATES]
        self.branches = nn.ModuleList([nn.Sequential(*_conv_norm(in_channels, width, 1)), *dilated])
        self.pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(in_channels, width, 1), nn.ReLU(inplace=True))
        self.join = nn.Sequential(*_conv_norm((len(_ASPP_RATES) + 2) * width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, width, H, W)."""
        maps = [branch(x) for branch in self.branches]
        return self.join(torch.cat([*maps, self.pooled(x).expand_as(maps[0])], 1))


def kaiming(module: nn.Module) -> None:
    """Draw He's normal weights and set zero biases for every conv of a head; norms are not changed."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _conv_norm(in_channels: int, width: int, kernel: int, dilation: int = 1) -> list[nn.Module]:
    padding = dilation * (kernel // 2)
    conv = nn.Conv2d(in_channels, width, kernel, padding=padding, dilation=dilation, bias=False)
    return [conv, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]


def _resized(x: Tensor, size: torch.Size) -> Tensor:
    """Resize to ``size``; after doublings, odd sizes differ from the finest level by some pixels.

    No branch of a recorded graph may depend on a size. An interpolation to the same size changes nothing.
    """
    if not torch.compiler.is_compiling() and x.shape[2:] == size:
        return x
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


def _nearest_level(name: str, strides: Sequence[int]) -> int:
    if name not in _STRIDES:
        raise ConfigError(
            "ConnNet",
            expected=f"non_local of {', '.join(_STRIDES)}",
            found=f"{name!r}",
            advice="use c4 for the level of stride 16",
        )
    distances = [abs(math.log2(stride / _STRIDES[name])) for stride in strides]
    return distances.index(min(distances))


def _check(channels: Sequence[int], strides: Sequence[int], width: int) -> None:
    require_strides(channels, strides, "ConnNet")
    if width < 1:
        raise ConfigError("ConnNet", expected="width >= 1", found=f"{width}", advice="use 128")
