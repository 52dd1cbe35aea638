"""DiNAT: four stages of neighborhood attention, alternately without and with dilation.

Hassani and Shi, "Dilated Neighborhood Attention Transformer", arXiv:2209.15001. Without dilation it is NAT (Hassani et
al., "Neighborhood Attention Transformer", CVPR 2023, arXiv:2204.07143). With the layout of Swin it is DiNAT_s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from visionzoo.allowed import Count, Few, IndexOrNone, Indices, Part, Weight
from visionzoo.backbones.dinat.blocks import (
    ConvDownsampler,
    ConvTokenizer,
    Layer,
    NeighborhoodAttention,
)
from visionzoo.backbones.dinat.convert import convert
from visionzoo.backbones.dinat.variants import CONV, PATCH, VARIANTS, Design, Dilations, dilations_of
from visionzoo.errors import ConfigError
from visionzoo.layers.swin_patches import PatchEmbedding, PatchMerging
from visionzoo.layers.variants import variant_options
from visionzoo.registry import MODELS

_STAGES = 4


@MODELS.register_module()
class DiNAT(BaseModule):
    """Compute up to four normalised feature maps of an image, with C, 2C, 4C and 8C channels.

    Args:
        variant: ``dinat_mini``, ``_tiny``, ``_small``, ``_base``, ``_large``, ``_large_k11``; ``nat_mini`` to
            ``nat_base``; ``dinat_s_tiny`` to ``dinat_s_large``; ``tiny`` and ``tiny_s`` for tests. The following
            arguments replace its settings.
        depths, embed_dim, num_heads, mlp_ratio, kernel_size, layer_scale, tokenizer: see
            :class:`visionzoo.backbones.dinat.variants.Design`.
        dilations: ``imagenet``, ``imagenet_384``, ``coco``, ``ade20k``, ``ade20k_640``, ``mask2former_coco``, one list
            per stage, or 1 for no dilation. Weights do not depend on it.
        drop_path_rate: probability of dropping the last layer. That of other layers is proportional to their index.
        small_maps: ``pad`` pads maps that are smaller than a window, as the authors do; ``error`` raises an error.
        implementation: implementation of the attention; see :func:`visionzoo.ops.neighborhood_attention.na2d`.
        with_cp: recompute layers in the backward pass instead of storing their results.
        out_indices: stages to return, counted from 0, shallow first. A classifier needs (3,).
        frozen_stages: freeze the tokenizer and this number of stages with their downsamplers; 0 freezes only the
            tokenizer, -1 nothing. The norms of the returned maps are always trained.
        init_cfg: mmengine's, e.g. ``dict(type="Pretrained", checkpoint=...)``.

    Attributes:
        out_channels: C of each returned map.
        out_strides: pixels per cell of each returned map; 4, 8, 16 and 32 for all stages.

    Raises:
        ConfigError: a setting out of its range, or, in ``forward``, a map smaller than a window with
            ``small_maps="error"``.
        UnknownName: an unknown variant or set of dilations.

    Example:
        >>> backbone = DiNAT("tiny", out_indices=(0, 3))
        >>> [tuple(feat.shape) for feat in backbone.eval()(torch.zeros(1, 3, 32, 32))]
        [(1, 16, 8, 8), (1, 128, 1, 1)]
    """

    VARIANTS = VARIANTS
    FIXED_GRAPH_SIZE = "the windows of its neighborhood attention depend on the size of the image"

    convert = staticmethod(convert)

    def __init__(
        self,
        variant: str = "dinat_mini",
        *,
        depths: Sequence[Few] | None = None,
        embed_dim: Count | None = None,
        num_heads: Sequence[Few] | None = None,
        mlp_ratio: float | None = None,
        kernel_size: Few | None = None,
        dilations: Dilations = None,
        layer_scale: Weight | None = None,
        tokenizer: str | None = None,
        drop_path_rate: Part | None = None,
        small_maps: str = "pad",
        implementation: str = "auto",
        with_cp: bool = False,
        out_indices: Indices = (0, 1, 2, 3),
        frozen_stages: IndexOrNone = -1,
        init_cfg: Any = None,
    ):
        super().__init__(init_cfg)
        arguments = dict(
            depths=None if depths is None else tuple(depths),
            embed_dim=embed_dim,
            num_heads=None if num_heads is None else tuple(num_heads),
            mlp_ratio=mlp_ratio,
            kernel_size=kernel_size,
            dilations=dilations,
            layer_scale=layer_scale,
            tokenizer=tokenizer,
            drop_path_rate=drop_path_rate,
        )
        self.variant = variant
        self.design = design = Design(**variant_options(self.VARIANTS, variant, arguments, "DiNAT"))
        _check(design, small_maps, out_indices, frozen_stages)
        self.dilations = dilations_of(design.dilations, design.depths, design.tokenizer)
        self.out_indices, self.frozen_stages, self.with_cp = tuple(out_indices), frozen_stages, with_cp

        self.patch_embed = (ConvTokenizer if design.tokenizer == CONV else PatchEmbedding)(design.embed_dim)
        self.levels = nn.ModuleList(
            _stage(
                design,
                stage,
                self.dilations[stage],
                is_last=stage == max(self.out_indices),
                pads=small_maps == "pad",
                implementation=implementation,
            )
            for stage in range(max(self.out_indices) + 1)
        )
        self.out_channels = tuple(design.embed_dim * 2**stage for stage in self.out_indices)
        self.out_strides = tuple(4 * 2**stage for stage in self.out_indices)
        for stage, channels in zip(self.out_indices, self.out_channels):
            self.add_module(f"norm{stage}", nn.LayerNorm(channels))
        self.reset_parameters()
        self._freeze()

    def computes_as(self, variant: str) -> bool:
        """Return True if weights of ``variant`` give the variant's results here: both dilate windows, or neither does.

        Example:
            >>> DiNAT("tiny").computes_as("nat_mini")
            False
        """
        own, other = self.dilations, Design(**self.VARIANTS[variant])
        theirs = dilations_of(other.dilations, other.depths, other.tokenizer)
        return max(map(max, own)) > 1 if max(map(max, theirs)) > 1 else max(map(max, own)) == 1

    def reset_parameters(self) -> None:
        """Initialise linear layers with a truncated normal distribution. Other layers keep their initial weights."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def train(self, mode: bool = True) -> DiNAT:
        """Set the mode. Frozen parts stay in evaluation mode."""
        super().train(mode)
        self._freeze()
        return self

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return one map (B, C, H / stride, W / stride) for each of ``out_indices``, sizes rounded up.

        Images are (B, 3, H, W), normalised by ImageNet's mean and standard deviation.
        """
        x = self.patch_embed(x)
        outs = {}
        for stage, level in enumerate(self.levels):
            x = self._run(level, x)
            if stage in self.out_indices:
                normed = getattr(self, f"norm{stage}")(x)
                outs[stage] = normed.permute(0, 3, 1, 2).contiguous()
            if level.downsample is not None:
                x = level.downsample(x)  # type: ignore[operator]
        return tuple(outs[stage] for stage in self.out_indices)

    def _run(self, level: nn.Module, x: Tensor) -> Tensor:
        for layer in level.blocks:  # type: ignore[union-attr]
            keeps = not (self.with_cp and torch.is_grad_enabled())
            x = layer(x) if keeps else checkpoint(layer, x, use_reentrant=False)
        return x

    def _freeze(self) -> None:
        frozen = [self.patch_embed] if self.frozen_stages >= 0 else []
        for module in [*frozen, *self.levels[: max(0, self.frozen_stages)]]:
            module.eval()
            module.requires_grad_(False)


class _Stage(nn.Module):
    """Layers of a stage, and the downsampler to the next stage, which is None after the last stage."""

    def __init__(self, blocks: list[Layer], downsample: nn.Module | None):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample


def _stage(
    design: Design, stage: int, dilations: Sequence[int], *, is_last: bool, pads: bool, implementation: str
) -> _Stage:
    dim, heads = design.embed_dim * 2**stage, design.heads[stage]
    blocks = []
    for index, dilation in enumerate(dilations, start=sum(design.depths[:stage])):
        attn = NeighborhoodAttention(dim, heads, design.kernel_size, dilation, pads=pads, implementation=implementation)
        drop_path = design.drop_path_rate * index / max(1, sum(design.depths) - 1)
        blocks.append(Layer(attn, dim, design.mlp_ratio, drop_path, design.layer_scale))
    shrink = ConvDownsampler if design.tokenizer == CONV else PatchMerging
    return _Stage(blocks, None if is_last else shrink(dim))


def _check(design: Design, small_maps: str, out_indices: Sequence[int], frozen_stages: int) -> None:
    dims = [design.embed_dim * 2**stage for stage in range(_STAGES)]
    are_heads = len(design.heads) == _STAGES and all(h > 0 and dim % h == 0 for dim, h in zip(dims, design.heads))
    are_stages = bool(out_indices) and list(out_indices) == sorted(set(out_indices) & set(range(_STAGES)))
    checks = (
        (
            f"depths of {_STAGES} stages, each at least 1",
            design.depths,
            len(design.depths) == _STAGES and min(design.depths) > 0,
        ),
        (f"num_heads that divide the channels {dims}", design.heads, are_heads),
        (
            "an odd kernel_size of at least 3, because its bias needs a centre",
            design.kernel_size,
            design.kernel_size % 2 == 1 and design.kernel_size > 1,
        ),
        ("tokenizer 'conv' or 'patch'", design.tokenizer, design.tokenizer in (CONV, PATCH)),
        ("drop_path_rate in [0, 1)", design.drop_path_rate, 0 <= design.drop_path_rate < 1),
        ("small_maps 'pad' or 'error'", small_maps, small_maps in ("pad", "error")),
        ("out_indices of stages 0 to 3, shallow first", tuple(out_indices), are_stages),
        ("frozen_stages from -1 to 4", frozen_stages, -1 <= frozen_stages <= _STAGES),
    )
    for expected, found, holds in checks:
        if not holds:
            raise ConfigError("DiNAT", expected=expected, found=repr(found), advice="correct it")
