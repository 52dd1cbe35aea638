"""Weights of others for ConnNet's parts: ImageNet classifiers, and the networks of BiconNets.

ConnNet itself released none. BiconNets (arXiv 2103.00334, commit 38215c0) are six networks by others whose last layers
give the eight channels of a cube; their decoders have no counterpart here, so that only trunks and, where its shape
fits, the last layer can be taken. What was started from them has to be trained.
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
    """Where one of BiconNets' networks has its parts.

    Attributes:
        name: as its authors call it.
        trunk: beginnings of names in the file, longest first, and what stands for them in a ResNet.
        predictor: the layer that gives the final cube.
    """

    name: str
    trunk: Mapping[str, str]
    predictor: str

    def trunk_name(self, name: str) -> str:
        """The name in a ResNet; empty for what is no part of it."""
        old = next((prefix for prefix in self.trunk if name.startswith(prefix)), None)
        renamed = "" if old is None else self.trunk[old] + name.removeprefix(old)
        return renamed if _PART.match(renamed) else ""


_NETWORKS = (
    _Network("PoolNet", {"base.resnet.": ""}, "score_1.score"),
    _Network("EGNet", {"base.": ""}, "merge2.final_score.2"),
    _Network("GCPANet", {"bkbone.": ""}, "linear2"),
    # Of CPD's two branches the first one: the second reads maps that the first one's result has masked.
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
    """The ResNet in a file, under the names of ``mmdet.ResNet``; the rest is left out.

    Classifiers by torchvision's, timm's or mmpretrain's names, which agree but for prefixes (``module.``,
    ``backbone.``), and those of BiconNets' networks that stand on a ResNet: PoolNet, EGNet, GCPANet, CPD, ITSD, MINet.
    PoolNet and EGNet were trained with a last stage of stride 1 and dilation 2 and strides in the first conv of a
    block: ``model.backbone.style=caffe``, ``strides=(1, 2, 2, 1)``, ``dilations=(1, 1, 1, 2)``.

    Raises:
        CheckpointError: tensors of another network, or some are missing.
    """
    state = _without_outer(state)
    network = _network_of(state)
    renamed = {name: network.trunk_name(name) if network else name for name in state}
    if network is None:
        _refuse_strangers(state)
    found = {new: state[name] for name, new in renamed.items() if _PART.match(new)}
    require_names(found, needed=_LEAST, expected="a whole ResNet", advice="give ImageNet weights of one")
    return found


@CONVERTERS.register("biconnets")
def convert_model(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Trunk and last layer of one of BiconNets' networks, as a TaskModel with a ConnectivityHead names them.

    The last layer has to be a 1x1 conv to eight channels, as in PoolNet (128 channels, the head's usual ``width``),
    CPD (``model.head.width=96``) and MINet (32); the channels mean the same neighbours. What read these channels'
    inputs, the whole decoder, is not taken: ``head.decoder`` keeps its initial values.

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
    found = {f"backbone.{name}": value for name, value in convert(bare).items()}
    return found | {f"head.predictor.{part}": bare[f"{network.predictor}.{part}"] for part in ("weight", "bias")}


def _without_outer(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found = {}
    for name, value in state.items():
        for prefix in _OUTER:
            name = name.removeprefix(prefix)
        found[name] = value
    return found


def _network_of(state: Mapping[str, Tensor]) -> _Network | None:
    """The network of BiconNets that has both a trunk and a last layer under these names."""
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
