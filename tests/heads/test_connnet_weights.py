"""ImageNet weights by the names of torchvision, timm and mmpretrain, and weights of BiconNets, in ConnNet."""

from __future__ import annotations

import re
from importlib import import_module

import pytest
import timm
import torch
import torchvision
from mmengine.registry import DefaultScope
from safetensors.torch import load_file

from visionzoo.cli.convert import main as convert_main
from visionzoo.errors import CheckpointError
from visionzoo.heads.connnet import convert
from visionzoo.models.wiring import build_model
from visionzoo.registry import MODELS, SCOPE
from visionzoo.weights.loading import load_weights

# The package exports a function with the module's name.
convert_model = import_module("visionzoo.heads.connnet.convert").convert_model

# Names in BiconNets' networks: the parts of the ResNet, the last layer, and some layers between them.
STEMS = {
    "PoolNet": {"": "base.resnet."},
    "EGNet": {"": "base."},
    "GCPANet": {"": "bkbone."},
    "CPD": {"layer3.": "resnet.layer3_1.", "layer4.": "resnet.layer4_1.", "": "resnet."},
    "ITSD": {"": "encoder.encoder."},
    "MINet": {
        "conv1.": "div_2.0.",
        "bn1.": "div_2.1.",
        "layer1.": "div_4.1.",
        "layer2.": "div_8.",
        "layer3.": "div_16.",
        "layer4.": "div_32.",
    },
}
LAST = {
    "PoolNet": ("score_1.score", (8, 128, 1, 1)),
    "EGNet": ("merge2.final_score.2", (8, 128, 3, 3)),
    "GCPANet": ("linear2", (8, 256, 3, 3)),
    "CPD": ("agg2.conv5", (8, 96, 1, 1)),
    "ITSD": ("decoder.final.conv", (8, 40, 3, 3)),
    "MINet": ("classifier", (8, 32, 1, 1)),
}
BETWEEN = {
    "PoolNet": (
        "base.ppms_pre.weight",
        "base.ppms.0.1.weight",
        "deep_pool.0.convs.1.weight",
        "convert.convert0.0.0.weight",
    ),
    "EGNet": ("convert.convert0.0.0.weight", "merge1.score.0.bias", "merge2.up.0.1.2.weight"),
    "GCPANet": ("ca45.conv1.weight", "fam34.bn0.running_mean", "srm2.conv1.weight", "linear5.weight"),
    "CPD": ("resnet.layer3_2.0.conv1.weight", "resnet.layer4_2.0.bn1.bias", "agg1.conv5.weight", "HA.gaussian_kernel"),
    "ITSD": (
        "encoder.adapters.0.conv.weight",
        "decoder.slc_preds.0.pr_conv.weight",
        "decoder.ctr_blocks.1.conv1.0.bias",
    ),
    "MINet": ("trans.aim0.weight", "sim32.h2l_0.weight", "upconv1.conv.weight"),
}


def trunk():
    with DefaultScope.overwrite_default_scope(SCOPE):
        return MODELS.build(dict(type="mmdet.ResNet", depth=18))


@pytest.fixture(scope="module")
def reference():
    torch.manual_seed(0)
    return torchvision.models.resnet18(num_classes=5).eval()


def named(reference, kind):
    state = reference.state_dict()
    if kind == "mmpretrain":
        return {("head." if name.startswith("fc.") else "backbone.") + name: value for name, value in state.items()}
    if kind == "timm":
        model = timm.create_model("resnet18", num_classes=5)
        model.load_state_dict(state)
        return model.state_dict()
    return {f"module.{name}": value for name, value in state.items()} if kind == "parallel" else state


@pytest.mark.parametrize("kind", ["torchvision", "timm", "mmpretrain", "parallel"])
def test_weights_of_each_kind_return_the_same_maps(reference, kind):
    net = trunk()
    net.load_state_dict(convert(named(reference, kind)))
    net.eval()
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        x = reference.maxpool(reference.relu(reference.bn1(reference.conv1(image))))
        for output, layer in zip(net(image), ("layer1", "layer2", "layer3", "layer4")):
            x = getattr(reference, layer)(x)
            torch.testing.assert_close(output, x)


def test_the_command_writes_the_trunk(reference, tmp_path):
    source, target = tmp_path / "resnet18.pth", tmp_path / "trunk.safetensors"
    torch.save(reference.state_dict(), source)
    assert convert_main(["checkpoint", str(source), str(target), "--from", "connnet", "-q"]) == 0
    trunk().load_state_dict(load_file(target))


# --- BiconNets ---


