"""Any backbone of single images for pairs: one trunk with shared weights encodes both images of each pair.

The maps of the two images are concatenated level by level. Registration heads then read the trunks of every library.

Tensors: B pairs, N = B rows for one direction or 2 B for both, C channels, H height, W width.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from visionzoo.allowed import Count
from visionzoo.config.image_channels import image_channels
from visionzoo.config.parts import Part
from visionzoo.config.signatures import arguments_of
from visionzoo.errors import ConfigError, require_known
from visionzoo.layers.image_pairs import PairReader
from visionzoo.registry import MODELS
from visionzoo.structures.batch import NO_BATCH, Batch, TextStates


@MODELS.register_module()
class SiamesePair(PairReader):
    """Run a backbone of 2-D images on the fixed and on the moving image, and concatenate both maps of each level.

    Both images pass the backbone in one batch, with the same weights. Images of one channel are repeated to the
    channels that the backbone reads. The values are those of the data preprocessor. A backbone that reads phrases reads
    the phrase of the sample for both images.

    Args:
        variant: the backbone without ``backbone``: ``default``, ResNet-18 of timm without weights, or ``tiny``.
        backbone: config of the backbone, such as ``dict(type="timm.resnet10t", pretrained=True)``. Its own arguments
            choose levels, weights and frozen stages.
        in_channels: channels of both images together: 2, or twice the channels of the backbone.
        with_images: also return the pair of images as first map, of stride 1, as a head needs it for fields with the
            detail of the images.
        both_directions: also return each pair with the images in exchanged roles; see
            :class:`~visionzoo.layers.image_pairs.PairReader`. The backbone runs once for both directions.
        init_cfg: initialisation config of mmengine.

    Attributes:
        out_channels: channels of each map, shallow first: ``in_channels`` of the images, then twice those of the
            backbone. The fixed image has the first half of each map. Absent if the backbone does not declare its own.
        out_strides: pixels per cell of each map: 1 of the images, then those of the backbone. Absent as above.

    Raises:
        UnknownName: an unknown variant.
        ConfigError: the backbone reads pairs, or images of other channels.
        DataError: in ``forward``: the images are not 2-D, or have another number of channels.

    Example:
        >>> pairs = SiamesePair("tiny", with_images=False)
        >>> [tuple(feat.shape) for feat in pairs(torch.zeros(2, 2, 32, 64))]
        [(2, 64, 8, 16), (2, 96, 4, 8), (2, 384, 2, 4), (2, 192, 1, 2)]
        >>> SiamesePair("tiny").out_strides
        (1, 4, 8, 16, 32)
    """

    PARTS: dict[str, Part] = {"backbone": Part("backbone")}

    VARIANTS: dict[str, dict[str, Any]] = {
        "default": {"type": "timm.resnet18"},
        "tiny": {"type": "timm.test_resnet"},
    }

    def __init__(
        self,
        variant: str = "default",
        *,
        backbone: Mapping | None = None,
        in_channels: Count = 2,
        with_images: bool = True,
        both_directions: bool = False,
        init_cfg: Any = None,
    ):
        super().__init__(2, in_channels, both_directions, init_cfg=init_cfg)
        require_known(variant, self.VARIANTS, "SiamesePair variant")
        self.with_images = with_images
        cfg = dict(backbone or self.VARIANTS[variant])
        self.trunk: Any = MODELS.build(copy.deepcopy(cfg))
        self.trunk_channels = image_channels(type(self.trunk), cfg)
        self._require_single_images(cfg["type"])
        self._takes_batch = arguments_of(type(self.trunk).forward).know("batch")
        channels, strides = getattr(self.trunk, "out_channels", None), getattr(self.trunk, "out_strides", None)
        if isinstance(channels, tuple) and isinstance(strides, tuple):
            self.out_channels = (*[in_channels] * with_images, *(2 * each for each in channels))
            self.out_strides = (*[1] * with_images, *strides)

    def _require_single_images(self, name: str) -> None:
        if getattr(self.trunk, "READS_PAIRS", False):
            raise ConfigError(
                "SiamesePair.backbone",
                expected="a backbone of single images",
                found=f"{name}, which reads pairs",
                advice=f"use {name} itself as model.backbone",
            )
        read = self.trunk_channels
        if self.in_channels not in (2, 2 * read):
            raise ConfigError(
                "SiamesePair.in_channels",
                expected=f"2 for gray images, or {2 * read} because {name} reads images of {read} channels",
                found=f"{self.in_channels}",
                advice="correct it, or set the channels of the images that the backbone reads",
            )

    def forward(self, inputs: Tensor, batch: Batch = NO_BATCH) -> tuple[Tensor, ...]:
        """Return the maps of pairs, (N, C, H / stride, W / stride) each, shallow first.

        Args:
            inputs: pairs (B, in_channels, H, W), or single images (2 B, in_channels / 2, H, W) with samples.
            batch: batch of the inputs; its samples state the order of the two images.

        Raises:
            DataError: the images are not 2-D, or have another number of channels.
        """
        first, second = self.images(inputs, batch)
        both = torch.cat([first, second])
        gray = both.shape[1] == 1
        images = both.expand(-1, self.trunk_channels, -1, -1) if gray else both
        feats = [*[both] * self.with_images, *self._encoded(images, batch, len(inputs) // len(first))]
        return tuple(self.joined(*feat.chunk(2)) for feat in feats)

    def _encoded(self, images: Tensor, batch: Batch, per_pair: int) -> tuple[Tensor, ...]:
        """Return the maps of images (2 B, C, H, W); the batch has ``per_pair`` phrases for each pair."""
        if not self._takes_batch:
            feats = self.trunk(images)
        else:
            text = None if batch.text is None else _of_both(batch.text, per_pair)
            feats = self.trunk(images, Batch(images, text=text, unnormalised=batch.unnormalised))
        return (feats,) if isinstance(feats, Tensor) else tuple(feats)


def _of_both(text: TextStates, per_pair: int) -> TextStates:
    """Return the phrase of each pair for the fixed images of all pairs, then for the moving ones."""
    return TextStates(text.states[::per_pair].repeat(2, 1, 1), text.mask[::per_pair].repeat(2, 1))
