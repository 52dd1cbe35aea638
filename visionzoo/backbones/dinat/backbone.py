"""DiNAT: four stages of neighborhood attention, near and dilated in turn.

Hassani and Shi, "Dilated Neighborhood Attention Transformer", arXiv:2209.15001; without dilation it is NAT (Hassani et
al., "Neighborhood Attention Transformer", CVPR 2023, arXiv:2204.07143); in the shape of Swin it is DiNAT_s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from visionzoo.backbones.dinat.blocks import (
    ConvDownsampler,
    ConvTokenizer,
    Layer,
    NeighborhoodAttention,
    PatchMerging,
    PatchTokenizer,
)
from visionzoo.backbones.dinat.convert import convert
from visionzoo.backbones.dinat.variants import CONV, PATCH, VARIANTS, Design, Dilations, dilations_of
from visionzoo.errors import ConfigError
from visionzoo.layers.variants import variant_options
from visionzoo.registry import MODELS

_STAGES = 4


@MODELS.register_module()
class DiNAT(BaseModule):
    """Image to four feature maps of C, 2C, 4C and 8C channels, each normed.

    Args:
        variant: ``dinat_mini``, ``_tiny``, ``_small``, ``_base``, ``_large``, ``_large_k11``; ``nat_mini`` to
            ``nat_base``; ``dinat_s_tiny`` to ``dinat_s_large``; ``tiny`` and ``tiny_s`` for tests. What follows
            replaces parts of it.
        depths, embed_dim, num_heads, mlp_ratio, kernel_size, layer_scale, tokenizer: see
            :class:`visionzoo.backbones.dinat.variants.Design`.
        dilations: ``imagenet``, ``imagenet_384``, ``coco``, ``ade20k``, ``ade20k_640``, ``mask2former_coco``, a list
            for each stage, or 1 for none. Weights fit any.
        drop_path_rate: probability of dropping the last layer; earlier ones in proportion to their index.
        small_maps: ``pad`` maps that are smaller than a window, as the authors do; or ``error``.
        implementation: of the attention, see :func:`visionzoo.ops.neighborhood_attention.na2d`.
        with_cp: compute layers again in the backward pass instead of keeping what they made.
        out_indices: stages to return, from 0, shallow first. A classifier takes (3,).
        frozen_stages: the tokenizer and this many stages are not trained; -1 for none, 0 for the tokenizer alone.
        init_cfg: mmengine's, e.g. ``dict(type="Pretrained", checkpoint=...)``.

    Attributes:
        out_channels: C of every returned map.
        out_strides: 4, 8, 16 and 32.

    Raises:
        ConfigError: settings that contradict each other.
        UnknownName: an unknown variant or set of dilations.
    """

    VARIANTS = VARIANTS

    convert = staticmethod(convert)

    def __init__(
        self,
        variant: str = "dinat_mini",
        *,
        depths: Sequence[int] | None = None,
        embed_dim: int | None = None,
        num_heads: Sequence[int] | None = None,
        mlp_ratio: float | None = None,
        kernel_size: int | None = None,
        dilations: Dilations = None,
        layer_scale: float | None = None,
        tokenizer: str | None = None,
        drop_path_rate: float | None = None,
        small_maps: str = "pad",
        implementation: str = "auto",
        with_cp: bool = False,
        out_indices: Sequence[int] = (0, 1, 2, 3),
        frozen_stages: int = -1,
        init_cfg: Any = None,
    ):
        super().__init__(init_cfg)
        given = dict(
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
        self.design = design = Design(**variant_options(self.VARIANTS, variant, given, "DiNAT"))
        _check(design, small_maps, out_indices, frozen_stages)
        self.dilations = dilations_of(design.dilations, design.depths, design.tokenizer)
        self.out_indices, self.frozen_stages, self.with_cp = tuple(out_indices), frozen_stages, with_cp

        self.patch_embed = (ConvTokenizer if design.tokenizer == CONV else PatchTokenizer)(design.embed_dim)
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

    def reset_parameters(self) -> None:
        """Truncated normal for linear layers; norms, convolutions and biases of position start as they were made."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def train(self, mode: bool = True) -> DiNAT:
        """Training mode for all but what is frozen."""
        super().train(mode)
        self._freeze()
        return self

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W), normalised by ImageNet's mean and deviation, to (B, C, H / stride, W / stride) per stage.

        Sizes that do not divide are rounded up.
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
    """Layers, and what leads from them to the next stage; None after the last."""

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
    problems = {
        f"depths of {_STAGES} stages, each from 1 on": len(design.depths) == _STAGES and min(design.depths) > 0,
        f"num_heads that divide the channels {dims}": len(design.heads) == _STAGES
        and all(heads > 0 and dim % heads == 0 for dim, heads in zip(dims, design.heads)),
        "an odd kernel_size from 3 on, as its bias needs a middle": design.kernel_size % 2 == 1 < design.kernel_size,
        "tokenizer 'conv' or 'patch'": design.tokenizer in (CONV, PATCH),
        "drop_path_rate in [0, 1)": 0 <= design.drop_path_rate < 1,
        "small_maps 'pad' or 'error'": small_maps in ("pad", "error"),
        "out_indices of stages 0 to 3, shallow first": bool(out_indices)
        and list(out_indices) == sorted(set(out_indices) & set(range(_STAGES))),
        "frozen_stages from -1 to 4": -1 <= frozen_stages <= _STAGES,
    }
    wrong = [expected for expected, holds in problems.items() if not holds]
    if wrong:
        found = f"{design}, small_maps={small_maps!r}, out_indices={tuple(out_indices)}, frozen_stages={frozen_stages}"
        raise ConfigError("DiNAT", expected=f"{wrong[0]}", found=f"{found}", advice="correct it")
