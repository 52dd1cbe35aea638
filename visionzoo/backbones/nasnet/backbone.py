"""NASNet-A: two searched cells, stacked in three groups.

Zoph et al., "Learning Transferable Architectures for Scalable Image Recognition", CVPR 2018, arXiv:1707.07012.

Tensors: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from visionzoo.allowed import Count, Few, Fraction, IndexOrNone, Indices, Positive, Share, Steps
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
    """Compute feature maps of an image; by default at strides 4, 8, 16 and 32, with F, 6 F, 12 F and 24 F channels.

    Args:
        variant: ``large`` (6 @ 4032), ``mobile`` (4 @ 1056), ``cifar`` (6 @ 768, for images of 32 pixels; its maps
            have strides 1, 2 and 4) or ``tiny``. The following arguments replace its settings.
        num_cells: number of normal cells, 3 N. A reduction cell precedes the second and the last third.
        filters: F of the cells in the first third (168, 44, 32). For the ImageNet stem it must be divisible by 4. The
            last map has 24 F channels.
        stem_filters: channels of the first convolution.
        stem: ``imagenet``, a convolution of stride 2 and two reduction cells; or ``cifar``, a convolution of stride 1.
        skip_reduction_layer_input: second input of the first cell after a reduction cell. True (``large``): the older
            input state of the reduction cell. False: the state right before the reduction.
        drop_path_keep_prob: probability of keeping a branch of the last cell at the end of training. The drop
            probability grows in proportion to the cell's index and to the training progress. No branch is dropped
            before :meth:`set_training_progress` is called; ``TrainingProgressHook`` calls it.
        drop_path_steps: training steps until the final probability is reached; None for all steps. (The authors use
            all steps, 250,000 for ImageNet and 937,500 for CIFAR.)
        norm_eps, norm_momentum: settings of all norms.
        out_indices: maps to return, shallow first. ImageNet stem: 0 to 4 for strides 2 to 32, default (1, 2, 3, 4).
            CIFAR stem: 0 to 2 for strides 1 to 4, default all.
        raw: return the outputs of cells before their ReLU. The map of the first convolution is always returned
            without ReLU.
        proposal_features: return the map from which the authors' detector computes proposals: the last two states
            before the last reduction cell, concatenated and without ReLU. It has stride 16 (``large``: 4032 channels).
            Later cells are not built; :class:`NASNetRoITail` contains them.
        frozen_stages: number of levels whose cells are frozen, in addition to the first convolution; 0 freezes only
            the convolution, -1 nothing. Frozen parts are not trained, and their norms are not updated.
        norm_eval: keep all norms in evaluation mode while training.
        with_cp: recompute cells in the backward pass instead of storing their results.
        init_cfg: mmengine's, e.g. ``dict(type="Pretrained", checkpoint=...)``.

    Attributes:
        out_channels: C of each returned map.
        out_strides: pixels per cell of each returned map. With the ImageNet stem, the size at stride 2 is
            ``(H - 3) // 2 + 1``. Each further reduction halves it, rounded up. If 32 divides H, the sizes at strides 4
            to 32 are H / stride.

    Raises:
        ConfigError: impossible numbers of cells or filters, an impossible probability, or unavailable maps.
        UnknownName: an unknown variant or stem.

    Example:
        >>> backbone = NASNet("tiny", out_indices=(1, 4))
        >>> [tuple(feat.shape) for feat in backbone.eval()(torch.zeros(1, 3, 32, 32))]
        [(1, 8, 8, 8), (1, 192, 1, 1)]
    """

    VARIANTS = VARIANTS

    convert = staticmethod(convert)

    def __init__(
        self,
        variant: str = "large",
        *,
        num_cells: Few | None = None,
        filters: Count | None = None,
        stem_filters: Count | None = None,
        stem: str | None = None,
        skip_reduction_layer_input: bool | None = None,
        drop_path_keep_prob: Fraction | None = None,
        drop_path_steps: Steps | None = None,
        norm_eps: Positive | None = None,
        norm_momentum: Share | None = None,
        out_indices: Indices | None = None,
        raw: bool = False,
        proposal_features: bool = False,
        frozen_stages: IndexOrNone = -1,
        norm_eval: bool = False,
        with_cp: bool = False,
        init_cfg: Any = None,
    ):
        arguments = dict(
            num_cells=num_cells,
            filters=filters,
            stem_filters=stem_filters,
            stem=stem,
            skip_reduction_layer_input=skip_reduction_layer_input,
            drop_path_keep_prob=drop_path_keep_prob,
            norm_eps=norm_eps,
            norm_momentum=norm_momentum,
        )
        design = chosen_design(variant, arguments)
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
        """Set the mode. Frozen parts, and with ``norm_eval`` all norms, stay in evaluation mode."""
        super().train(mode)
        if mode:
            self._freeze()
        return self

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return one map (B, C, h, w) for each of ``out_indices``. Images are (B, 3, H, W) with values from -1 to 1."""
        first = self.conv0(x)
        raw = self._tapped if self.raw or self.proposal_features else ()
        run = self.run_cells([first], count=self._count, raw=raw)
        tapped = [output for planned, output in run if planned.name in self._tapped]
        if self.proposal_features:
            return (torch.cat(tapped, 1),)
        return (first, *tapped) if self._returns_stem else tuple(tapped)

    @property
    def _first_stage(self) -> int:
        """Value of ``frozen_stages`` that freezes level 0: 1 if cells start at level 0, else 0."""
        return 1 - self.plan[0].level

    def _name_outputs(self) -> None:
        """Choose the cells whose outputs are returned, and set channels and strides."""
        last = {planned.level: planned for planned in self.plan}  # the last cell of each level
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
            advice="use 1 for the first convolution and the cells of the first level",
        )
    return frozen_stages
