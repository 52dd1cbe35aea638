"""Cross-scale shift network: levels exchange channels, then receive two global contexts (paper, section 3.3).

Tensors: B batch, L levels, C channels (equal on all levels), H and W size of the common grid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from visionzoo.errors import ConfigError
from visionzoo.necks.rcnet.blocks import grow, pointwise, pool_to, size_of, xavier

# Each of these neighbours in the circle of levels contributes one sixteenth of the channels. In the paper's figure the
# shift ends at the last level. In the authors' code, which produced their results, it is circular: p3 receives from p7.
SHIFTS = (1, -1, 2, -2)
RATIO = 16


def shift_levels(levels: Sequence[Tensor]) -> list[Tensor]:
    """Prepend channels of the neighbouring levels to the channels of each level.

    Args:
        levels: L maps of (B, C, H, W).

    Returns:
        L maps of (B, C + 4 * (C // 16), H, W): channels [0, C / 16) of the next coarser level, [C / 16, 2 C / 16) of
        the next finer level, the third and fourth sixteenth of the levels two steps coarser and finer, then all
        channels of the level.

    Example:
        >>> levels = [torch.full((1, 16, 1, 1), float(i)) for i in range(5)]
        >>> shift_levels(levels)[1][0, :5, 0, 0].tolist()
        [2.0, 0.0, 3.0, 4.0, 1.0]
    """
    part, count = levels[0].shape[1] // RATIO, len(levels)
    return [
        torch.cat([levels[(i + s) % count][:, k * part : (k + 1) * part] for k, s in enumerate(SHIFTS)] + [level], 1)
        for i, level in enumerate(levels)
    ]


class MultiScaleShift(nn.Module):
    """Shift channels between levels, then mix them with a small network per level."""

    def __init__(self, channels: int, num_levels: int, norm_cfg: Mapping | None):
        super().__init__()
        shifted = channels + len(SHIFTS) * (channels // RATIO)
        self.aggregation = nn.ModuleList(
            nn.Sequential(pointwise(shifted, channels, norm_cfg, relu_after=True), nn.Conv2d(channels, channels, 1))
            for _ in range(num_levels)
        )

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Map L maps of (B, C, H, W) to L maps of the same size."""
        return [x + mix(shifted) for x, shifted, mix in zip(levels, shift_levels(levels), self.aggregation)]


class GlobalContext(nn.Module):
    """One vector per image: the mean over positions, weighted by learnt importance, then a 1x1 convolution."""

    def __init__(self, channels: int):
        super().__init__()
        self.channel_agg = nn.Conv2d(channels, 1, 1)
        self.trans = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, N, M) to (B, C, 1, 1)."""
        importance = self.channel_agg(x).flatten(2).softmax(2)
        return self.trans((x.flatten(2) @ importance.to(x.dtype).transpose(1, 2)).unsqueeze(3))


class CSN(nn.Module):
    """Cross-scale shift network on maps of equal channels, fine to coarse.

    All levels are resized to the grid of the second level (P4), and back.

    Args:
        channels: channels C of every level, a multiple of 16.
        num_levels: number of levels L, at least 2; with fewer than 5, some neighbours in the circle are the same level.
        norm_cfg: norm inside the mixing networks; None for no norm.

    Raises:
        ConfigError: ``channels`` is not a multiple of 16.

    Example:
        >>> csn = CSN(16, num_levels=2)
        >>> [tuple(x.shape) for x in csn([torch.zeros(1, 16, 4, 4), torch.zeros(1, 16, 2, 2)])]
        [(1, 16, 4, 4), (1, 16, 2, 2)]
    """

    def __init__(self, channels: int, num_levels: int = 5, *, norm_cfg: Mapping | None = None):
        super().__init__()
        if channels < RATIO or channels % RATIO:
            raise ConfigError(
                "RCNet.out_channels",
                expected=f"a multiple of {RATIO}, because CSN shifts sixteenths of the channels",
                found=f"{channels}",
                advice=f"use {max(1, round(channels / RATIO)) * RATIO}, or csn=False",
            )
        self.spatialContext = GlobalContext(channels)
        self.scaleContext = GlobalContext(channels)
        self.msm = MultiScaleShift(channels, num_levels, norm_cfg)
        xavier(self)

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Map one (B, C, H_i, W_i) per level to maps of the same sizes; the inputs are not changed."""
        mixed = self.msm(self.on_grid(feats))
        spatial, scale = self.contexts(mixed)
        context = spatial + scale  # constant over the map, so it is added after resizing
        finest = feats[0] + context + grow(mixed[0], size_of(feats[0]))
        pooled = [pool_to(y, size_of(x), halvings) for halvings, (x, y) in enumerate(zip(feats[1:], mixed[1:]))]
        return (finest, *(x + context + y for x, y in zip(feats[1:], pooled, strict=True)))

    def on_grid(self, feats: Sequence[Tensor]) -> list[Tensor]:
        """Resize all levels to the second: the finest by max pooling, the others by interpolation."""
        size = size_of(feats[1])
        return [pool_to(feats[0], size, 1), *(grow(x, size) for x in feats[1:])]

    def contexts(self, mixed: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the contexts of the positions of the mean map and of the levels' means, (B, C, 1, 1) each."""
        mean_map = torch.stack(list(mixed)).mean(0)
        mean_vectors = torch.stack([y.mean((2, 3)) for y in mixed], 2)
        return self.spatialContext(mean_map), self.scaleContext(mean_vectors.unsqueeze(3))
