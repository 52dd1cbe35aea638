"""EfficientNet-Lite0: EfficientNet-B0 without squeeze and excitation, with ReLU6, for phones and CPUs.

Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019, arXiv:1905.11946; the
Lite variants are those of TensorFlow's model garden (tpu/models/official/efficientnet/lite). Parameters have the names
of timm's ``tf_efficientnet_lite0``. Convolutions pad as TensorFlow does ("SAME").

Tensors: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from visionzoo.allowed import IndexOrNone, Indices
from visionzoo.backbones.efficientnet_lite.convert import convert
from visionzoo.errors import ConfigError, require_known
from visionzoo.layers.levels import checked_indices
from visionzoo.layers.same_conv import same_conv
from visionzoo.registry import MODELS

_EPS = 1e-3  # of the norms, as in TensorFlow


class _Stage(NamedTuple):
    """Blocks of equal width: the first has the stride."""

    channels: int
    blocks: int
    kernel: int
    stride: int
    expansion: int


class _Design(NamedTuple):
    """Channels of the stem, the stages, and the channels of the last convolution."""

    stem: int
    stages: tuple[_Stage, ...]
    last: int


_LITE0 = _Design(
    32,
    (
        _Stage(16, 1, 3, 1, 1),
        _Stage(24, 2, 3, 2, 6),
        _Stage(40, 2, 5, 2, 6),
        _Stage(80, 3, 3, 2, 6),
        _Stage(112, 3, 5, 1, 6),
        _Stage(192, 4, 5, 2, 6),
        _Stage(320, 1, 3, 1, 6),
    ),
    1280,
)
_TINY = _Design(
    8,
    (
        _Stage(8, 1, 3, 1, 1),
        _Stage(16, 1, 3, 2, 2),
        _Stage(24, 1, 5, 2, 2),
        _Stage(32, 1, 3, 2, 2),
        _Stage(32, 1, 5, 1, 2),
        _Stage(48, 1, 5, 2, 2),
        _Stage(48, 1, 3, 1, 2),
    ),
    64,
)


class SeparableBlock(nn.Module):
    """A depthwise and a pointwise convolution: (B, C, H, W) to (B, C', H / stride, W / stride)."""

    def __init__(self, before: int, channels: int, kernel: int, stride: int):
        super().__init__()
        self.has_skip = stride == 1 and before == channels
        self.conv_dw = same_conv(before, before, kernel, stride=stride, depthwise=True)
        self.bn1 = nn.BatchNorm2d(before, _EPS)
        self.conv_pw = same_conv(before, channels, 1)
        self.bn2 = nn.BatchNorm2d(channels, _EPS)
        self.act = nn.ReLU6(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return the map; a block that changes neither size nor channels adds its input."""
        y = self.bn2(self.conv_pw(self.act(self.bn1(self.conv_dw(x)))))
        return x + y if self.has_skip else y


class InvertedResidual(nn.Module):
    """MobileNetV2's block: wide, depthwise, narrow again: (B, C, H, W) to (B, C', H / stride, W / stride)."""

    def __init__(self, before: int, channels: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        self.has_skip, wide = stride == 1 and before == channels, before * expansion
        self.conv_pw = same_conv(before, wide, 1)
        self.bn1 = nn.BatchNorm2d(wide, _EPS)
        self.conv_dw = same_conv(wide, wide, kernel, stride=stride, depthwise=True)
        self.bn2 = nn.BatchNorm2d(wide, _EPS)
        self.conv_pwl = same_conv(wide, channels, 1)
        self.bn3 = nn.BatchNorm2d(channels, _EPS)
        self.act = nn.ReLU6(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return the map; a block that changes neither size nor channels adds its input."""
        y = self.act(self.bn1(self.conv_pw(x)))
        y = self.act(self.bn2(self.conv_dw(y)))
        y = self.bn3(self.conv_pwl(y))
        return x + y if self.has_skip else y


@MODELS.register_module()
class EfficientNetLite(BaseModule):
    """Compute up to six feature maps of an image. By default four, of 24, 40, 112 and 320 channels.

    The first five maps have the strides 2, 4, 8, 16 and 32. The sixth is the last convolution before the classifier, of
    1280 channels and stride 32. Parts above the last returned map are not built.

    Args:
        variant: ``lite0``, or ``tiny`` for tests.
        out_indices: maps to return, from 0 to 5, shallow first.
        frozen_stages: freeze the stem and this number of the seven stages of blocks; 0 freezes only the stem, -1
            nothing. Frozen parts are not trained, and their norms are not updated.
        norm_eval: keep all norms in evaluation mode while training. Their statistics are then those of ImageNet, which
            small batches need not estimate.
        init_cfg: mmengine's, ``dict(type="Pretrained", checkpoint="released://efficientnet_lite0_imagenet")``.

    Attributes:
        out_channels: C of each returned map.
        out_strides: pixels per cell of each returned map.

    Raises:
        UnknownName: an unknown variant.
        ConfigError: an impossible map or number of stages.

    Example:
        >>> import torch
        >>> backbone = EfficientNetLite("tiny", out_indices=(1, 4))
        >>> [tuple(feat.shape) for feat in backbone.eval()(torch.zeros(1, 3, 64, 96))]
        [(1, 16, 16, 24), (1, 48, 2, 3)]
    """

    VARIANTS: dict[str, _Design] = {"lite0": _LITE0, "tiny": _TINY}

    convert = staticmethod(convert)

    # Stage of blocks after which each of the first five maps is taken.
    _ENDS = (0, 1, 2, 4, 6)
    _STRIDES = (2, 4, 8, 16, 32, 32)

    def __init__(
        self,
        variant: str = "lite0",
        *,
        out_indices: Indices = (1, 2, 3, 4),
        frozen_stages: IndexOrNone = -1,
        norm_eval: bool = False,
        init_cfg: Any = None,
    ):
        super().__init__(init_cfg)
        require_known(variant, self.VARIANTS, "EfficientNetLite variant")
        design = self.VARIANTS[variant]
        self.out_indices = checked_indices(out_indices, len(self._STRIDES), "EfficientNetLite", what="maps")
        self.frozen_stages, self.norm_eval = _checked_freezing(frozen_stages, len(design.stages)), norm_eval
        channels = [*(design.stages[end].channels for end in self._ENDS), design.last]
        self.out_channels = tuple(channels[index] for index in self.out_indices)
        self.out_strides = tuple(self._STRIDES[index] for index in self.out_indices)

        self.conv_stem = same_conv(3, design.stem, 3, stride=2)
        self.bn1 = nn.BatchNorm2d(design.stem, _EPS)
        self.act = nn.ReLU6(inplace=True)
        last = min(self.out_indices[-1], len(self._ENDS) - 1)
        self.blocks = nn.Sequential(*_stages(design, self._ENDS[last] + 1))
        if self.out_indices[-1] == len(self._ENDS):
            self.conv_head = same_conv(design.stages[-1].channels, design.last, 1)
            self.bn2 = nn.BatchNorm2d(design.last, _EPS)
        self.reset_parameters()
        self._freeze()

    def reset_parameters(self) -> None:
        """Initialise convolutions with normal noise by the fan-out of one group, as the authors do."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
                nn.init.normal_(module.weight, std=(2 / fan_out) ** 0.5)

    def train(self, mode: bool = True) -> EfficientNetLite:
        """Set the mode. Frozen parts, and with ``norm_eval`` all norms, stay in evaluation mode."""
        super().train(mode)
        if mode:
            self._freeze()
            for module in self.modules() if self.norm_eval else ():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return one map (B, C, H / stride, W / stride) for each of ``out_indices``, sizes rounded up.

        Args:
            image: (B, 3, H, W), RGB. The released weights expect ``(value - 127) / 128`` for values from 0 to 255.
        """
        x = self.act(self.bn1(self.conv_stem(image)))
        feats = []
        for number, stage in enumerate(self.blocks):
            x = stage(x)
            if number in self._ENDS:
                feats.append(x)
        if hasattr(self, "conv_head"):
            feats.append(self.act(self.bn2(self.conv_head(x))))
        return tuple(feats[index] for index in self.out_indices)

    def _freeze(self) -> None:
        frozen = [self.conv_stem, self.bn1] if self.frozen_stages >= 0 else []
        for module in [*frozen, *self.blocks[: max(0, self.frozen_stages)]]:
            module.eval()
            module.requires_grad_(False)


def _stages(design: _Design, count: int) -> Iterator[nn.Sequential]:
    """Yield the first ``count`` stages of blocks."""
    before = design.stem
    for stage in design.stages[:count]:
        blocks = nn.Sequential()
        for number in range(stage.blocks):
            stride = stage.stride if number == 0 else 1
            if stage.expansion == 1:
                blocks.append(SeparableBlock(before, stage.channels, stage.kernel, stride))
            else:
                blocks.append(InvertedResidual(before, stage.channels, stage.kernel, stride, stage.expansion))
            before = stage.channels
        yield blocks


def _checked_freezing(frozen_stages: int, stages: int) -> int:
    if frozen_stages not in range(-1, stages + 1):
        raise ConfigError(
            "EfficientNetLite.frozen_stages",
            expected=f"-1 (none) to {stages} (all)",
            found=f"{frozen_stages}",
            advice="use 3 for the stem and the stages up to stride 8",
        )
    return frozen_stages
