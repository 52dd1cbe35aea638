"""A plain density head: the baseline for crowd counting, on one level of any backbone or neck.

This is the back end of CSRNet (Li et al., "CSRNet: Dilated Convolutional Neural Networks for Understanding the Highly
Congested Scenes", CVPR 2018, arXiv:1802.10062, configuration B). CSRNet reads VGG-16 at 1/8 and is trained on maps of
people per cell. Here cells predict people per pixel times ``log_para``, as in every counting head of this package.

Tensors: B images, h, w cells of the level that the head reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log2
from typing import Any

from torch import Tensor, nn

from visionzoo.allowed import Count, Few, Positive
from visionzoo.errors import ConfigError, require_known
from visionzoo.layers.density import (
    LOG_PARA,
    CountingHead,
    cell_truth,
    density_targets,
    draw_weights,
)
from visionzoo.layers.sample_sizes import input_size, require_single_images
from visionzoo.layers.windows import Window
from visionzoo.registry import MODELS
from visionzoo.structures.batch import NO_BATCH, Batch

# Preferred stride if no level is chosen.
_STRIDE = 8


@MODELS.register_module()
class DensityHead(CountingHead):
    """Six dilated 3x3 convolutions with ReLU and a 1x1 convolution to the density.

    Reads ``gt_density`` in training: (H, W) float32, people per pixel, of the size of the image without padding. Writes
    ``pred_count`` and ``pred_density`` on the grid of the level; see :class:`CountingHead`.

    Args:
        in_channels, in_strides: channels and strides of every level, shallow first; filled in from the preceding part.
        variant: ``default``: 512, 512, 512, 256, 128 and 64 channels; ``lite``: three convolutions of 64 channels;
            ``tiny``: three of 16.
        level: index of the level to read. By default the level whose stride is nearest to 8 by ratio; of two equally
            near levels, the finer one.
        dilation: dilation of the 3x3 convolutions, >= 1.
        relu: clamp the density at 0. CSRNet does not clamp, so background cells may be slightly negative.
        log_para: factor of the targets and divisor of the predictions, above 0.
        init_cfg: initialisation config of mmengine.

    Raises:
        ConfigError: no such level, or a number out of its range.
        UnknownName: an unknown variant.

    Example:
        >>> import torch
        >>> head = DensityHead(in_channels=[8], in_strides=[8], variant="tiny")
        >>> head([torch.zeros(2, 8, 4, 6)]).shape
        torch.Size([2, 1, 4, 6])
    """

    VARIANTS: dict[str, tuple[int, ...]] = {
        "default": (512, 512, 512, 256, 128, 64),
        "lite": (64, 64, 64),
        "tiny": (16, 16, 16),
    }

    def __init__(
        self,
        in_channels: Sequence[Count] | Count,
        in_strides: Sequence[Count],
        variant: str = "default",
        *,
        level: int | None = None,
        dilation: Few = 2,
        relu: bool = False,
        log_para: Positive = LOG_PARA,
        init_cfg: Any = None,
    ):
        require_known(variant, self.VARIANTS, "DensityHead variant")
        channels = [in_channels] if isinstance(in_channels, int) else list(in_channels)
        chosen = _chosen_level(level, list(in_strides))
        super().__init__(in_strides, in_strides[chosen], log_para, init_cfg)
        self.level = chosen
        self.layers = nn.Sequential()
        before = channels[self.level]
        for width in self.VARIANTS[variant]:
            self.layers.append(nn.Conv2d(before, width, 3, padding=dilation, dilation=dilation))
            self.layers.append(nn.ReLU(inplace=True))
            before = width
        self.layers.append(nn.Conv2d(before, 1, 1))
        if relu:
            self.layers.append(nn.ReLU(inplace=True))
        # CSRNet's initial weights; with the few channels of the others, such small weights would make outputs vanish
        draw_weights(self, 0.01 if variant == "default" else None)

    def forward(self, feats: Sequence[Tensor], batch: Batch = NO_BATCH, window: Window | None = None) -> Tensor:
        """Return the density times ``log_para``, (B, 1, h, w) float32; ``batch`` and ``window`` have no effect."""
        return self.layers(feats[self.level]).float()

    def dense(self, feats: Sequence[Tensor], batch: Batch = NO_BATCH, window: Window | None = None) -> Tensor:
        """Return the same as :meth:`forward`."""
        return self(feats, batch, window)

    def loss(self, feats: Sequence[Tensor], batch: Batch) -> dict[str, Tensor]:
        """Return ``loss_density``: the squared error of the mean density, summed over cells, divided by the batch size.

        A cell counts with the share of its pixels that are not padding.

        Raises:
            DataError: a sample has no ``gt_density``, or one whose size differs from its image.
        """
        maps, samples = self(feats, batch), batch.samples
        require_single_images(len(maps), samples)
        grid = (maps.shape[2], maps.shape[3])
        size = input_size(samples, grid, self.stride)
        target = density_targets(samples, size).to(maps.device)
        truth = cell_truth(target * self.log_para, grid, samples)
        share = truth.pixels * (grid[0] * grid[1]) / (size[0] * size[1])
        error = (share * (maps[:, 0] - truth.mean).square()).sum()
        return {"loss_density": error / len(samples)}


def _chosen_level(level: int | None, strides: Sequence[int]) -> int:
    """Return the index of the level to read, 0 to the number of levels - 1."""
    if level is None:
        return min(range(len(strides)), key=lambda at: (abs(log2(strides[at] / _STRIDE)), strides[at]))
    if not -len(strides) <= level < len(strides):
        raise ConfigError(
            "DensityHead.level",
            expected=f"one of the {len(strides)} levels of the preceding part",
            found=f"{level}",
            advice="leave it out to use the level nearest to stride 8",
        )
    return level % len(strides)
