"""LAVT: a Swin trunk in which a phrase enters after every stage.

Yang et al., "LAVT: Language-Aware Vision Transformer for Referring Image Segmentation", CVPR 2022, arXiv:2112.02244.
The trunk is Swin (Liu et al., ICCV 2021, arXiv:2103.14030).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from visionzoo.allowed import Count, Few, Index, Indices, Part
from visionzoo.backbones.lavt.blocks import SwinBlock, WindowAttention
from visionzoo.errors import ConfigError
from visionzoo.layers.language import BERT_CHANNELS, PWAM, LanguageGate, text_of
from visionzoo.layers.levels import checked_indices
from visionzoo.layers.swin_patches import PatchEmbedding, PatchMerging
from visionzoo.layers.variants import variant_options
from visionzoo.registry import MODELS
from visionzoo.structures.batch import NO_BATCH, Batch, TextStates

_STAGES = 4
_MLP_RATIO = 4.0
_NARROWEST = 96  # channels of stage 1 of Swin-T
_TOGETHER = 2  # phrases of one image that run at once; more are slower, because their features leave the CPU's cache


@MODELS.register_module()
class LAVTSwin(BaseModule):
    """Compute up to four language-aware feature maps of images, with C, 2C, 4C and 8C channels.

    After the blocks of a stage, PWAM computes features ``r`` of the words that match each position. The map of the
    stage is the layer norm of ``r``. The next stage receives ``x + gate(r) * r`` (LAVT, section 3.3). A stage without
    language returns the layer norm of ``x``.

    The trunk reads ``batch.text``, one phrase per image. One image and several phrases give one result per phrase, and
    everything before the first fusion runs once. In eval mode, the rest runs for two phrases at a time.

    The gate of the last stage influences no output. It is built, because released weights contain it and the published
    numbers of parameters count it, but it never runs and is not trained.

    Args:
        variant: ``swin_tiny``, ``swin_small`` (window 7), ``swin_base`` or ``swin_large`` (window 12), the sizes of
            the paper; ``tiny`` for tests, with embed 24 and one block per stage. The following arguments replace its
            settings.
        embed_dim, depths, num_heads: channels of stage 1; blocks and heads of each of the four stages.
        window_size: side of a window in tokens, >= 2; 7 or 12 in released weights.
        drop_path_rate: probability of dropping the last block. That of other blocks is proportional to their index.
        text_channels: channels of the words; filled in from the text encoder.
        fusion_stages: stages, counted from 0, at which the phrase enters; all in LAVT. ``(2, 3)`` shares the first two
            stages between the phrases of an image. ``()`` is a Swin without language.
        fusion_heads: heads of the attention to words at each stage, 1 in LAVT.
        fusion_drop: probability of dropout in PWAM.
        out_indices: stages to return, counted from 0, shallow first.
        with_cp: recompute blocks in the backward pass instead of storing their results.
        init_cfg: mmengine's, e.g. ``dict(type="Pretrained", checkpoint=...)`` with an official Swin file, whose names
            are equal. Fusion, gates and norms of the maps are not in it and keep their initial values.

    Attributes:
        out_channels: channels of each returned map.
        out_strides: pixels per cell of each returned map; 4, 8, 16 and 32 for all stages.

    Raises:
        ConfigError: a setting out of its range.
        UnknownName: an unknown variant.
        DataError: in ``forward``, the batch has no phrases, another number of phrases than images, or images below
            64x32 pixels.

    Example:
        >>> backbone = LAVTSwin("tiny", text_channels=8, out_indices=(0, 3))
        >>> text = TextStates(torch.zeros(2, 5, 8), torch.ones(2, 5, dtype=torch.bool))
        >>> [tuple(feat.shape) for feat in backbone.eval()(torch.zeros(2, 3, 64, 32), Batch(text=text))]
        [(2, 24, 16, 8), (2, 192, 2, 1)]
    """

    VARIANTS: dict[str, dict[str, Any]] = {
        "swin_tiny": {"embed_dim": 96, "depths": (2, 2, 6, 2), "num_heads": (3, 6, 12, 24), "window_size": 7},
        "swin_small": {"embed_dim": 96, "depths": (2, 2, 18, 2), "num_heads": (3, 6, 12, 24), "window_size": 7},
        "swin_base": {"embed_dim": 128, "depths": (2, 2, 18, 2), "num_heads": (4, 8, 16, 32), "window_size": 12},
        "swin_large": {"embed_dim": 192, "depths": (2, 2, 18, 2), "num_heads": (6, 12, 24, 48), "window_size": 12},
        "tiny": {"embed_dim": 24, "depths": (1, 1, 1, 1), "num_heads": (1, 2, 4, 8), "window_size": 7},
    }

    def __init__(
        self,
        variant: str = "swin_base",
        *,
        embed_dim: Count | None = None,
        depths: Sequence[Few] | None = None,
        num_heads: Sequence[Few] | None = None,
        window_size: Few | None = None,
        drop_path_rate: Part = 0.3,
        text_channels: Count = BERT_CHANNELS,
        fusion_stages: Sequence[Index] = (0, 1, 2, 3),
        fusion_heads: Sequence[Few] = (1, 1, 1, 1),
        fusion_drop: Part = 0.0,
        out_indices: Indices = (0, 1, 2, 3),
        with_cp: bool = False,
        init_cfg: Any = None,
    ):
        super().__init__(init_cfg)
        given = dict(embed_dim=embed_dim, depths=depths, num_heads=num_heads, window_size=window_size)
        sizes = variant_options(self.VARIANTS, variant, given, "LAVTSwin")
        self.out_indices = checked_indices(out_indices, _STAGES, "LAVTSwin")
        self.fusion_stages, self.with_cp = tuple(fusion_stages), with_cp
        _check(**sizes, fusion_stages=self.fusion_stages, fusion_heads=fusion_heads)
        depths, dims = sizes["depths"], [sizes["embed_dim"] * 2**stage for stage in range(_STAGES)]
        rates = np.linspace(0, drop_path_rate, sum(depths)).tolist()

        self.patch_embed = PatchEmbedding(dims[0])
        self.layers = nn.ModuleList()
        for stage in range(max(self.out_indices) + 1):
            first = sum(depths[:stage])
            layer = _Stage(
                dims[stage],
                sizes["num_heads"][stage],
                sizes["window_size"],
                rates[first : first + depths[stage]],
                has_next=stage < max(self.out_indices),
            )
            if stage in self.fusion_stages:
                options = dict(heads=fusion_heads[stage], dropout=fusion_drop)
                layer.add_language(PWAM(dims[stage], text_channels, **options))  # type: ignore[arg-type]
            self.layers.append(layer)
        for stage in self.out_indices:
            self.add_module(f"norm{stage}", nn.LayerNorm(dims[stage]))
        self.out_channels = tuple(dims[stage] for stage in self.out_indices)
        self.out_strides = tuple(4 * 2**stage for stage in self.out_indices)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Initialise the linear layers of Swin and of the gates with a truncated normal distribution.

        Its deviation is 0.02, as in Swin. In trunks narrower than Swin's sizes it is the inverse root of the number of
        inputs: with 0.02, their attention and gates start near zero and learn words of place and size late. PWAM keeps
        the initial values of torch, as in LAVT.
        """
        fused = {id(linear) for module in self.modules() if isinstance(module, PWAM) for linear in module.modules()}
        is_narrow = self.patch_embed.proj.out_channels < _NARROWEST
        for module in self.modules():
            if isinstance(module, nn.Linear) and id(module) not in fused:
                std = module.in_features**-0.5 if is_narrow else 0.02
                nn.init.trunc_normal_(module.weight, std=std)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor, batch: Batch = NO_BATCH) -> tuple[Tensor, ...]:
        """Return one map (B, C, H / stride, W / stride) for each of ``out_indices``, sizes rounded up.

        Args:
            x: images (B, 3, H, W), normalised by ImageNet's mean and standard deviation; B is the number of phrases,
                or 1.
            batch: ``batch.text`` are the phrases.
        """
        text = text_of(batch, "LAVTSwin") if self.fusion_stages else None
        x = self.patch_embed(x)
        first = min([*self.fusion_stages, len(self.layers)])
        x, shared = self._stages(x, None, range(first))
        if text is None:
            return tuple(shared)
        count = len(text.states)
        shared = [out.expand(count, -1, -1, -1) for out in shared]
        if first >= len(self.layers):
            return tuple(shared)
        x = self._blocks_of(self.layers[first], x)
        size = count if self.training or len(x) > 1 else _TOGETHER
        parts = [self._fused(x, some, first) for some in text.split(size)]
        return (*shared, *map(torch.cat, zip(*parts, strict=True)))

    def _fused(self, x: Tensor, text: TextStates, first: int) -> list[Tensor]:
        """Return the maps from stage ``first`` on, whose blocks have computed ``x``."""
        x, outs = self._end_of_stage(x, text, first)
        return outs + self._stages(x, text, range(first + 1, len(self.layers)))[1]

    def _stages(self, x: Tensor, text: TextStates | None, stages: Iterable[int]) -> tuple[Tensor, list[Tensor]]:
        maps: list[Tensor] = []
        for stage in stages:
            x, outs = self._end_of_stage(self._blocks_of(self.layers[stage], x), text, stage)
            maps += outs
        return x, maps

    def _end_of_stage(self, x: Tensor, text: TextStates | None, stage: int) -> tuple[Tensor, list[Tensor]]:
        """Return the input of the next stage, and the map of this one if it is returned."""
        layer = self.layers[stage]
        x, out = layer(x, text)
        outs = []
        if stage in self.out_indices:
            outs.append(getattr(self, f"norm{stage}")(out).permute(0, 3, 1, 2).contiguous())
        return (x if layer.downsample is None else layer.downsample(x)), outs  # type: ignore[operator]

    def _blocks_of(self, layer: nn.Module, x: Tensor) -> Tensor:
        for block in layer.blocks:  # type: ignore[union-attr]
            keeps = not (self.with_cp and torch.is_grad_enabled())
            x = block(x) if keeps else checkpoint(block, x, use_reentrant=False)
        return x