def released(reference, network, last=None):
    """Return the weights that a network of BiconNets with this ResNet would save."""
    state = {}
    for name, value in reference.state_dict().items():
        if not name.startswith("fc."):
            start = next(start for start in STEMS[network] if name.startswith(start))
            state[STEMS[network][start] + name.removeprefix(start)] = value
    state |= {name: torch.full((1,), 7.0) for name in BETWEEN[network]}
    layer, shape = LAST[network]
    shape = last or shape
    return state | {f"{layer}.weight": torch.randn(shape), f"{layer}.bias": torch.randn(shape[0])}


@pytest.mark.parametrize("outer", ["", "module."])
@pytest.mark.parametrize("network", list(STEMS))
def test_trunks_of_biconnets(reference, network, outer):
    weights = convert({outer + name: value for name, value in released(reference, network).items()})
    expected = {name: value for name, value in reference.state_dict().items() if not name.startswith("fc.")}
    assert weights.keys() == expected.keys() == trunk().state_dict().keys()
    assert all(torch.equal(value, expected[name]) for name, value in weights.items())


@pytest.mark.parametrize("network", ["PoolNet", "CPD", "MINet"])
def test_the_command_takes_last_layers_of_one_by_one(reference, network, tmp_path):
    layer, (_, width, *_) = LAST[network]
    state = released(reference, network)
    torch.save(state, tmp_path / "bicon.pth")
    target = tmp_path / "start.safetensors"
    assert convert_main(["checkpoint", str(tmp_path / "bicon.pth"), str(target), "--from", "biconnets", "-q"]) == 0
    head = dict(type="ConnectivityHead", variant="tiny", width=width)
    model = build_model(dict(type="TaskModel", backbone=dict(type="mmdet.ResNet", depth=18), head=head))
    report = load_weights(model, target, ignore=["head.decoder.*"])
    assert report.loaded == len(trunk().state_dict()) + 2
    assert torch.equal(model.head.predictor.weight, state[f"{layer}.weight"])
    assert torch.equal(model.head.predictor.bias, state[f"{layer}.bias"])
    assert torch.equal(model.backbone.layer3[0].conv1.weight, reference.layer3[0].conv1.weight)


@pytest.mark.parametrize(
    ("network", "last", "words"),
    [
        ("EGNet", None, r"found EGNet's merge2.final_score.2.weight of \(8, 128, 3, 3\); .*--as backbone"),
        ("GCPANet", None, r"found GCPANet's linear2.weight of \(8, 256, 3, 3\)"),
        ("ITSD", None, r"found ITSD's decoder.final.conv.weight of \(8, 40, 3, 3\)"),
        ("PoolNet", (1, 128, 1, 1), r"found PoolNet's score_1.score.weight of \(1, 128, 1, 1\)"),
    ],
)
def test_other_last_layers_are_refused_and_the_trunk_is_not(reference, network, last, words, tmp_path, capsys):
    source, target = str(tmp_path / "bicon.pth"), str(tmp_path / "start.safetensors")
    torch.save(released(reference, network, last), source)
    assert convert_main(["checkpoint", source, target, "--from", "biconnets", "-q"]) == 2
    assert re.search(words, " ".join(capsys.readouterr().err.split()))
    assert convert_main(["checkpoint", source, target, "--from", "biconnets", "--as", "backbone", "-q"]) == 0
    trunk().load_state_dict(load_file(target))


def test_networks_on_other_trunks_are_refused(reference):
    vgg = {"base.base.0.weight": torch.ones(1), "score_1.score.weight": torch.ones(8, 128, 1, 1)}
    with pytest.raises(CheckpointError, match=r"found base.base.0.weight; .*BiconNets' networks on a ResNet \(PoolNet"):
        convert(vgg)
    with pytest.raises(CheckpointError, match=r"expected one of BiconNets' networks .* found base.base.0.weight"):
        convert_model(vgg)
    with pytest.raises(CheckpointError, match=r"found conv1.weight, bn1.weight, bn1.bias; .*--as backbone"):
        convert_model(reference.state_dict())
    with pytest.raises(CheckpointError, match=r"found no layer4\.0\.conv1"):
        convert({name: value for name, value in released(reference, "MINet").items() if "div_32" not in name})


# --- mistakes ---


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda state: state | {"stem.0.weight": torch.ones(1)}, "found stem.0.weight"),
        (lambda state: {name: value for name, value in state.items() if "layer4" not in name}, "no layer4.0.conv1"),
        (lambda state: {}, "no conv1.weight"),
    ],
)
def test_other_networks_are_refused(reference, spoil, words):
    with pytest.raises(CheckpointError, match=words):
        convert(spoil(reference.state_dict()))
