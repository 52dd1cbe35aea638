"""Convert weights of other networks for ConnNet's parts: ImageNet classifiers, and the networks of BiconNets.

ConnNet released no weights. BiconNets (arXiv 2103.00334, commit 38215c0) are six published networks whose last layers
output the eight channels of a cube. Their decoders have no counterpart here, so only the trunk is converted, and the
last layer if its shape fits. A model with these weights must still be trained.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from visionzoo.converters import CONVERTERS, require_names
from visionzoo.errors import CheckpointError

_OUTER = ("module.", "backbone.")
_PART = re.compile(r"(conv1|bn1|layer[1-4]\.\d+\.(conv|bn)\d|layer[1-4]\.\d+\.downsample\.[01])\.")
_CLASSIFIER = ("fc.", "head.")
_LEAST = ("conv1.weight", "layer1.0.conv1.weight", "layer4.0.conv1.weight")
_OUTPUTS = 8


@dataclass(frozen=True)
class _Network:
    """Names of the parts of one of BiconNets' networks.

    Attributes:
        name: name of the network in its paper.
        trunk: name prefixes in the file, longest first, and their replacements in a ResNet.
        predictor: the layer that outputs the final cube.
    """

    name: str
    trunk: Mapping[str, str]
    predictor: str

    def trunk_name(self, name: str) -> str:
        """Return the name in a ResNet, or an empty string for other tensors."""
        old = next((prefix for prefix in self.trunk if name.startswith(prefix)), None)
        renamed = "" if old is None else self.trunk[old] + name.removeprefix(old)
        return renamed if _PART.match(renamed) else ""


_NETWORKS = (
    _Network("PoolNet", {"base.resnet.": ""}, "score_1.score"),
    _Network("EGNet", {"base.": ""}, "merge2.final_score.2"),
    _Network("GCPANet", {"bkbone.": ""}, "linear2"),
    # The first of CPD's two branches: the second reads maps that are masked with the first one's result.
    _Network(
        "CPD", {"resnet.layer3_1.": "layer3.", "resnet.layer4_1.": "layer4.", "resnet.": ""}, predictor="agg2.conv5"
    ),
    _Network("ITSD", {"encoder.encoder.": ""}, "decoder.final.conv"),
    _Network(
        "MINet",
        {
            "div_2.0.": "conv1.",
            "div_2.1.": "bn1.",
            "div_4.1.": "layer1.",
            "div_8.": "layer2.",
            "div_16.": "layer3.",
            "div_32.": "layer4.",
        },
        predictor="classifier",
    ),
)
_NAMES = ", ".join(network.name for network in _NETWORKS)


@CONVERTERS.register("connnet", "biconnets", use="backbone")
def convert(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the ResNet in a file, with the names of ``mmdet.ResNet``; other tensors are dropped.

    The file may be a classifier of torchvision, timm or mmpretrain, whose names agree except for prefixes (``module.``,
    ``backbone.``). It may also be one of BiconNets' networks on a ResNet: PoolNet, EGNet, GCPANet, CPD, ITSD, MINet.
    PoolNet and EGNet were trained with stride 1 and dilation 2 in the last stage and with strides in the first conv of
    a block: ``model.backbone.style=caffe``, ``strides=(1, 2, 2, 1)``, ``dilations=(1, 1, 1, 2)``.

    Raises:
        CheckpointError: tensors of another network, or missing tensors.
    """
    state = _without_outer(state)
    network = _network_of(state)
    renamed = {name: network.trunk_name(name) if network else name for name in state}
    if network is None:
        _refuse_strangers(state)
    weights = {new: state[name] for name, new in renamed.items() if _PART.match(new)}
    require_names(weights, needed=_LEAST, expected="a whole ResNet", advice="give ImageNet weights of one")
    return weights


@CONVERTERS.register("biconnets")
def convert_model(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return trunk and last layer of one of BiconNets' networks, with the names of a TaskModel with ConnectivityHead.

    The last layer must be a 1x1 conv to eight channels, as in PoolNet (128 input channels, the head's default
    ``width``), CPD (``model.head.width=96``) and MINet (32). The order of the neighbours is the same. The decoder is
    not converted: ``head.decoder`` keeps its initial values.

    Raises:
        CheckpointError: another network, or a last layer of another shape.
    """
    bare = _without_outer(state)
    network = _network_of(bare)
    if network is None:
        raise CheckpointError(
            "checkpoint",
            expected=f"one of BiconNets' networks on a ResNet ({_NAMES})",
            found=f"{_some_of(bare)}",
            advice="convert a trunk with --as backbone",
        )
    weight = bare[f"{network.predictor}.weight"]
    if weight.shape[0] != _OUTPUTS or tuple(weight.shape[2:]) != (1, 1):
        raise CheckpointError(
            "checkpoint",
            expected=f"a last layer of shape ({_OUTPUTS}, width, 1, 1)",
            found=f"{network.name}'s {network.predictor}.weight of {tuple(weight.shape)}",
            advice="convert the trunk with --as backbone",
        )
    weights = {f"backbone.{name}": value for name, value in convert(bare).items()}
    return weights | {f"head.predictor.{part}": bare[f"{network.predictor}.{part}"] for part in ("weight", "bias")}


def _without_outer(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    bare = {}
    for name, value in state.items():
        for prefix in _OUTER:
            name = name.removeprefix(prefix)
        bare[name] = value
    return bare


def _network_of(state: Mapping[str, Tensor]) -> _Network | None:
    """Return the network of BiconNets whose trunk and last layer have these names, or None."""
    for network in _NETWORKS:
        if f"{network.predictor}.weight" in state and any(network.trunk_name(name) for name in state):
            return network
    return None


def _refuse_strangers(state: Mapping[str, Tensor]) -> None:
    strangers = [name for name in state if not _PART.match(name) and not name.startswith(_CLASSIFIER)]
    if strangers:
        raise CheckpointError(
            "checkpoint",
            expected="a ResNet's conv1, bn1, layer1 to layer4",
            found=f"{strangers[0]}",
            advice=(
                "give ImageNet weights of torchvision, timm or mmpretrain, or one of BiconNets' networks on a ResNet "
                f"({_NAMES})"
            ),
        )


def _some_of(state: Mapping[str, Tensor]) -> str:
    return ", ".join(list(state)[:3]) or "no tensors"
