"""NASNet-A: two cells that a search found, stacked in three groups.

Zoph et al., "Learning Transferable Architectures for Scalable Image Recognition", CVPR 2018, arXiv:1707.07012.

Tensors: B batch, C channels, H and W in pixels of the level they belong to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from visionzoo.backbones.nasnet.cells import ConvNorm, NormSettings
from visionzoo.backbones.nasnet.convert import convert
from visionzoo.backbones.nasnet.design import (
    VARIANTS,
    Design,
    PlannedCell,
    chosen_design,
    planned_cells,
    split_at_last_reduction,
)
from visionzoo.backbones.nasnet.init_and_penalty import init_tensorflow
from visionzoo.backbones.nasnet.network import CellNetwork
from visionzoo.errors import ConfigError
from visionzoo.layers.levels import checked_indices
from visionzoo.registry import MODELS


@MODELS.register_module()
class NASNet(CellNetwork):
    """Image to the feature maps at strides 4, 8, 16 and 32, of F, 6 F, 12 F and 24 F channels.

    Args:
        variant: ``large`` (6 @ 4032), ``mobile`` (4 @ 1056), ``cifar`` (6 @ 768, for images of 32 pixels: the maps
            have strides 1, 2 and 4) or ``tiny``. What follows replaces parts of it.
        num_cells: normal cells, 3 N; the two reduction cells come before the second and the last third.
        filters: F of the first third's cells (168, 44, 32), divisible by 4; the last map has 24 F channels.
        stem_filters: channels of the first convolution.
        stem: ``imagenet``, a convolution of stride 2 and two reduction cells; or ``cifar``, a convolution of stride 1.
        skip_reduction_layer_input: the first cell behind a reduction reads, besides the reduction, the state that the
            reduction cell read as its second (``large``), not the one right before it.
        drop_path_keep_prob: probability of keeping a branch of the last cell at the end of training; smaller for
            earlier cells and at earlier steps in proportion. Nothing is dropped until :meth:`set_training_progress` is
            called, which ``TrainingProgressHook`` does.
        drop_path_steps: training steps until that probability is reached; None: all (the authors' 250,000 for
            ImageNet and 937,500 for CIFAR are that).
        norm_eps, norm_momentum: of all norms.
        out_indices: maps to return, shallow first: for the ImageNet stem 0 to 4 for strides 2 to 32, default
            (1, 2, 3, 4); for CIFAR's 0 to 2 for strides 1 to 4, default all.
        raw: return cells' outputs as they are, not after the ReLU that everything behind them begins with. The map of
            stride 2, which no cell made, is always returned as it is.
        proposal_features: what the authors' detector computes proposals on, the last two states before the last
            reduction cell side by side, raw: one map of stride 16 (``large``: 4032 channels). Later cells are not
            built; :class:`NASNetRoITail` has them.
        frozen_stages: the first convolution and the cells of this many levels are neither trained nor their norms
            updated: -1 for none, 0 for the convolution alone.
        norm_eval: keep all norms in evaluation mode while training.
        with_cp: recompute cells in the backward pass instead of keeping what they computed.
        init_cfg: mmengine's, e.g. ``dict(type="Pretrained", checkpoint=...)``.

    Attributes:
        out_channels: C of every returned map.
        out_strides: pixels per cell of every returned map. Sizes are ``(H - 3) // 2 + 1`` at stride 2, then halves,
            rounded up; H / stride where 32 divides H.

    Raises:
        ConfigError: numbers that no network can be built from, or maps that there are not.
        UnknownName: an unknown variant or stem.
    """

    VARIANTS = VARIANTS

    convert = staticmethod(convert)

    def __init__(
        self,
        variant: str = "large",
        *,
        num_cells: int | None = None,
        filters: int | None = None,
        stem_filters: int | None = None,
        stem: str | None = None,
        skip_reduction_layer_input: bool | None = None,
        drop_path_keep_prob: float | None = None,
        drop_path_steps: int | None = None,
        norm_eps: float | None = None,
        norm_momentum: float | None = None,
        out_indices: Sequence[int] | None = None,
        raw: bool = False,
        proposal_features: bool = False,
        frozen_stages: int = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: Any = None,
    ):
        given = dict(
            num_cells=num_cells,
            filters=filters,
            stem_filters=stem_filters,
            stem=stem,
            skip_reduction_layer_input=skip_reduction_layer_input,
            drop_path_keep_prob=drop_path_keep_prob,
            norm_eps=norm_eps,
            norm_momentum=norm_momentum,
        )
        design = chosen_design(variant, given)
        plan = planned_cells(design)
        if proposal_features:
            plan, _ = split_at_last_reduction(plan)
        super().__init__(
            design, plan, drop_path_steps=drop_path_steps, norm_eval=norm_eval, with_cp=with_cp, init_cfg=init_cfg
        )
        self.conv0 = _first_conv(design)
        self.raw, self.proposal_features = raw, proposal_features
        self.out_indices = _checked_levels(self.plan, out_indices, proposal_features)
        self.frozen_stages = _checked_freezing(self.plan, frozen_stages, self._first_stage)
        self._name_outputs()
        init_tensorflow(self)
        self._freeze()

    def train(self, mode: bool = True) -> NASNet:
        """Training mode for all but what is frozen."""
        super().train(mode)
        if mode:
            self._freeze()
        return self

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W), values from -1 to 1, to (B, C, H / stride, W / stride) per level."""
        first = self.conv0(x)
        raw = self._tapped if self.raw or self.proposal_features else ()
        run = self.run_cells([first], count=self._count, raw=raw)
        tapped = [output for planned, output in run if planned.name in self._tapped]
        if self.proposal_features:
            return (torch.cat(tapped, 1),)
        return (first, *tapped) if self._returns_stem else tuple(tapped)

    @property
    def _first_stage(self) -> int:
        """Cells of level 0 are frozen with ``frozen_stages=1`` where there are such, of level 1 where there are not."""
        return 1 - self.plan[0].level

    def _name_outputs(self) -> None:
        """Which cells make what is returned, and its channels and strides."""
        last = {planned.level: planned for planned in self.plan}  # of each level the last one
        stem_stride = 2 if self.design.stem == "imagenet" else 1
        self._returns_stem = 0 in self.out_indices and 0 not in last
        if self.proposal_features:
            tapped = list(self.plan[-2:])
            self.out_channels = (sum(planned.out_channels for planned in tapped),)
        else:
            tapped = [last[level] for level in self.out_indices if level in last]
            stem = (self.design.stem_filters,) if self._returns_stem else ()
            self.out_channels = (*stem, *(planned.out_channels for planned in tapped))
        self.out_strides = tuple(stem_stride * 2**level for level in self.out_indices)
        self._tapped = {planned.name for planned in tapped}
        self._count = 1 + max((self.plan.index(planned) for planned in tapped), default=-1)

    def _freeze(self) -> None:
        frozen = [self.conv0] if self.frozen_stages >= 0 else []
        frozen += [
            getattr(self, planned.name)
            for planned in self.plan
            if planned.level + self._first_stage <= self.frozen_stages
        ]
        for module in frozen:
            module.eval()
            module.requires_grad_(False)


