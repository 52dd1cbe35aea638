"""Released weights of NASNet-A: every name of the three layouts, recognised variants, and clear errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from visionzoo.backbones.nasnet import (
    NASNet,
    NASNetAuxBranch,
    NASNetRoITail,
    convert,
    convert_aux,
    convert_classifier,
    convert_detector,
    named_variant,
)
from visionzoo.errors import CheckpointError

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "nasnet"
AVERAGE = "/ExponentialMovingAverage"

# Stored cases whose states name every tensor of a released file, and the source of that file.
RELEASED = {
    "large_75": ("large", 1001, 1810),
    "mobile_96": ("mobile", 1000, 1318),
    "mobile_tf_72x101": ("mobile", 1000, 1126),
    "cifar_32_eval": ("cifar", 10, 1424),
    "cifar_32_train_step0": ("cifar", 10, 1436),
}


def released(case: str, device: str = "meta") -> dict[str, Tensor]:
    """Return tensors with the released names and layouts; on the meta device they have no values."""
    made: dict[str, Tensor] = {}
    for entry in json.loads((GOLDEN / f"{case}.json").read_text())["state"]:
        name, shape = entry[3] if len(entry) > 3 else entry[0], tuple(entry[1])
        value = torch.zeros(shape, device=device)
        if name.endswith("depthwise_weights"):
            value = value.permute(2, 3, 0, 1)
        elif len(entry) > 3 and value.ndim > 1:
            value = value.permute(2, 3, 1, 0) if value.ndim == 4 else value.T
        made[name] = value
    return made


def shapes(state: dict[str, Tensor], *, counted: bool = True) -> dict[str, tuple[int, ...]]:
    return {
        name: tuple(value.shape) for name, value in state.items() if counted or not name.endswith("num_batches_tracked")
    }


def on_meta(cls: Any, *args: Any, **options: Any) -> Any:
    with torch.device("meta"):
        return cls(*args, **options)


@pytest.mark.parametrize("case", RELEASED)
def test_every_released_name_maps(case: str) -> None:
    variant, classes, entries = RELEASED[case]
    state = released(case)
    assert len(state) == entries
    weights, classifier = convert(state), convert_classifier(state)
    is_tensorflow = any("/" in name for name in state)
    assert shapes(weights) == shapes(on_meta(NASNet, variant).state_dict(), counted=not is_tensorflow)
    assert shapes(classifier) == {"weight": (classes, weights_width(variant)), "bias": (classes,)}
    aux = 0
    if case == "cifar_32_train_step0":
        branch = on_meta(NASNetAuxBranch, 384, 10, size=4)
        assert shapes(convert_aux(state)) == shapes(branch.state_dict(), counted=False)
        aux = len(convert_aux(state))
    assert len(weights) + len(classifier) + aux == entries  # nothing was dropped or joined


def weights_width(variant: str) -> int:
    return 24 * {"large": 168, "mobile": 44, "cifar": 32}[variant]


def test_the_port_of_mobile_skips_numbers_and_ours_does_not() -> None:
    state = released("mobile_96", "cpu")
    cells = {name.split(".")[0] for name in state}
    theirs = [i for i in range(16) if f"cell_{i}" in cells]
    assert theirs == [0, 1, 2, 3, 6, 7, 8, 9, 12, 13, 14, 15]
    numbers = {f"cell_{i}.conv_1x1.conv.weight": i for i in theirs}
    ours = convert({name: value + numbers.get(name, 0) for name, value in state.items()})
    for i, number in enumerate(theirs):
        assert ours[f"cell_{i}.cur.conv.weight"].eq(number).all()


def test_released_weights_load_and_values_arrive() -> None:
    torch.manual_seed(0)
    state = {name: torch.randn(value.shape) for name, value in released("mobile_tf_72x101").items()}
    net = NASNet("mobile")
    net.load_state_dict(convert(state))
    first = state["cell_5/comb_iter_1/right/separable_3x3_2/depthwise_weights"]
    assert torch.equal(net.cell_5.node_1_right.depthwise_2.weight[:, 0], first[:, :, :, 0].permute(2, 0, 1))
    variance = state["cell_4/final_path_bn/moving_variance"]
    assert torch.equal(net.cell_4.prev.bn.running_var, variance)
    layer = nn.Linear(1056, 1000)
    layer.load_state_dict(convert_classifier(state))
    assert torch.equal(layer.weight, state["final_layer/FC/weights"].T)


def test_averages_replace_the_averaged_weights() -> None:
    state = released("mobile_tf_72x101", "cpu")
    plain = {name: value.numpy() for name, value in state.items()}
    averaged = {name + AVERAGE: value + 1 for name, value in plain.items()}
    others = {"global_step": np.array(7), "conv0/weights/RMSProp": plain["conv0/weights"]}
    others["conv0/weights/RMSProp_1"] = others["conv0/weights/Momentum"] = plain["conv0/weights"]
    for given in (averaged, {**plain, **averaged, **others}):
        weights = convert(given)
        assert len(weights) == RELEASED["mobile_tf_72x101"][2] - 2
        assert all(value.eq(1).all() for value in weights.values())


def test_a_state_dict_may_be_within_a_checkpoint() -> None:
    state = released("mobile_96")
    inner = {f"module.{name}": value for name, value in state.items()}
    assert shapes(convert({"state_dict": inner, "epoch": 3})) == shapes(convert(state))


def test_the_background_can_be_left_out() -> None:
    state = {"last_linear.weight": torch.randn(1001, 4), "last_linear.bias": torch.arange(1001.0)}
    whole, part = convert_classifier(state), convert_classifier(state, drop_background=True)
    assert len(whole["bias"]) == 1001
    assert torch.equal(part["bias"], torch.arange(1.0, 1001))
    assert torch.equal(part["weight"], state["last_linear.weight"][1:])
    aux = released("cifar_32_train_step0")
    assert len(convert_aux(aux, drop_background=True)["fc.bias"]) == 9


@pytest.mark.parametrize("layout", ["classifier", "detector"])
def test_a_detectors_weights_go_to_its_two_parts(layout: str) -> None:
    state = released("mobile_tf_72x101")
    if layout == "detector":
        tail = ("reduction_cell_1/", "cell_8/", "cell_9/", "cell_10/", "cell_11/")
        state = {
            ("SecondStageFeatureExtractor/" if name.startswith(tail) else "FirstStageFeatureExtractor/") + name: value
            for name, value in state.items()
            if not name.startswith("final_layer")
        }
        state |= {"FirstStageBoxPredictor/ClassPredictor/weights": torch.zeros(1), "Conv/weights": torch.zeros(1)}
    weights = convert_detector(state, variant="mobile")
    parts = {"backbone.": on_meta(NASNet, "mobile", proposal_features=True)}
    parts["roi_head.shared_head."] = on_meta(NASNetRoITail, "mobile")
    expected: dict[str, tuple[int, ...]] = {}
    for prefix, part in parts.items():
        expected |= {prefix + name: shape for name, shape in shapes(part.state_dict(), counted=False).items()}
    assert shapes(weights) == expected


# --------------------------------------------------------------------------- variants


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("nasnetalarge-a1897284.pth", "large"),
        ("nasnetalarge-dc4a7b8b.pth", "large"),
        ("weights/nasnetamobile-7e03cead.pth", "mobile"),
        ("nasnet-a_large_04_10_2017.tar.gz", "large"),
        ("nasnet-a_mobile_04_10_2017.tar.gz", "mobile"),
        ("mobilenet_v2.pth", None),
    ],
)
def test_file_names_contain_the_variant(name: str, variant: str | None) -> None:
    assert named_variant(name) == variant


@pytest.mark.parametrize(
    ("case", "options", "message"),
    [
        (
            "mobile_96",
            {"variant": "large"},
            r"expected NASNet-A large, found weights of num_cells=12.*of mobile",
        ),
        ("large_75", {"variant": "mobile"}, r"expected NASNet-A mobile, found weights of num_cells=18.*of large"),
        ("mobile_96", {"file_name": "nasnetalarge-a1897284.pth"}, "expected NASNet-A large, found weights of"),
        (
            "mobile_96",
            {"variant": "mobile", "file_name": "nasnetalarge.pth"},
            "found a file called nasnetalarge.pth, of large",
        ),
        ("cifar_32_eval", {"variant": "tiny"}, "expected NASNet-A tiny, found weights of"),
        (
            "large_narrow_75",
            {},
            r"expected a NASNet-A of large, .*filters=12.*variant='custom'",
        ),
        ("large_narrow_75", {"variant": "large"}, "build the network with these and use variant='custom'"),
    ],
)
def test_weights_of_another_variant_are_refused(case: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        convert(released(case), **options)


def test_weights_of_another_variant_do_not_load() -> None:
    with pytest.raises(RuntimeError, match=r"(size mismatch|Missing key)"):
        on_meta(NASNet, "large").load_state_dict(convert(released("mobile_96")), assign=True)


def test_own_numbers_are_taken_as_custom() -> None:
    net = on_meta(NASNet, "large", filters=12, stem_filters=12)
    assert shapes(convert(released("large_narrow_75"), variant="custom")) == shapes(net.state_dict())


# --------------------------------------------------------------------------- mistakes


def test_strange_weights_are_refused() -> None:
    one = torch.zeros(1)
    with pytest.raises(CheckpointError, match=r"expected a NASNet-A .*found layer1\.0\.conv1\.weight"):
        convert({"conv0.conv.weight": one, "layer1.0.conv1.weight": one})
    with pytest.raises(CheckpointError, match="expected a NASNet-A with its first convolution and cell_0, found none"):
        convert({"epoch": 3})
    with pytest.raises(CheckpointError, match=r"first convolution and cell_0, found \['conv0\.conv\.weight'\]"):
        convert({"conv0.conv.weight": one})
    with pytest.raises(
        CheckpointError, match=r"expected cell_0\.prev\.bn\.weight once, found it again as cell_1/final"
    ):
        convert({"cell_1/prev_bn/gamma": one, "cell_1/final_path_bn/gamma": one})


def test_missing_classifiers_are_named() -> None:
    one = {"conv0.conv.weight": torch.zeros(1)}
    with pytest.raises(CheckpointError, match=r"expected a classifier \(last_linear or final_layer/FC\), found none"):
        convert_classifier(one)
    with pytest.raises(CheckpointError, match=r"expected an auxiliary classifier .* found none; the PyTorch ports"):
        convert_aux(one)
    thousand = {"last_linear.weight": torch.zeros(1000, 2), "last_linear.bias": torch.zeros(1000)}
    with pytest.raises(CheckpointError, match=r"expected 1001 classes, .* found 1000; leave drop_background out"):
        convert_classifier(thousand, drop_background=True)
