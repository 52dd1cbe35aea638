"""BossNet: four stages of residual convolution and residual attention blocks, in any order (paper, section 4).

Li et al., "BossNAS: Exploring Hybrid CNN-transformers with Block-wisely Self-supervised Neural Architecture Search",
ICCV 2021, arXiv:2103.12424.

Tensors: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from visionzoo.allowed import Count, Few, IndexOrNone, Indices, Part
from visionzoo.backbones.bossnet.blocks import ACTIVATIONS, EXPANSION, ResAtt, ResConv, conv_norm_act
from visionzoo.backbones.bossnet.convert import convert, has_squeeze_excite
from visionzoo.errors import ConfigError, require_known
from visionzoo.layers.levels import checked_indices
from visionzoo.layers.variants import variant_options
from visionzoo.registry import MODELS

Encoding = Sequence[Sequence[int]]

# The searched network: 1 is a ResConv block, 0 a ResAtt block.
SEARCHED = ((1,), (1,), (1, 1, 1, 0, 1), (0, 0, 0, 1, 0, 0, 0, 0, 0))

# The drop probability is ``drop_path_rate`` times index / 15, for any number of blocks.
_BLOCKS = 16


@dataclass(frozen=True)
class _Design:
    """Settings that differ between the variants; see :class:`BossNet`."""

    encoding: Encoding = SEARCHED
    act: str = "relu"
    se: bool = False
    avg_down: bool = True
    last_stride: int = 2
    width: int = 64
    head_dim: int = 64


@MODELS.register_module()
class BossNet(BaseModule):
    """Compute up to four feature maps of an image. By default they have 256, 512, 1024 and 2048 channels.

    Args:
        variant: ``T0`` (the searched network), ``T0_nose`` (T0 with ReLU and without squeeze and excitation), ``T1``
            (T0 with ``last_stride=1``, so that the last map has stride 16) or ``tiny``. The following arguments replace
            its settings.
        encoding: four lists, one per stage, with one number per block: 1 for ResConv, 0 for ResAtt. An empty list
            makes the stage a single convolution of stride 2.
        act: ``relu`` or ``silu``.
        se: add squeeze and excitation to each ResConv.
        avg_down: use average pooling in the shortcuts of blocks that downsample.
        last_stride: stride of the fourth stage, 1 or 2.
        output_stride: largest stride: 8, 16 or 32. Later stages do not downsample, and their ResConv blocks are dilated
            instead. Stages without blocks always have stride 2.
        width: channels of the stem and inside the ResConv bottlenecks of stage 1. The width doubles in each stage. The
            number of attention heads is 1, 2, 4 and 8.
        head_dim: channels of an attention head.
        transposed_attention: use the attention of the authors' search code; see :class:`Attention`.
        drop_path_rate: probability of dropping the block with index 15 (counted from 0). The
            probability of other blocks is proportional to their index. Only ResConv blocks are dropped.
        zero_init_last_bn: set the last norm's weight to 0 in each block, so that it initially returns its shortcut.
        out_indices: stages to return, counted from 0, shallow first.
        frozen_stages: freeze the stem and this number of stages; 0 freezes only the stem, -1 nothing. Frozen parts are
            not trained, and their norms are not updated.
        norm_eval: keep all norms in evaluation mode while training.
        init_cfg: mmengine's, e.g. ``dict(type="Pretrained", checkpoint=...)``.

    Attributes:
        out_channels: C of each returned map.
        out_strides: pixels per cell of each returned map; by default 4, 8, 16 and 32 (16 for T1).

    Raises:
        ConfigError: an encoding that is not four lists of 0 and 1, or an impossible stride, width, probability or
            stage.
        UnknownName: an unknown variant or activation.

    Example:
        >>> import torch
        >>> backbone = BossNet("tiny", out_indices=(0, 3))
        >>> [tuple(feat.shape) for feat in backbone.eval()(torch.zeros(1, 3, 32, 32))]
        [(1, 32, 8, 8), (1, 256, 1, 1)]
    """

    VARIANTS: dict[str, dict[str, Any]] = {
        "T0": {"act": "silu", "se": True},
        "T0_nose": {},
        "T1": {"act": "silu", "se": True, "last_stride": 1},
        "tiny": {"act": "silu", "se": True, "encoding": ((1,), (0,), (1,), (0,)), "width": 8, "head_dim": 8},
    }

    convert = staticmethod(convert)

    def __init__(
        self,
        variant: str = "T0",
        *,
        encoding: Any = None,  # Encoding | None; check_encoding names the wrong stage
        act: str | None = None,
        se: bool | None = None,
        avg_down: bool | None = None,
        last_stride: Few | None = None,
        output_stride: Count = 32,
        width: Count | None = None,
        head_dim: Count | None = None,
        transposed_attention: bool = False,
        drop_path_rate: Part = 0.0,
        zero_init_last_bn: bool = True,
        out_indices: Indices = (0, 1, 2, 3),
        frozen_stages: IndexOrNone = -1,
        norm_eval: bool = False,
        init_cfg: Any = None,
    ):
        super().__init__(init_cfg)
        arguments = dict(
            encoding=encoding,
            act=act,
            se=se,
            avg_down=avg_down,
            last_stride=last_stride,
            width=width,
            head_dim=head_dim,
        )
        self.variant = variant
        self.design = design = _Design(**variant_options(self.VARIANTS, variant, arguments, "BossNet"))
        self.zero_init_last_bn, self.norm_eval = zero_init_last_bn, norm_eval
        _check_design(design, output_stride, drop_path_rate)
        self.out_indices, self.frozen_stages = _checked_stages(out_indices, frozen_stages)

        self.conv1 = nn.Conv2d(3, design.width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(design.width)
        self.act = ACTIVATIONS[design.act](inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        strides = []
        for stage, (blocks, stride) in enumerate(
            _stages(design, output_stride, drop_path_rate, transposed_attention), start=1
        ):
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
            strides.append(stride)
        self.out_channels = tuple(EXPANSION * design.width * 2**i for i in self.out_indices)
        self.out_strides = tuple(strides[i] for i in self.out_indices)
        self.reset_parameters()
        self._freeze()

    def computes_as(self, variant: str) -> bool:
        """Return True if weights of ``variant`` give the variant's results here: equal activation and last stride.

        Example:
            >>> BossNet("tiny").computes_as("T1")
            False
        """
        other = _Design(**self.VARIANTS[variant])
        return (self.design.act, self.design.last_stride) == (other.act, other.last_stride)

    def reset_parameters(self) -> None:
        """Initialise convolutions with Kaiming normal, and the norms; see ``zero_init_last_bn``."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.ones_(module.weight)
                nn.init.zeros_(module.bias)
        for module in self.modules():
            if self.zero_init_last_bn and isinstance(module, (ResConv, ResAtt)):
                nn.init.zeros_(module.last_norm.weight)

    def train(self, mode: bool = True) -> BossNet:
        """Set the mode. Frozen parts, and with ``norm_eval`` all norms, stay in evaluation mode."""
        super().train(mode)
        if mode:
            self._freeze()
            for module in self.modules() if self.norm_eval else ():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return one map (B, C, H / stride, W / stride) for each of ``out_indices``, sizes rounded up.

        Images are (B, 3, H, W), normalised by ImageNet's mean and standard deviation.
        """
        x = self.stem(x)
        feats = []
        for i in range(max(self.out_indices) + 1):
            x = getattr(self, f"layer{i + 1}")(x)
            feats.append(x)
        return tuple(feats[i] for i in self.out_indices)

    def stem(self, x: Tensor) -> Tensor:
        """Run the stem: (B, 3, H, W) to (B, width, H / 4, W / 4)."""
        return self.maxpool(self.act(self.bn1(self.conv1(x))))

    def _freeze(self) -> None:
        frozen = [self.conv1, self.bn1] if self.frozen_stages >= 0 else []
        frozen += [getattr(self, f"layer{stage}") for stage in range(1, self.frozen_stages + 1)]
        for module in frozen:
            module.eval()
            module.requires_grad_(False)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        """Add an error if the weights have squeeze and excitation and the network has not, or the reverse.

        Only weights with ResConv blocks are checked. Without the error, ``strict=False`` would load them partly.
        """
        own = {name: value for name, value in state_dict.items() if name.startswith(prefix)}
        has_conv_blocks = any(name.endswith("conv3.weight") for name in own)
        if has_conv_blocks and has_squeeze_excite(own) != self.design.se:
            *_, errors = args
            errors.append(
                f"BossNet: expected weights of a network with{'' if self.design.se else 'out'} squeeze and excitation "
                f"(act={self.design.act!r}), found weights with{'out' if self.design.se else ''} it; choose "
                f"{'T0_nose' if self.design.se else 'T0 or T1'}, or other weights"
            )
        super()._load_from_state_dict(state_dict, prefix, *args)


# --------------------------------------------------------------------------- stages


def _stages(
    design: _Design, output_stride: int, drop_path_rate: float, transposed: bool
) -> Iterator[tuple[list[nn.Module], int]]:
    """Yield the blocks and the resulting stride of each stage.

    Dilation depends on the stage strides of a network without empty stages. An empty stage always has stride 2, also
    beyond ``output_stride``.
    """
    in_channels, index = design.width, 0
    planned = real = 4
    dilation = previous = 1
    for stage, kinds in enumerate(design.encoding):
        stride = (1, 2, 2, design.last_stride)[stage]
        if planned >= output_stride:
            dilation, stride = dilation * stride, 1
        planned *= stride
        planes = design.width * 2**stage
        blocks: list[nn.Module] = []
        for kind in kinds:
            rate = drop_path_rate * index / (_BLOCKS - 1)
            first = stride if not blocks else 1
            blocks.append(_block(kind, in_channels, planes, first, stage, design, rate, previous, transposed))
            in_channels, index, previous = EXPANSION * planes, index + 1, dilation
        if not blocks:
            stride = 2
            blocks.append(conv_norm_act(in_channels, EXPANSION * planes, 3, stride, design.act))
            in_channels = EXPANSION * planes
        real *= stride
        yield blocks, real


def _block(
    kind: int,
    in_channels: int,
    planes: int,
    stride: int,
    stage: int,
    design: _Design,
    drop_path: float,
    dilation: int,
    transposed: bool,
) -> nn.Module:
    act, avg_down = design.act, design.avg_down
    if kind == 1:
        return ResConv(
            in_channels,
            planes,
            stride,
            act=act,
            avg_down=avg_down,
            se=design.se,
            drop_path=drop_path,
            first_dilation=dilation,
        )
    return ResAtt(
        in_channels,
        planes,
        stride,
        heads=2**stage,
        head_dim=design.head_dim,
        act=act,
        avg_down=avg_down,
        transposed=transposed,
    )


# --------------------------------------------------------------------------- checks


def _check_design(design: _Design, output_stride: int, drop_path_rate: float) -> None:
    check_encoding(design.encoding)
    require_known(design.act, ACTIVATIONS, "BossNet activation")
    if design.last_stride not in (1, 2):
        raise ConfigError(
            "BossNet.last_stride", expected="1 or 2", found=f"{design.last_stride}", advice="use 2 (T0) or 1 (T1)"
        )
    if output_stride not in (8, 16, 32):
        raise ConfigError(
            "BossNet.output_stride", expected="8, 16 or 32", found=f"{output_stride}", advice="use 32, the default"
        )
    for name, value in (("width", design.width), ("head_dim", design.head_dim)):
        if not isinstance(value, int) or value < 1:
            raise ConfigError(
                f"BossNet.{name}", expected="a number of channels above 0", found=f"{value!r}", advice="use 64"
            )
    highest = drop_path_rate * max(0, sum(map(len, design.encoding)) - 1) / (_BLOCKS - 1)
    if drop_path_rate < 0 or highest >= 1:
        raise ConfigError(
            "BossNet.drop_path_rate",
            expected="probabilities of at least 0 and below 1 for all blocks",
            found=f"{drop_path_rate}, and {highest:.3g} for the last block",
            advice="use 0.1",
        )


def check_encoding(encoding: Any) -> None:
    """Require four lists of 0 and 1.

    Raises:
        ConfigError: ``encoding`` is anything else.
    """
    is_list = isinstance(encoding, Sequence) and not isinstance(encoding, str)
    if not is_list or len(encoding) != 4:
        found = f"{len(encoding)} entries: {encoding!r}" if is_list else repr(encoding)
        raise ConfigError(
            "BossNet.encoding",
            expected="four lists, one per stage",
            found=f"{found}",
            advice="use an empty list for a stage without blocks",
        )
    for stage, kinds in enumerate(encoding, start=1):
        bad = (
            [kind for kind in kinds if isinstance(kind, bool) or kind not in (0, 1)]
            if isinstance(kinds, Sequence) and not isinstance(kinds, str)
            else [kinds]
        )
        if bad:
            raise ConfigError(
                "BossNet.encoding",
                expected=f"a list of 0 (ResAtt) and 1 (ResConv) for stage {stage}",
                found=f"{bad[0]!r}",
                advice="write one number per block",
            )


def _checked_stages(out_indices: Sequence[int], frozen_stages: int) -> tuple[tuple[int, ...], int]:
    indices = checked_indices(out_indices, 4, "BossNet")
    if frozen_stages not in range(-1, 5):
        raise ConfigError(
            "BossNet.frozen_stages",
            expected="-1 (none) to 4 (all)",
            found=f"{frozen_stages}",
            advice="use 1 for the stem and stage 1",
        )
    return indices, frozen_stages