class _Stage(nn.Module):
    """Blocks of a stage, fusion with the phrase, and merging of patches; the last two can be None."""

    def __init__(self, dim: int, heads: int, window: int, drop_paths: Sequence[float], *, has_next: bool):
        super().__init__()
        self.blocks = nn.ModuleList(
            SwinBlock(WindowAttention(dim, heads, window, window // 2 * (index % 2)), dim, _MLP_RATIO, drop_path)
            for index, drop_path in enumerate(drop_paths)
        )
        self.fusion: PWAM | None = None
        self.gate: LanguageGate | None = None
        self.downsample = PatchMerging(dim) if has_next else None

    def add_language(self, fusion: PWAM) -> None:
        """Add the fusion, and its gate, which is frozen if no stage follows."""
        self.fusion, self.gate = fusion, LanguageGate(fusion.joint.out_features)
        self.gate.requires_grad_(self.downsample is not None)

    def forward(self, x: Tensor, text: TextStates | None) -> tuple[Tensor, Tensor]:
        """Fuse the output of the blocks (B, H, W, C) with the phrase.

        Returns:
            The input of the next stage and the features for the map of this stage, (B, H, W, C) each.
        """
        if self.fusion is None or self.gate is None or text is None:
            return x, x
        tokens = x.flatten(1, 2)
        fused = self.fusion(tokens, text)
        if self.downsample is not None:
            tokens = tokens + self.gate(fused) * fused
        return tuple(each.unflatten(1, x.shape[1:3]) for each in (tokens, fused))  # type: ignore[return-value]


def _check(
    embed_dim: int,
    depths: Sequence[int],
    num_heads: Sequence[int],
    window_size: int,
    fusion_stages: Sequence[int],
    fusion_heads: Sequence[int],
) -> None:
    dims = [embed_dim * 2**stage for stage in range(_STAGES)]
    divide = all(dim % heads == 0 for dim, heads in zip(dims, num_heads))
    stages = sorted({*fusion_stages} & {*range(_STAGES)})
    checks = (
        ("depths of 4 stages", depths, len(depths) == _STAGES),
        (f"num_heads that divide the channels {dims}", num_heads, len(num_heads) == _STAGES and divide),
        ("a window_size of at least 2", window_size, window_size > 1),
        (
            "fusion_stages from 0 to 3, ascending",
            fusion_stages,
            list(fusion_stages) == sorted({*fusion_stages} & {*stages}),
        ),
        ("fusion_heads of 4 stages", fusion_heads, len(fusion_heads) == _STAGES),
    )
    for expected, found, holds in checks:
        if not holds:
            raise ConfigError("LAVTSwin", expected=expected, found=repr(found), advice="correct it")
