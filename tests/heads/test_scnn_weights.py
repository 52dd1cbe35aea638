"""Released weights of SCNN in three layouts: one network, whole or only its backbone, strict, for one image size."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from visionzoo.backbones.vgg import VGG
from visionzoo.cli.convert import main as convert_main
from visionzoo.errors import CheckpointError
from visionzoo.heads.scnn import convert, convert_model, input_of
from visionzoo.models.preprocessing import TaskPreprocessor
from visionzoo.models.wiring import build_model
from visionzoo.weights.normalisation import warn_of_other_normalisation

CELLS = 18 * 50  # of 288x800
SIDES = {"down": (1, 9), "up": (1, 9), "right": (9, 1), "left": (9, 1)}
PORT = {"down": "up_down", "up": "down_up", "right": "left_right", "left": "right_left"}
TORCH7 = {
    "down": "6.0.0.2.0.1.1.0",
    "up": "6.0.0.140.1.2.0.0",
    "right": "6.1.0.2.0.1.1.0",
    "left": "6.1.0.396.1.2.0.0",
}


def model_on_meta(**head):
    trunk = dict(type="VGG", variant="16_bn", large_field=True, out_indices=(4,))
    with torch.device("meta"):
        return build_model(dict(type="TaskModel", backbone=trunk, head=dict(type="SCNNHead", **head)))


@pytest.fixture(scope="module")
def ours():
    """Return a small tensor with a unique value for every tensor of the model.

    Its shape is that of a file where the shape matters.
    """
    state = {}
    for number, name in enumerate(model_on_meta().state_dict(), start=1):
        state[name] = torch.full((3,), float(number))
        if name.startswith("head.messages."):
            state[name] = torch.arange(36.0).reshape(2, 2, 9) + number
    state["head.existence.layers.0.weight"] = torch.full((3, 5 * CELLS), 0.5)
    state["head.classifier.1.bias"] = torch.zeros(5)
    return state


def renamed(state, trunk, reducer, messages, classifier, first, second):
    """Rename the tensors; give kernels the shape of 2-d convolutions."""
    starts = {"backbone.features.": trunk, "head.reducer.branches.0.": reducer, "head.classifier.1.": classifier}
    starts |= {"head.existence.layers.0.": first, "head.existence.layers.2.": second}
    starts |= {f"head.messages.{direction}.": messages[direction] for direction in SIDES}
    weights = {}
    for name, value in state.items():
        start = next(start for start in starts if name.startswith(start))
        if start.startswith("head.messages."):
            value = value.reshape(2, 2, *SIDES[start.split(".")[2]])
        weights[starts[start] + name.removeprefix(start)] = value
    return weights


def port(state):
    messages = {direction: f"message_passing.{name}." for direction, name in PORT.items()}
    return renamed(state, "backbone.", "layer1.", messages, "layer2.1.", "fc.0.", "fc.2.")


def auto_drive(state, trunk="encoder.net."):
    messages = {direction: f"scnn.conv_{direction[0]}." for direction in SIDES}
    lanes = ("lane_classifier.linear1.", "lane_classifier.linear2.")
    biases = {f"head.messages.{direction}.bias": torch.full((2,), 3.0) for direction in SIDES}
    weights = renamed(state, trunk, "fc67.", messages, "fc8.1.", *lanes)
    return weights | {messages[name.split(".")[2]] + "bias": value for name, value in biases.items()}


def torch7(state):
    """Return the tensors of Torch7's file.

    It has no biases of VGG's convolutions and no counts; the last stage is one index earlier.
    """
    messages = {direction: f"42.{path}." for direction, path in TORCH7.items()}
    weights = renamed(state, "", "42.", messages, "42.8.", "43.1.3.", "43.1.5.")
    kept = {}
    for name, value in weights.items():
        first, _, rest = name.partition(".")
        is_conv = f"{int(first) + 1}.running_var" in weights
        if name.endswith("num_batches_tracked") or (rest == "bias" and is_conv):
            continue
        kept[f"{int(first) - 1}.{rest}" if 33 < int(first) < 42 else name] = value
    return kept


@pytest.mark.parametrize("outer", ["", "module."])
def test_the_ports_file(ours, outer):
    state = {outer + name: value for name, value in port(ours).items()}
    state[outer + "ce_loss.weight"] = torch.ones(5)
    weights = convert_model({"epoch": 0, "net": state, "optim": None, "lr_scheduler": None}, input_size=(288, 800))
    assert list(weights) == list(ours)
    assert all(torch.equal(value, ours[name]) for name, value in weights.items())


def test_names_and_kernels_are_those_of_the_model():
    """Every tensor of the authors' size loads strictly by the port's names."""
    model = model_on_meta()
    state = {}
    for name, value in model.state_dict().items():
        direction = name.split(".")[2] if name.startswith("head.messages.") else None
        state[name] = value if direction is None else value.reshape(128, 128, *SIDES[direction])
    names = dict(zip(port_names(state), state.values(), strict=True))
    model.load_state_dict(convert_model(names), strict=True)


def port_names(state):
    small = {name: torch.zeros(2, 2, 9) if name.startswith("head.messages.") else torch.zeros(1) for name in state}
    return list(port(small))


@pytest.mark.parametrize("trunk", ["encoder.net.", "encoder."])
def test_pytorch_auto_drives_file(ours, trunk):
    weights = convert_model({"model": auto_drive(ours, trunk), "epoch": 3})
    biases = {f"head.messages.{direction}.bias" for direction in SIDES}
    assert set(weights) == set(ours) | biases
    assert all(torch.equal(value, ours[name]) for name, value in weights.items() if name not in biases)
    assert set(model_on_meta(message_bias=True, update_first=False).state_dict()) == set(weights)


@pytest.mark.parametrize("prefix", ["", "modules."])
def test_torch7s_tensors(ours, prefix):
    state = {
        ".".join(prefix + part if part.isdigit() else part for part in name.split(".")): value
        for name, value in torch7(ours).items()
    }
    weights = convert_model(state)
    assert set(weights) == set(ours)
    filled = {name for name in weights if name.endswith("num_batches_tracked")}
    filled |= {f"backbone.features.{conv}.bias" for conv in (0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40)}
    assert all(not weights[name].any() for name in filled)
    assert all(torch.equal(value, ours[name]) for name, value in weights.items() if name not in filled)


def test_a_port_file_without_the_biases_that_torch7_lacks(ours):
    state = {name: value for name, value in port(ours).items() if name != "backbone.34.bias"}
    weights = convert_model({"net": state})
    assert torch.equal(weights["backbone.features.34.bias"], torch.zeros(3))
    assert set(weights) == set(ours)


def test_only_the_trunk(ours):
    weights = convert({"net": port(ours)})
    with torch.device("meta"):
        assert list(weights) == list(VGG("16_bn", large_field=True).state_dict())


@pytest.mark.parametrize("use", ["model", "backbone"])
def test_the_command(ours, tmp_path, use):
    source, target = tmp_path / "vgg_SCNN_DULR_w9.pth", tmp_path / "scnn.safetensors"
    torch.save({"epoch": 0, "net": port(ours) | {"ce_loss.weight": torch.ones(5)}, "optim": None}, source)
    command = ["checkpoint", str(source), str(target), "--from", "scnn", "--as", use, "-q"]
    assert convert_main(command) == 0
    weights = load_file(target)
    expected = ours if use == "model" else convert({"net": port(ours)})
    assert set(weights) == set(expected)
    assert all(torch.equal(value, expected[name]) for name, value in weights.items())


def test_the_command_refuses_images_of_another_size(ours, tmp_path, capsys):
    source, target = tmp_path / "vgg_SCNN_DULR_w9.pth", tmp_path / "scnn.safetensors"
    torch.save(port(ours), source)
    command = ["checkpoint", str(source), str(target), "--from", "scnn", "--set", "input_size=360,640"]
    assert convert_main(command) == 2
    output = capsys.readouterr().err
    assert "images of 360x640, 22 x 40 cells, found one of 900 cells, for images of 288x800" in output
    assert not target.exists()


def test_sizes_that_are_not_usual(ours):
    state = port(ours) | {"fc.0.weight": torch.zeros(3, 5 * 7)}
    assert convert_model(state, input_size=(112, 16)).keys() == ours.keys()
    with pytest.raises(CheckpointError, match=r"18 x 50 cells, found one of 7 cells; build the model with"):
        convert_model(state, input_size=(288, 800))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("fc.2.bias"), r"found 112, and no tensor for head\.existence\.layers\.2\.bias"),
        (lambda state: state.update({"backbone.43.weight": torch.zeros(1)}), r"and one for backbone\.features\.43"),
        (
            lambda state: state.update({"decoder.weight": torch.zeros(1)}),
            r"only tensors of SCNN, found decoder\.weight",
        ),
        (
            lambda state: state.update({"message_passing.up_down.weight": torch.zeros(2, 2, 9, 1)}),
            r"a kernel \(C, C, 1, K\) for head\.messages\.down\.weight, found \(2, 2, 9, 1\)",
        ),
        (lambda state: state.pop("backbone.0.weight"), "expected SCNN's names"),
        (
            lambda state: state.update({"message_passing.up_down.bias": torch.zeros(2)}),
            r"and one for head\.messages\.down\.bias",
        ),
        (lambda state: state.clear(), "found no tensors"),
    ],
)
def test_files_that_are_not_whole(ours, change, message):
    state = port(ours)
    change(state)
    with pytest.raises(CheckpointError, match=message):
        convert_model(state)


def test_files_state_their_image_size(ours):
    whole = port(ours)
    assert input_of(whole) == {
        "mean": [123.675, 116.28, 103.53],
        "std": [58.395, 57.12, 57.375],
        "size": [288, 800],
    }
    torch7 = {name: torch.zeros_like(value) if name.endswith("bias") else value for name, value in whole.items()}
    assert input_of(torch7)["mean"] == [91.749, 93.1515, 93.381]
    assert "size" not in input_of(whole | {"fc.0.weight": torch.zeros(3, 5 * 7)})


@pytest.mark.parametrize(("mean", "warns"), [([123.675, 116.28, 103.53], False), ([91.749, 93.1515, 93.381], True)])
def test_loading_warns_of_another_normalisation(ours, tmp_path, mean, warns, recwarn):
    source, target = tmp_path / "exp0_best.pth", tmp_path / "scnn.safetensors"
    torch.save(port(ours), source)
    assert convert_main(["checkpoint", str(source), str(target), "--from", "scnn", "-q"]) == 0
    preprocessor = TaskPreprocessor(mean, [58.395, 57.12, 57.375])
    warn_of_other_normalisation(torch.nn.ModuleDict({"data_preprocessor": preprocessor}), target)
    messages = [str(warning.message) for warning in recwarn if "these weights need" in str(warning.message)]
    assert bool(messages) == warns
    assert all("model.data_preprocessor.mean=[123.675,116.28,103.53]" in line for line in messages)


@pytest.mark.parametrize("meta", ['{"input": 3}', '{"input": {"mean": "red", "std": [null]}}', "[]"])
def test_headers_with_other_content_are_not_an_error(tmp_path, meta, recwarn):
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors", metadata={"meta": meta})
    preprocessor = TaskPreprocessor([0.0] * 3, [1.0] * 3)
    warn_of_other_normalisation(torch.nn.ModuleDict({"data_preprocessor": preprocessor}), tmp_path / "x.safetensors")
    assert not recwarn.list
