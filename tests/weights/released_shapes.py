"""Names and shapes of the tensors in whole released files, without values, so that the largest fit in no memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torchvision
from golden_cases import read_case
from released_cases import GOLDEN, State, kind_of
from released_layouts import auto_drive_names, detectron2_names, hugging_face_names, keras_names
from torch import Tensor

from visionzoo.backbones.dinat import DiNAT
from visionzoo.weights.entry import Weights

# Kinds whose whole files are described nowhere here, and why.
UNCHECKED = {
    "mmdet": "the names are those of the model itself",
    "nasnet_tensorflow": "no stored case has the auxiliary classifier of ImageNet",
    "lavt": "the stored case has a narrower trunk",
    "lavt_backbone": "the stored case has a narrower trunk",
    "lavt_swin_backbone": "the stored case has a narrower trunk",
}


def shapes_of(card: str, entry: Weights, model: State) -> dict[str, Tensor]:
    """Return the tensors of a released file on the meta device.

    Args:
        card, entry: the released file; its kind is not in ``UNCHECKED``.
        model: state of the whole model that the card builds, on the meta device.
    """
    with torch.device("meta"):
        return _MAKERS[kind_of(card, entry)](entry, model)


def _empty(*shape: int) -> Tensor:
    return torch.empty(shape, device="meta")


def _golden(path: str) -> dict[str, Tensor]:
    case, _ = read_case(GOLDEN / path)
    return {name: _empty(*shape) for name, shape, *_ in case["state"]}


def _authors_dinat(state: State) -> dict[str, Tensor]:
    """Return the authors' names: another name of the last norm and, with patches, of the stages."""
    is_patch = "patch_embed.proj.weight" in state
    named = {re.sub(r"^norm3\.", "norm.", name): value for name, value in state.items()}
    return {re.sub(r"^levels\.", "layers.", name) if is_patch else name: value for name, value in named.items()}


def _dinat(entry: Weights, model: State) -> dict[str, Tensor]:
    backbone = DiNAT(entry.format.options["variant"], out_indices=(3,))
    width = backbone.out_channels[0]
    head = {"head.weight": _empty(1000, width), "head.bias": _empty(1000)}
    return _authors_dinat(backbone.state_dict()) | head


def _dinat_model(entry: Weights, model: State) -> dict[str, Tensor]:
    """Return a detector's names, in which every map has a norm."""
    backbone = DiNAT(entry.format.options["variant"]).state_dict()
    is_patch = "patch_embed.proj.weight" in backbone
    named = {re.sub(r"^levels\.", "layers.", name) if is_patch else name: value for name, value in backbone.items()}
    others = {name: value for name, value in model.items() if not name.startswith("backbone.")}
    return {f"backbone.{name}": value for name, value in named.items()} | others


_BOSSNETS = {"T0": "bossnet_t0_64x96", "T0_nose": "bossnet_t0_nose_75x61", "T1": "bossnet_t1_64"}


def _bossnet(entry: Weights, model: State) -> dict[str, Tensor]:
    state = _golden(f"bossnet/{_BOSSNETS[entry.format.options['variant']]}")
    width = state["fc.weight"].shape[1]
    return {**state, "fc.weight": _empty(1000, width), "fc.bias": _empty(1000)}


def _nasnet(entry: Weights, model: State) -> dict[str, Tensor]:
    is_mobile = entry.format.options["variant"] == "mobile"
    state = _golden("nasnet/mobile_96" if is_mobile else "nasnet/large_75")
    classes = 1001 if entry.format.options.get("drop_background") else 1000
    width = state["last_linear.weight"].shape[1]
    return {**state, "last_linear.weight": _empty(classes, width), "last_linear.bias": _empty(classes)}


def _scnn(entry: Weights, model: State) -> dict[str, Tensor]:
    """Return the port's names; the existence branch has the size of the images."""
    state = _golden("scnn/vgg16_w9_160x96")
    height, width = entry.format.options["input_size"]
    cells = (height // 16) * (width // 16) * 5
    return {**state, "fc.0.weight": _empty(state["fc.0.weight"].shape[0], cells)}


def _auto_drive(entry: Weights, model: State) -> dict[str, Tensor]:
    channels = model["head.messages.down.bias"].shape[0]
    biases = {f"scnn.conv_{way}.bias": _empty(channels) for way in "durl"}
    return auto_drive_names(_scnn(entry, model)) | biases


def _voxelmorph(entry: Weights, model: State) -> dict[str, Tensor]:
    return keras_names(model)


_TRUNKS = {"resnet18": "resnet18", "resnet50": "resnet50", "resnet101": "resnet101", "resnext101": "resnext101_64x4d"}


def _resnet(entry: Weights, model: State) -> dict[str, Tensor]:
    name = next(ours for start, ours in _TRUNKS.items() if entry.name.startswith(start))
    return torchvision.models.get_model(name).state_dict()


def _biconnets(entry: Weights, model: State) -> dict[str, Tensor]:
    state = {k: v for k, v in torchvision.models.resnet50().state_dict().items() if not k.startswith("fc.")}
    rename, predictor = _BICONNETS[entry.name]
    return {rename(name): value for name, value in state.items()} | {f"{predictor}.weight": _empty(8, 64, 3, 3)}


def _minet(name: str) -> str:
    parts = {"conv1.": "div_2.0.", "bn1.": "div_2.1.", "layer1.": "div_4.1.", "layer2.": "div_8."}
    parts |= {"layer3.": "div_16.", "layer4.": "div_32."}
    start = next(each for each in parts if name.startswith(each))
    return parts[start] + name.removeprefix(start)


_BICONNETS: dict[str, tuple[Callable[[str], str], str]] = {
    "CPD_model.pth": (lambda name: "resnet." + re.sub(r"^layer([34])", r"layer\1_1", name), "agg2.conv5"),
    "GCPANet_model.pth": (lambda name: f"bkbone.{name}", "linear2"),
    "ITSD_model.pth": (lambda name: f"encoder.encoder.{name}", "decoder.final.conv"),
    "MINet_model.pth": (_minet, "classifier"),
}

_MAKERS: Mapping[str, Callable[[Weights, State], Any]] = {
    "dinat": _dinat,
    "dinat_backbone": _dinat,
    "dinat_hub": lambda entry, model: hugging_face_names(_dinat(entry, model)),
    "dinat_mask_rcnn": _dinat_model,
    "dinat_upernet": _dinat_model,
    "dinat_mask2former": lambda entry, model: detectron2_names(_dinat_model(entry, model)),
    "bossnet": _bossnet,
    "bossnet_backbone": _bossnet,
    "nasnet": _nasnet,
    "nasnet_background": _nasnet,
    "nasnet_timm": _nasnet,
    "nasnet_backbone": _nasnet,
    "gconet_plus": lambda entry, model: _golden("gconet_plus/eval_vgg16bn_k50"),
    "scnn": _scnn,
    "scnn_auto_drive": _auto_drive,
    "hmode": lambda entry, model: _golden("crowd_counting/hmode_64x96"),
    "icnet": lambda entry, model: _golden("micdir/icnet"),
    "voxelmorph": _voxelmorph,
    "resnet_backbone": _resnet,
    "vgg_backbone": lambda entry, model: torchvision.models.vgg16_bn().state_dict(),
    "biconnets_backbone": _biconnets,
}
