"""Fusion of a phrase with the feature maps of any backbone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.model import BaseModule
from torch import Tensor, nn

from visionzoo.allowed import Count, Few, Part
from visionzoo.errors import require_known
from visionzoo.layers.language import BERT_CHANNELS, PWAM, LanguageGate, text_of
from visionzoo.layers.levels import require_levels, require_strides
from visionzoo.registry import MODELS
from visionzoo.structures.batch import NO_BATCH, Batch, TextStates


@MODELS.register_module()
class LanguageFusion(BaseModule):
    """Fuse each level of a backbone with the words of a phrase by PWAM.

    PWAM and gate are those of LAVT (Yang et al., CVPR 2022, arXiv:2112.02244, section 3.2 and 3.3), where they are in
    the backbone. Placing them after a backbone is our choice: the backbone then runs once for all phrases of an image.
    Like in LAVT, a level becomes the layer norm of the fused features ``r``. With ``gate``, it becomes the layer norm
    of ``x + gate(r) * r`` and keeps its visual features.

    The neck reads ``batch.text``, one phrase per image. One image and several phrases give one result per phrase.

    Args:
        in_channels, in_strides: channels and strides of the levels; filled in from the backbone.
        variant: ``default``, or ``tiny`` with the same settings; the size follows from the levels.
        text_channels: channels of the words; filled in from the text encoder.
        heads: heads of the attention to words, a divisor of each level's channels.
        dropout: probability of dropout in PWAM.
        gate: add the fused features to the level, with weights that a gate computes.
        init_cfg: initialisation config of mmengine.

    Attributes:
        out_channels, out_strides: those of the input.

    Raises:
        ConfigError: ``heads`` does not divide the channels, or unequal numbers of channels and strides.
        UnknownName: an unknown variant.
        DataError: in ``forward``, the batch has no phrases, another number of phrases than images, or a level has one
            position.

    Example:
        >>> import torch
        >>> neck = LanguageFusion([8, 16], [4, 8], text_channels=5)
        >>> text = TextStates(torch.zeros(3, 4, 5), torch.ones(3, 4, dtype=torch.bool))
        >>> [tuple(feat.shape) for feat in neck((torch.zeros(1, 8, 4, 6), torch.zeros(1, 16, 2, 3)), Batch(text=text))]
        [(3, 8, 4, 6), (3, 16, 2, 3)]
    """

    AXES = (1, 2, 3)  # numbers of spatial axes

    VARIANTS: dict[str, dict[str, Any]] = {"default": {}, "tiny": {}}

    def __init__(
        self,
        in_channels: Sequence[Count],
        in_strides: Sequence[Count],
        variant: str = "default",
        *,
        text_channels: Count = BERT_CHANNELS,
        heads: Few = 1,
        dropout: Part = 0.0,
        gate: bool = False,
        init_cfg: Any = None,
    ):
        super().__init__(init_cfg)
        require_strides(in_channels, in_strides, "LanguageFusion")
        require_known(variant, self.VARIANTS, "LanguageFusion variant")
        self.fusions = nn.ModuleList(PWAM(dim, text_channels, heads=heads, dropout=dropout) for dim in in_channels)
        self.gates = nn.ModuleList(LanguageGate(dim) for dim in in_channels) if gate else None
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for dim in in_channels)
        self.out_channels, self.out_strides = tuple(in_channels), tuple(in_strides)

    def forward(self, feats: Sequence[Tensor], batch: Batch = NO_BATCH) -> tuple[Tensor, ...]:
        """Map levels (B, C, H, W), or (1, C, H, W) for several phrases, to levels of one map per phrase."""
        require_levels(feats, self.out_channels, "LanguageFusion")
        text = text_of(batch, "LanguageFusion")
        return tuple(self._fused(level, x, text) for level, x in enumerate(feats))

    def _fused(self, level: int, x: Tensor, text: TextStates) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        fused = self.fusions[level](tokens, text)
        if self.gates is not None:
            fused = tokens + self.gates[level](fused) * fused
        return self.norms[level](fused).transpose(1, 2).unflatten(2, x.shape[2:]).contiguous()
