"""NASNet in the authors' Faster R-CNN: the cells that run on each proposal.

That detector (tensorflow/models, faster_rcnn_nas) has no feature pyramid. The last reduction cell and the cells after
it run on each proposal's crop of the map that the earlier cells compute.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from visionzoo.allowed import Count, Few, Fraction, Positive, Share, Steps
from visionzoo.backbones.nasnet.design import chosen_design, planned_cells, split_at_last_reduction
from visionzoo.backbones.nasnet.init_and_penalty import init_tensorflow
from visionzoo.backbones.nasnet.network import CellNetwork
from visionzoo.errors import InputError
from visionzoo.registry import MODELS


@MODELS.register_module()
class NASNetRoITail(CellNetwork):
    """Last reduction cell and the cells after it, for mmdet's ``roi_head.shared_head``.

    The input is crops of the map of a :class:`NASNet` with ``proposal_features``: two concatenated states.

    Args:
        variant, num_cells, filters, stem_filters, stem, skip_reduction_layer_input, drop_path_keep_prob,
            drop_path_steps, norm_eps, norm_momentum: as for the :class:`NASNet` before it. A model's config fills
            missing arguments with those of its backbone.
        norm_eval, with_cp, init_cfg: as for :class:`NASNet`.

    Attributes:
        in_channels: C of the crops, 24 F (2 x 12 F; with one cell per group 20 F).
        out_channels: C of the result, 24 F.

    Raises:
        ConfigError, UnknownName: as for :class:`NASNet`.
        InputError: in ``forward``, crops without ``in_channels`` channels.

    Example:
        >>> import torch
        >>> tail = NASNetRoITail("tiny")
        >>> tail.eval()(torch.zeros(2, tail.in_channels, 5, 5)).shape
        torch.Size([2, 192, 3, 3])
    """

    PART_OF = "a two-stage detector's roi_head"

    # Arguments that a config takes from the backbone.
    AS_BACKBONE = (
        "variant",
        "num_cells",
        "filters",
        "stem_filters",
        "stem",
        "skip_reduction_layer_input",
        "drop_path_keep_prob",
        "drop_path_steps",
        "norm_eps",
        "norm_momentum",
    )

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
        norm_eval: bool = True,
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
        before, plan = split_at_last_reduction(planned_cells(design))
        super().__init__(
            design, plan, drop_path_steps=drop_path_steps, norm_eval=norm_eval, with_cp=with_cp, init_cfg=init_cfg
        )
        self.state_channels = tuple(planned.out_channels for planned in before[-2:])
        self.in_channels, self.out_channels = sum(self.state_channels), plan[-1].out_channels
        init_tensorflow(self)

    def forward(self, x: Tensor) -> Tensor:
        """Compute (R, 24 F, S / 2, S / 2), rounded up and after ReLU, from crops (R, in_channels, S, S).

        Raises:
            InputError: crops without ``in_channels`` channels.
        """
        if x.shape[1] != self.in_channels:
            raise InputError(
                "NASNetRoITail",
                expected=f"crops of {self.in_channels} channels",
                found=f"{x.shape[1]}",
                advice="give it the map of a NASNet of the same variant with proposal_features=True",
            )
        *_, (_, last) = self.run_cells(x.split(self.state_channels, 1), raw=())
        return last
