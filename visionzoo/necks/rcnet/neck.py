"""RCNet: reverse feature pyramid and cross-scale shift network, a replacement for an FPN.

Zong et al., "RCNet: Reverse Feature Pyramid and Cross-scale Shift Network for Object Detection", ACM MM 2021,
https://arxiv.org/abs/2110.12130. Outputs equal those of the released code, https://github.com/TempleX98/RCNet.

Tensors: B batch, C channels, H and W size of a level in cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from visionzoo.allowed import Count, Index, Range
from visionzoo.errors import ConfigError, require_known
from visionzoo.layers.levels import require_levels, strides_of_levels
from visionzoo.necks.rcnet.blocks import is_recorded, pointwise, size_of, xavier
from visionzoo.necks.rcnet.convert import convert_detector
from visionzoo.necks.rcnet.csn import CSN
from visionzoo.necks.rcnet.revfp import DCN_V2, RevFP
from visionzoo.registry import MODELS

# With fewer than 3 levels, no level has two neighbours. With more than 6, the coarsest map of a common image has only a
# few cells.
LEVELS = range(3, 7)


@MODELS.register_module()
class RCNet(BaseModule):
    """Fuse the feature maps of a backbone into ``num_outs`` maps of equal channels.

    Each level has half the size of the previous level, rounded up or down (25 to 13 or 12). Outputs equal those of the
    authors' code if all sizes are rounded up.

    Args:
        in_channels: channels of every map of the backbone, fine to coarse.
        out_channels: channels C of every output; with ``csn``, a multiple of 16. Default: that of the variant.
        num_outs: number of levels to return, 3 to 6. If fewer inputs are used, additional levels are computed by
            downsampling, starting at the coarsest used input.
        start_level: index of the first input to use.
        end_level: index after the last input to use; no levels are added then. -1 uses all inputs from ``start_level``
            and allows additional levels.
        add_extra_convs: accepted because the authors' configs contain it; it has no effect, as in their code.
        norm_cfg: config of the norm in all convolution blocks, e.g. ``dict(type="BN")``; None for no norm.
        out_conv_cfg: convolution after every fusion: ``dict(type="DCNv2", deform_groups=G)``, or ``None`` for a plain
            convolution.
        variant: ``base`` (the paper's 256 channels) or ``tiny`` (32).
        rev_fp: use the reverse feature pyramid.
        csn: use the cross-scale shift network.
        in_strides: pixels per cell of every input; 4, 8, 16, ... by default.
        init_cfg: initialisation config of mmengine, e.g. ``dict(type="Pretrained", checkpoint=...)``.

    Attributes:
        out_channels: C for each output.
        out_strides: pixels per cell of every output. Each additional level has twice the previous stride.

    Raises:
        ConfigError: incompatible numbers of levels, an unknown ``out_conv_cfg``, or, with ``csn``, C that is not a
            multiple of 16.
        UnknownName: an unknown variant.

    Example:
        >>> import torch
        >>> neck = RCNet([8, 16], variant="tiny", num_outs=3)
        >>> [tuple(x.shape) for x in neck([torch.zeros(1, 8, 8, 8), torch.zeros(1, 16, 4, 4)])]
        [(1, 32, 8, 8), (1, 32, 4, 4), (1, 32, 2, 2)]
    """

    VARIANTS: dict[str, dict[str, Any]] = {"base": {"out_channels": 256}, "tiny": {"out_channels": 32}}

    convert = staticmethod(convert_detector)

    def __init__(
        self,
        in_channels: Sequence[Count],
        out_channels: Count | None = None,
        num_outs: Annotated[int, Range(whole=True, least=LEVELS[0], most=LEVELS[-1])] = 5,
        start_level: Index = 0,
        end_level: int = -1,
        add_extra_convs: bool | str = False,
        norm_cfg: Mapping | None = None,
        out_conv_cfg: Mapping | None = DCN_V2,
        *,
        variant: str = "base",
        rev_fp: bool = True,
        csn: bool = True,
        in_strides: Sequence[Count] | None = None,
        init_cfg: Any = None,
    ):
        super().__init__(init_cfg)
        require_known(variant, self.VARIANTS, "RCNet variant")
        channels = self.VARIANTS[variant]["out_channels"] if out_channels is None else out_channels
        self.in_channels = tuple(in_channels)
        self.used = _used_levels(len(self.in_channels), num_outs, start_level, end_level)
        self.out_channels = (channels,) * num_outs
        strides = strides_of_levels(in_strides, len(self.in_channels), "RCNet")
        self.out_strides = _out_strides(strides[self.used], num_outs)
        used_channels = self.in_channels[self.used]
        self.lateral_convs = nn.ModuleList(pointwise(width, channels, norm_cfg) for width in used_channels)
        self.extra_downsamples = nn.ModuleList(
            nn.Sequential(pointwise(channels, channels, norm_cfg), nn.MaxPool2d(2))
            for _ in range(num_outs - len(used_channels))
        )
        if rev_fp:
            self.RevFP = RevFP(channels, num_outs, norm_cfg=norm_cfg, out_conv_cfg=out_conv_cfg)
        if csn:
            self.CSN = CSN(channels, num_outs, norm_cfg=norm_cfg)

    def init_weights(self) -> None:
        """Apply Xavier initialisation to the lateral convolutions, the additional levels and CSN; RevFP is unchanged.

        Detectors call this method after construction. It draws new weights from the constructor's distribution.
        """
        if not self.is_init:
            for part in (self.lateral_convs, self.extra_downsamples, getattr(self, "CSN", None)):
                if part is not None:
                    xavier(part)
        super().init_weights()

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Map one (B, in_channels[i], H_i, W_i) per input to ``num_outs`` maps (B, C, H, W). Inputs are not changed."""
        feats = self.levels(inputs)
        if hasattr(self, "RevFP"):
            feats = self.RevFP(feats)
        if hasattr(self, "CSN"):
            feats = self.CSN(feats)
        return tuple(feats)

    def levels(self, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        """Return the maps that RevFP fuses (C3 to C7 in the paper): projected inputs and the additional levels."""
        require_levels(inputs, self.in_channels, "RCNet")
        feats = [lateral(x) for lateral, x in zip(self.lateral_convs, inputs[self.used])]
        for downsample in self.extra_downsamples:
            feats.append(downsample(_even(feats[-1])))
        return feats


def _even(x: Tensor) -> Tensor:
    """Pad odd sides to even size by repeating the last row or column.

    Padding precedes the norm, so the statistics of the norm include the padding.
    """
    height, width = size_of(x)
    if is_recorded():
        for dim, side in ((2, height), (3, width)):
            x = x.index_select(dim, torch.arange(side + side % 2, device=x.device).clamp(max=side - 1))
        return x
    return F.pad(x, (0, width % 2, 0, height % 2), "replicate") if height % 2 or width % 2 else x


def _used_levels(num_ins: int, num_outs: int, start_level: int, end_level: int) -> slice:
    """Return the slice of used inputs.

    Raises:
        ConfigError: the arguments violate an assertion of the authors' code, or ``num_outs`` is out of range.
    """
    end = num_ins if end_level == -1 else end_level
    if not 0 <= start_level < end <= num_ins:
        raise ConfigError(
            "RCNet",
            expected=f"0 <= start_level < end_level <= {num_ins} inputs",
            found=f"start_level={start_level} and end_level={end_level}",
            advice="choose levels that the backbone returns",
        )
    used = end - start_level
    if used > num_outs or (end_level != -1 and used != num_outs):
        raise ConfigError(
            "RCNet.num_outs",
            expected=f"{used}{' or more' if end_level == -1 else ''} for inputs {start_level} to {end - 1}",
            found=f"{num_outs}",
            advice="change num_outs, start_level or end_level",
        )
    return slice(start_level, end)


def _out_strides(used: tuple[int, ...], num_outs: int) -> tuple[int, ...]:
    return used + tuple(used[-1] * 2 ** (i + 1) for i in range(num_outs - len(used)))
