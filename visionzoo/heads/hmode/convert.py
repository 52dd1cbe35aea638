"""Convert released checkpoints of HMoDE: the whole model, encoder and head."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from visionzoo.converters import CONVERTERS, require_names, tensors_of
from visionzoo.errors import CheckpointError

# Index of the first layer of features1 to features5 in torchvision's vgg16_bn.
_FIRST_LAYERS = (0, 6, 13, 23, 33)
_ENCODER = re.compile(r"^features([1-5])\.(\d+)\.(\w+)$")

# The authors' names of the head's tensors; layers that are attributes are numbered from 1.
_HEAD = re.compile(
    r"^(?:de_pred(?P<block>[1-3])\.(?P<step>[01])"
    r"|head(?P<expert>[1-3])\.(?P<layer>[01])"
    r"|gating1\.conv(?P<pairs>[12])"
    r"|gating2\.conv(?P<mixtures>[1-6])"
    r"|mask\.(?P<mask>conv1|conv2|output))\.conv\.(?P<leaf>weight|bias)$"
)
_MASK = {"conv1": 0, "conv2": 1, "output": 2}
_LEAST = ("features1.0.weight", "de_pred3.0.conv.weight", "gating2.conv6.conv.weight")
_EXAMPLE = "give one of the authors' files, such as best_model.pth"


@CONVERTERS.register("hmode")
def convert_model(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Convert a released HMoDE to a ``TaskModel`` with ``VGG`` (16_bn) and ``HMoDEHead``.

    The authors' files are bare state dicts, or contain one under ``model`` next to the optimizer. Names may start with
    ``module.``, which training on one GPU adds.

    Returns:
        Tensors by name, ``backbone.*`` and ``head.*``.

    Raises:
        CheckpointError: the names are not those of HMoDE.
    """
    state = tensors_of(checkpoint, ["model", "state_dict"])
    require_names(state, needed=_LEAST, expected="HMoDE (features1.*, de_pred1.*, gating1.*, mask.*)", advice=_EXAMPLE)
    return {_renamed(name): value for name, value in state.items()}


def _renamed(name: str) -> str:
    if match := _ENCODER.match(name):
        return f"backbone.features.{_FIRST_LAYERS[int(match[1]) - 1] + int(match[2])}.{match[3]}"
    match = _HEAD.match(name)
    if match is None:
        raise CheckpointError("checkpoint", expected="names of HMoDE", found=f"{name}", advice=f"{_EXAMPLE}")
    return f"head.{_part_of(match)}.0.{match['leaf']}"


def _part_of(match: re.Match[str]) -> str:
    if match["block"]:
        return f"decoder.blocks.{int(match['block']) - 1}.{match['step']}"
    if match["expert"]:
        return f"experts.{int(match['expert']) - 1}.{match['layer']}"
    if match["mask"]:
        return f"attention.layers.{_MASK[match['mask']]}"
    gate, layer = ("pair_gate", match["pairs"]) if match["pairs"] else ("mixture_gate", match["mixtures"])
    return f"{gate}.layers.{int(layer) - 1}"
