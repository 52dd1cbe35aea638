"""HMoDE's parameters, and the conversion of released checkpoints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from visionzoo.cli import main
from visionzoo.errors import CheckpointError
from visionzoo.heads.hmode import convert_model
from visionzoo.models.wiring import build_model
from visionzoo.structures.task_sample import TaskSample

CASE = Path(__file__).parents[1] / "golden" / "crowd_counting" / "hmode_64x96.json"

PARTS = {
    "decoder.blocks.2": 9_438_720,
    "decoder.blocks.1": 5_899_008,
    "decoder.blocks.0": 1_474_944,
    "experts": 57_731,
    "pair_gate": 1_181_446,
    "mixture_gate": 48_371_203,
    "attention": 1_475_073,
}


def model_of(variant="default", backbone="16_bn", device="meta"):
    torch.manual_seed(0)
    with torch.device(device):
        return build_model(
            dict(
                type="TaskModel",
                backbone=dict(type="VGG", variant=backbone, out_indices=(2, 3, 4)),
                head=dict(type="HMoDEHead", variant=variant),
            )
        )


def parameters(part):
    return sum(value.numel() for value in part.parameters())


def released():
    """Return every tensor of the authors' file, on the meta device."""
    state = json.loads(CASE.read_text())["state"]
    return {name: torch.empty(shape, dtype=getattr(torch, dtype), device="meta") for name, shape, dtype in state}


def test_parameters_are_those_of_the_authors():
    model = model_of()
    assert parameters(model) == 82_621_261
    assert parameters(model.backbone) == 14_723_136
    assert {name: parameters(model.head.get_submodule(name)) for name in PARTS} == PARTS
    assert parameters(model.head) == sum(PARTS.values())


def test_a_light_gate_leaves_half_of_the_network_out():
    gate = 512 * 256 * 9 + 256 + 4 * (256 * 256 * 9 + 256) + 256 * 3 + 3
    assert parameters(model_of("light_gate")) == 82_621_261 - PARTS["mixture_gate"] + gate


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("inside", [False, True])
def test_released_files_load_strictly(prefix, inside):
    state = {prefix + name: value for name, value in released().items()}
    checkpoint = dict(model=state, epoch=3, i_tb=7, optimizer={}, record={}) if inside else state
    weights = convert_model(checkpoint)
    expected = model_of().state_dict()
    assert set(weights) == set(expected)
    assert all(weights[name].shape == expected[name].shape for name in expected)


def test_slices_of_the_encoder_go_back_to_one_row_of_layers():
    state = {name: torch.full((1,), float(index)) for index, name in enumerate(released())}
    weights = convert_model(state)
    for theirs, ours in {
        "features1.3.weight": "backbone.features.3.weight",
        "features2.1.bias": "backbone.features.7.bias",
        "features3.8.running_var": "backbone.features.21.running_var",
        "features5.7.weight": "backbone.features.40.weight",
        "de_pred1.1.conv.bias": "head.decoder.blocks.0.1.0.bias",
        "head2.0.conv.weight": "head.experts.1.0.0.weight",
        "gating1.conv2.conv.weight": "head.pair_gate.layers.1.0.weight",
        "gating2.conv6.conv.bias": "head.mixture_gate.layers.5.0.bias",
        "mask.output.conv.weight": "head.attention.layers.2.0.weight",
    }.items():
        assert weights[ours] is state[theirs]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            lambda state: state.pop("de_pred3.0.conv.weight"),
            r"found no de_pred3\.0\.conv\.weight; give one",
        ),
        (lambda state: state.update({"head4.0.conv.weight": torch.zeros(1)}), r"found head4\.0\.conv\.weight; give"),
        (lambda state: state.clear(), r"found no features1\.0\.weight"),
    ],
)
def test_other_networks_are_refused(change, expected):
    state = released()
    change(state)
    with pytest.raises(CheckpointError, match=rf"^checkpoint: expected.*{expected}"):
        convert_model(state)


def test_the_command_writes_them(tmp_path, capsys):
    """Every tensor is replaced by one number: only the mapping of names is tested."""
    state = {f"module.{name}": torch.full((1,), float(at)) for at, name in enumerate(released())}
    torch.save({"model": state, "epoch": 1}, tmp_path / "best_model.pth")
    target = tmp_path / "hmode.safetensors"
    arguments = ["convert", "checkpoint", str(tmp_path / "best_model.pth"), str(target), "--from", "hmode", "-q"]
    assert main(arguments) == 0
    weights = load_file(target)
    assert set(weights) == set(model_of().state_dict())
    assert weights["head.attention.layers.2.0.bias"].item() == list(released()).index("mask.output.conv.bias")
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pth")
    arguments[2:4] = [str(tmp_path / "other.pth"), str(tmp_path / "other.safetensors")]
    assert main(arguments) == 2
    assert "other.pth: checkpoint: expected HMoDE" in capsys.readouterr().err


def test_counts_survive_a_checkpoint(tmp_path):
    model, size = model_of("tiny", "tiny", "cpu").eval(), (75, 101)
    for module in model.head.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
    torch.save(model.state_dict(), tmp_path / "model.pth")
    other = model_of("tiny", "tiny", "cpu")
    with torch.no_grad():
        for value in other.parameters():
            value.add_(1)
    other.load_state_dict(torch.load(tmp_path / "model.pth", weights_only=True))
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    counts = [counts_of(each.eval(), images, size) for each in (model, other)]
    assert counts[0] == counts[1]
    assert min(counts[0]) > 0


def counts_of(model, images, size):
    samples = [TaskSample(metainfo=dict(img_shape=size, batch_input_shape=size)) for _ in images]
    with torch.no_grad():
        return [sample.pred_count.item() for sample in model(images, samples, mode="predict")]
