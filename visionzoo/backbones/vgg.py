"""VGG (Simonyan and Zisserman, ICLR 2015, arXiv:1409.1556), with and without batch normalisation.

Layers are numbered as in torchvision, so its ImageNet weights load as they are.

Tensors: B batch, C channels, H and W in pixels of the level they belong to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.model import BaseModule
from torch import Tensor, nn

from visionzoo.converters import CONVERTERS, require_names, tensors_of
from visionzoo.errors import DataError, require_known
from visionzoo.layers.levels import checked_indices
from visionzoo.registry import MODELS

_WIDTHS = (64, 128, 256, 512, 512)
_DEPTHS = {"11": (1, 1, 2, 2, 2), "13": (2, 2, 2, 2, 2), "16": (2, 2, 3, 3, 3), "19": (2, 2, 4, 4, 4)}

_STRIDES, _LARGE_FIELD_STRIDES, _DILATED_STAGE = (1, 2, 4, 8, 16), (1, 2, 4, 8, 8), 4


@CONVERTERS.register("vgg", use="backbone")
def convert(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Weights of torchvision's VGG to those of :class:`VGG`: the classifier goes, names stay.

    Args:
        checkpoint: as loaded from ``vgg16_bn-6c64b313.pth`` and the like.

    Raises:
        CheckpointError: these are not torchvision's names.
    """
    state = tensors_of(checkpoint)
    require_names(
        state,
        known=re.compile(r"(features|classifier)\."),
        needed=["features.0.weight"],
        expected="torchvision's VGG (features.*, classifier.*)",
        advice="give one of its files",
    )
    return {name: value for name, value in state.items() if name.startswith("features.")}


@MODELS.register_module()
class VGG(BaseModule):
    """Image to up to five feature maps, each the last activation before a pooling.

    Args:
        variant: ``11``, ``13``, ``16`` or ``19`` layers, ``_bn`` for batch normalisation; ``tiny`` for tests.
        out_indices: stages to return, from 0, shallow first. The pooling behind the last one is left out.
        large_field: SCNN's VGG (Pan et al., AAAI 2018): no pooling before the last stage, whose convolutions have
            dilation 2 instead, so that it sees as far at twice the resolution. Indices of layers, and with them
            pretrained weights, stay as they are.
        frozen: no parameter learns, while batch normalisations go on averaging what they see in training, as
            GCoNet+ trains its encoder. (``freeze`` of a config stops both.)
        init_cfg: mmengine's, e.g. ``dict(type="Pretrained", checkpoint="torchvision://vgg16_bn")``.

    Attributes:
        out_channels: C of every returned map; 64, 128, 256, 512 and 512 for all but ``tiny``.
        out_strides: 1, 2, 4, 8 and 16; 8 twice with ``large_field``.

    Raises:
        UnknownName: an unknown variant. ConfigError: stages that there are not.
        DataError: at a call: images of another number of channels than 3, or too small for the last stage.
    """

    # name -> channels and convolutions of each stage, and whether these are normalised
    VARIANTS: dict[str, tuple[tuple[int, ...], tuple[int, ...], bool]] = {
        **{name: (_WIDTHS, depths, False) for name, depths in _DEPTHS.items()},
        **{f"{name}_bn": (_WIDTHS, depths, True) for name, depths in _DEPTHS.items()},
        "tiny": ((8, 16, 16, 32, 32), (1, 1, 1, 1, 1), True),
    }

    convert = staticmethod(convert)

    def __init__(
        self,
        variant: str = "16_bn",
        *,
        out_indices: Sequence[int] = (0, 1, 2, 3, 4),
        frozen: bool = False,
        large_field: bool = False,
        init_cfg: Any = None,
    ):
        super().__init__(init_cfg)
        require_known(variant, self.VARIANTS, "VGG variant")
        widths, depths, is_normed = self.VARIANTS[variant]
        self.out_indices = checked_indices(out_indices, len(widths), "VGG")
        self.out_channels = tuple(widths[stage] for stage in self.out_indices)
        strides = _LARGE_FIELD_STRIDES if large_field else _STRIDES
        self.out_strides = tuple(strides[stage] for stage in self.out_indices)
        self.features = nn.Sequential()
        self._spans: list[tuple[int, int]] = []
        for stage in range(self.out_indices[-1] + 1):
            start, before = len(self.features), widths[stage - 1] if stage else 3
            is_dilated = large_field and stage == _DILATED_STAGE
            self.features.extend(_stage(stage, before, widths[stage], depths[stage], is_normed, is_dilated))
            self._spans.append((start, len(self.features)))
        self.reset_parameters()
        self.requires_grad_(not frozen)

    def reset_parameters(self) -> None:
        """Kaiming normal by fan-out, zero biases, as torchvision starts it."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W), normalised by ImageNet's mean and deviation, to (B, C, H / stride, W / stride) per stage.

        Sizes that do not divide are rounded down.
        """
        _require_images(image, least=self.out_strides[-1])
        outs = []
        for start, end in self._spans:
            for layer in self.features[start:end]:
                image = layer(image)
            outs.append(image)
        return tuple(outs[stage] for stage in self.out_indices)


def _stage(
    stage: int, channels: int, width: int, depth: int, is_normed: bool, is_dilated: bool = False
) -> Iterator[nn.Module]:
    """Pooling, except in the first stage and before dilated convolutions, then convolutions."""
    if stage:
        yield nn.Identity() if is_dilated else nn.MaxPool2d(2, 2)
    dilation = 2 if is_dilated else 1
    for index in range(depth):
        yield nn.Conv2d(width if index else channels, width, 3, padding=dilation, dilation=dilation)
        if is_normed:
            yield nn.BatchNorm2d(width)
        yield nn.ReLU(inplace=True)


def _require_images(image: Tensor, least: int) -> None:
    if image.ndim != 4 or image.shape[1] != 3:
        raise DataError(
            "VGG",
            expected="images of 3 channels, (B, 3, H, W)",
            found=f"{tuple(image.shape)}",
            advice="convert them to RGB",
        )
    if min(image.shape[2:]) < least:
        raise DataError(
            "VGG",
            expected=f"images of at least {least}x{least} pixels",
            found=f"{image.shape[3]}x{image.shape[2]}",
            advice="enlarge them in the pipeline",
        )
