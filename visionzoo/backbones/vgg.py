"""VGG (Simonyan and Zisserman, ICLR 2015, arXiv:1409.1556), with and without batch normalisation.

Layers are numbered as in torchvision, so torchvision's ImageNet weights load unchanged.

Tensors: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.model import BaseModule
from torch import Tensor, nn

from visionzoo.allowed import Indices
from visionzoo.converters import CONVERTERS, require_names, require_same_tensors, tensors_of
from visionzoo.errors import DataError, require_known
from visionzoo.layers.levels import checked_indices
from visionzoo.registry import MODELS

_WIDTHS = (64, 128, 256, 512, 512)
_DEPTHS = {"11": (1, 1, 2, 2, 2), "13": (2, 2, 2, 2, 2), "16": (2, 2, 3, 3, 3), "19": (2, 2, 4, 4, 4)}

_STRIDES, _LARGE_FIELD_STRIDES, _DILATED_STAGE = (1, 2, 4, 8, 16), (1, 2, 4, 8, 8), 4


@CONVERTERS.register("vgg", use="backbone")
def convert(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Convert torchvision's VGG weights to those of :class:`VGG`: drop the classifier and keep the names.

    Args:
        checkpoint: content of a file like ``vgg16_bn-6c64b313.pth``.

    Returns:
        Weights by name.

    Raises:
        CheckpointError: the names are not torchvision's.
    """
    state = tensors_of(checkpoint)
    require_names(
        state,
        known=re.compile(r"(features|classifier)\."),
        needed=["features.0.weight"],
        expected="torchvision's VGG (features.*, classifier.*)",
        advice="give one of its files",
    )
    weights = {name: value for name, value in state.items() if name.startswith("features.")}
    variant = _variant_of(weights)
    require_same_tensors(weights, lambda: VGG(variant), f"VGG {variant}")
    return weights


def _variant_of(weights: Mapping[str, Tensor]) -> str:
    """Return the variant with the same number of layers, as the one that the weights resemble most."""
    norms = sum(name.endswith("running_mean") for name in weights)
    layers = sum(name.endswith(".weight") for name in weights) - norms
    counts = {sum(depths): depth for depth, depths in _DEPTHS.items()}
    nearest = counts[min(counts, key=lambda count: abs(count - layers))]
    return f"{nearest}_bn" if norms else nearest


@MODELS.register_module()
class VGG(BaseModule):
    """Compute up to five feature maps of an image. Each map is the last activation before a pooling.

    Args:
        variant: ``11``, ``13``, ``16`` or ``19`` layers, with ``_bn`` for batch normalisation; ``tiny`` for tests.
        out_indices: stages to return, counted from 0, shallow first. The pooling after the last stage is omitted.
        large_field: build SCNN's VGG (Pan et al., AAAI 2018): the pooling before the last stage is omitted, and its
            convolutions have dilation 2. This keeps their field of view at twice the resolution. Layers keep their
            indices, so pretrained weights still load.
        frozen: disable training of all parameters. Batch normalisations still update their statistics in training;
            GCoNet+ trains its encoder in this way. (``freeze`` of a config disables both.)
        init_cfg: mmengine's, e.g. ``dict(type="Pretrained", checkpoint="torchvision://vgg16_bn")``.

    Attributes:
        out_channels: C of each returned map; 64, 128, 256, 512 and 512 for all variants except ``tiny``.
        out_strides: pixels per cell of each returned map; 1, 2, 4, 8 and 16 for all stages (8 for the last with
            ``large_field``).

    Raises:
        UnknownName: an unknown variant.
        ConfigError: ``out_indices`` is not an ascending selection of the stages.
        DataError: in ``forward``: images do not have 3 channels, or are too small for the last stage.

    Example:
        >>> import torch
        >>> backbone = VGG("tiny", out_indices=(1, 4))
        >>> [tuple(feat.shape) for feat in backbone(torch.zeros(1, 3, 32, 16))]
        [(1, 16, 16, 8), (1, 32, 2, 1)]
    """

    # Name -> channels of each stage, convolutions of each stage, True for batch normalisation.
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
        out_indices: Indices = (0, 1, 2, 3, 4),
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
        """Initialise weights with Kaiming normal by fan-out, and biases with zero, as torchvision does."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return one map (B, C, H / stride, W / stride) for each of ``out_indices``, sizes rounded down.

        Images are (B, 3, H, W), normalised by ImageNet's mean and standard deviation.
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
    """Yield the layers of a stage: a pooling, except in the first stage and before dilation, then convolutions."""
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