def _first_conv(design: Design) -> ConvNorm:
    norm = NormSettings(design.norm_eps, design.norm_momentum)
    stride, padding = (2, 0) if design.stem == "imagenet" else (1, 1)
    return ConvNorm(3, design.stem_filters, norm, 3, stride=stride, padding=padding)


def _checked_levels(
    plan: Sequence[PlannedCell], out_indices: Sequence[int] | None, proposal_features: bool
) -> tuple[int, ...]:
    if proposal_features:
        if out_indices is not None:
            raise ConfigError(
                "NASNet.out_indices",
                expected="none together with proposal_features",
                found=f"{list(out_indices)}",
                advice="leave one of the two out",
            )
        return (plan[-1].level,)
    last = plan[-1].level
    usual = range(plan[0].level, last + 1)
    return checked_indices(
        usual if out_indices is None else out_indices,
        last + 1,
        "NASNet",
        what="levels",
        advice=f"leave it out for {list(usual)}",
    )


def _checked_freezing(plan: Sequence[PlannedCell], frozen_stages: int, first_stage: int) -> int:
    most = plan[-1].level + first_stage
    if frozen_stages not in range(-1, most + 1):
        raise ConfigError(
            "NASNet.frozen_stages",
            expected=f"-1 (none) to {most} (all)",
            found=f"{frozen_stages}",
            advice="1 freezes the first convolution and the cells of the first level",
        )
    return frozen_stages
