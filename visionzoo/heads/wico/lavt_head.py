"""Decoder of LAVT: probability of each pixel that it belongs to the object that a phrase describes.

Yang et al., "LAVT: Language-Aware Vision Transformer for Referring Image Segmentation", CVPR 2022, arXiv:2112.02244,
section 3.4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from visionzoo.allowed import Count, Share
from visionzoo.errors import ConfigError
from visionzoo.heads.wico.samples import true_masks, write_map
from visionzoo.layers.levels import require_strides
from visionzoo.layers.sample_sizes import input_size, require_single_images
from visionzoo.layers.variants import variant_options
from visionzoo.registry import MODELS
from visionzoo.structures.batch import NO_BATCH, Batch
from visionzoo.structures.task_sample import TaskSample

# Background and object.
_CLASSES = 2
# Padding of the 3x3 convs.
_PAD = 1
# Phrases that run at once with running statistics; more are slower, because their maps leave the CPU's cache.
_TOGETHER = 5


@MODELS.register_module()
class LAVTHead(BaseModule):
    """Top-down decoder: each step resizes, appends the next finer level, and applies two 3x3 convs with norm and ReLU.

    Resizing is bilinear with aligned corners, as in the authors' code.

    Reads ``gt_map``, (H, W) of the size of the image without padding: nonzero pixels are the described object.

    Writes, in pixels of the original image, ``pred_map`` (H, W) float32 in [0, 1] and ``pred_mask`` (H, W) bool;
    ``pred_input_mask``, (h, w) bool in pixels of the network's input without padding, for the measure of LAVT; and
    ``pred_score``, a scalar: the mean of the map over the mask, or the largest value of the map if the mask is empty.

    Args:
        in_channels, in_strides: channels and strides of at least two levels, shallow first; filled in from the
            preceding part.
        variant: ``default``: half as many channels as the deepest level; ``tiny``: 16 channels.
        width: channels of the decoder; by default those of the variant.
        loss: config of the loss; by default ``dict(type="PhraseMaskLoss")``.
        mask_threshold: least probability of a pixel of the mask. 0.5 is the larger of both logits, as in LAVT.
        init_cfg: initialisation config of mmengine.

    Raises:
        ConfigError: fewer than two levels, or a number out of its range.
        UnknownName: an unknown variant.

    Example:
        >>> head = LAVTHead([8, 16], [8, 16], variant="tiny")
        >>> head([torch.zeros(2, 8, 4, 6), torch.zeros(2, 16, 2, 3)]).shape
        torch.Size([2, 2, 32, 48])
    """

    LEAST_LEVELS = 2

    VARIANTS: dict[str, dict[str, Any]] = {"default": {"width": None}, "tiny": {"width": 16}}
    GRAPH_OUTPUTS = ("map",)

    def __init__(
        self,
        in_channels: Sequence[Count],
        in_strides: Sequence[Count],
        variant: str = "default",
        *,
        width: Count | None = None,
        loss: Mapping | None = None,
        mask_threshold: Share = 0.5,
        init_cfg: Any = None,
    ):
        super().__init__(init_cfg)
        require_strides(in_channels, in_strides, "LAVTHead")
        if len(in_channels) < 2:
            raise ConfigError(
                "LAVTHead",
                expected="at least two levels",
                found=f"{len(in_channels)}",
                advice="add levels to out_indices of the backbone",
            )
        width = variant_options(self.VARIANTS, variant, {"width": width}, "LAVTHead")["width"] or in_channels[-1] // 2
        widths = [in_channels[-1], *[width] * (len(in_channels) - 2)]
        finer = reversed(in_channels[:-1])
        self.decoder = nn.ModuleList(_step(before + level, width) for before, level in zip(widths, finer, strict=True))
        self.to_logits = nn.Conv2d(width, _CLASSES, 1)
        self.mask_loss = MODELS.build({"type": "PhraseMaskLoss", **(loss or {})})
        self.stride, self.mask_threshold = in_strides[0], mask_threshold

    def forward(self, feats: Sequence[Tensor], batch: Batch = NO_BATCH) -> Tensor:
        """Return logits of background and object, (B, 2, H, W), at the size of the padded images."""
        size = len(feats[-1]) if self._reads_batch_statistics else _TOGETHER
        logits = torch.cat([self._logits(some) for some in zip(*(level.split(size) for level in feats))])
        return resized(logits, input_size(batch.samples, logits.shape[2:], self.stride))

    def graph_outputs(self, feats: Sequence[Tensor], batch: Batch, sizes: Tensor) -> dict[str, Tensor]:
        """Return the outputs of an exported graph: ``map``, (B, 1, H, W), the probability of the object."""
        return {"map": object_map(self(feats, batch))}

    @property
    def _reads_batch_statistics(self) -> bool:
        """True if a batch norm is in training mode: its output then depends on all phrases of the batch."""
        return any(module.training for module in self.modules() if isinstance(module, _BatchNorm))

    def _logits(self, feats: Sequence[Tensor]) -> Tensor:
        x = feats[-1]
        for step, level in zip(self.decoder, reversed(feats[:-1]), strict=True):
            x = step[1:](_conv_of_both(step[0], resized(x, level.shape[2:]), level))  # type: ignore[index]
        return self.to_logits(x)

    def loss(self, feats: Sequence[Tensor], batch: Batch) -> dict[str, Tensor]:
        """Return ``loss_mask``, a scalar.

        Raises:
            DataError: a sample has no ``gt_map``, or one of another size than its image.
        """
        logits = self(feats, batch)
        require_single_images(len(logits), batch.samples)
        return self.losses_of(logits, true_masks(batch.samples, logits.shape[2:])[:, None].to(logits.device))

    def losses_of(self, logits: Tensor, masks: Tensor) -> dict[str, Tensor]:
        """Return the losses of logits (B, 2, H, W); ``masks`` are (B, 1, H, W), nonzero for the object."""
        return {"loss_mask": self.mask_loss(logits, masks[:, 0] != 0)}

    @torch.no_grad()
    def predict(self, feats: Sequence[Tensor], batch: Batch) -> Sequence[TaskSample]:
        """Return the samples with the fields that the docstring of the class lists."""
        maps = object_map(self(feats, batch))
        require_single_images(len(maps), batch.samples)
        for found, sample in zip(maps, batch.samples, strict=True):
            write_map(sample, found[0], self.mask_threshold)
        return batch.samples


def object_map(logits: Tensor) -> Tensor:
    """Return the probability of the object, (B, 1, H, W), from its logit or from logits of background and object.

    Raises:
        ConfigError: logits of more than two channels.

    Example:
        >>> object_map(torch.zeros(1, 2, 4, 4)).unique().item(), object_map(torch.zeros(1, 1, 4, 4)).unique().item()
        (0.5, 0.5)
    """
    logits = logits.float()
    if logits.shape[1] > 2:
        raise ConfigError(
            "referring head",
            expected="one logit of the object, or two of background and object",
            found=f"{logits.shape[1]} channels",
            advice="use a head with one map, such as LAVTHead",
        )
    return logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(1)[:, 1:2]


def resized(x: Tensor, size: Sequence[int]) -> Tensor:
    """Resize (B, C, H, W) bilinearly with aligned corners."""
    return (
        x if tuple(x.shape[2:]) == tuple(size) else F.interpolate(x, tuple(size), mode="bilinear", align_corners=True)
    )


def _conv_of_both(conv: nn.Module, x: Tensor, level: Tensor) -> Tensor:
    """Apply a conv to the channels of ``x`` and ``level``. A level that all phrases share is computed once."""
    if len(level) == 1 or level.stride(0):
        return conv(torch.cat([x, level], 1))
    own, shared = conv.weight.split([x.shape[1], level.shape[1]], 1)  # type: ignore[operator]
    return F.conv2d(x, own, padding=_PAD) + F.conv2d(level[:1], shared, padding=_PAD)


def _step(in_channels: int, width: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (in_channels, width):
        layers += [nn.Conv2d(channels, width, 3, padding=_PAD, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers)
