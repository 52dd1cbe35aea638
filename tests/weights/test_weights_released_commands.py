"""``--weights released`` and an id of the card in train, test and infer, from the address to the results."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save

import visionzoo
from visionzoo.cli import main
from visionzoo.config import load_config
from visionzoo.datasets.tiny import resolve_data_root

NAME = "nasnet_cifar10"
SMALL = ("model.backbone.num_cells=3", "model.backbone.filters=8", "model.backbone.stem_filters=24")
SMALL += ("model.auxiliary_head.classifier.channels=16,32",)
NO_WORKERS = ("num_workers=0", "persistent_workers=False")


@pytest.fixture(scope="module")
def options() -> list[str]:
    """Return options for a small model and drawn data, with the full config, to which released weights belong."""
    data = resolve_data_root("tiny://cifar10?train=20&val=10")
    roots = [f"{split}_dataloader.dataset.data_root={data}" for split in ("train", "val", "test")]
    loaders = [f"{split}_dataloader.{key}" for split in ("train", "val", "test") for key in NO_WORKERS]
    return ["--cfg-options", *SMALL, *roots, *loaders, "ema=None"]


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    model = visionzoo.get_model(NAME, **{text.partition("=")[0]: _value(text) for text in SMALL})
    return {name: value.clone() for name, value in model.state_dict().items()}


def _value(text: str):
    value = text.partition("=")[2]
    return [int(each) for each in value.split(",")] if "," in value else int(value)


@pytest.fixture
def served(server, card, state):
    """Serve the whole model and its backbone, and list them in the card."""
    trunk = {name.removeprefix("backbone."): value for name, value in state.items() if name.startswith("backbone.")}
    whole, part = server.serve("net.safetensors", save(state)), server.serve("trunk.safetensors", save(trunk))
    card(NAME, dict(id="whole", url=whole), dict(id="trunk", url=part, **{"for": "backbone"}))
    return server


def run(*argv: object) -> int:
    return main([str(word) for word in argv])


def trained(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "epoch_1.pth", weights_only=False)["state_dict"]


def test_train_starts_from_the_whole_model_or_from_its_backbone(served, options, state, tmp_path, capsys):
    common = [*options, "train_cfg.max_epochs=1", "optim_wrapper.optimizer.lr=0.0", "auto_scale_lr.enable=False"]
    argv = ["--max-samples", 4, "--device", "cpu", "-q", *common]
    names = [name for name, each in state.items() if each.is_floating_point() and "running" not in name]
    assert run("train", NAME, "--weights", "released", "-o", tmp_path / "whole", *argv) == 0, capsys.readouterr().err
    own = trained(tmp_path / "whole")
    assert all(torch.equal(own[name], state[name]) for name in names)
    assert run("train", NAME, "--weights", "trunk", "-o", tmp_path / "trunk", *argv) == 0
    own = trained(tmp_path / "trunk")
    assert all(torch.equal(own[name], state[name]) for name in names if name.startswith("backbone."))
    assert not torch.equal(own["head.fc.weight"], state["head.fc.weight"])
    saved = load_config(tmp_path / "trunk").cfg.model.backbone.init_cfg
    assert saved == {"type": "Pretrained", "checkpoint": f"released://{NAME}#trunk"}
    assert len(served.requests) == 2


def test_test_and_infer_load_the_whole_model(served, options, image, tmp_path, capsys):
    argv = ["--device", "cpu", *options]
    assert run("test", NAME, "--weights", "released", "-o", tmp_path / "a", "--max-samples", 4, *argv) == 0
    assert json.loads((tmp_path / "a" / "metrics.json").read_text())["weights"].endswith(".safetensors")
    assert run("infer", NAME, image, "-o", tmp_path / "b", "--vis", "none", *argv) == 0
    assert "weights: " in capsys.readouterr().err
    assert (
        run("infer", NAME, tmp_path / "a.png", "--weights", "whole", "-o", tmp_path / "c", "--vis", "none", *argv) == 0
    )
    rows = [(tmp_path / folder / "predictions.jsonl").read_text() for folder in ("b", "c")]
    assert rows[0] == rows[1]
    assert [name for name, _ in served.requests] == ["net.safetensors"]


@pytest.fixture
def image(tmp_path) -> Path:
    Image.fromarray(np.zeros((40, 32, 3), np.uint8)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


@pytest.mark.parametrize("command", ["test", "infer"])
def test_weights_of_the_backbone_are_refused(served, options, image, capsys, command):
    words = [image] if command == "infer" else []
    assert run(command, NAME, *words, "--weights", "trunk", *options) == 2
    assert capsys.readouterr().err.endswith(
        f"error: {NAME}: trunk: expected weights of the whole model, found those of its backbone; train a model with "
        f"them: visionzoo train {NAME} --weights trunk\n"
    )


@pytest.mark.parametrize("command", ["train", "test", "infer"])
def test_without_a_network(served, options, image, tmp_path, monkeypatch, capsys, command):
    monkeypatch.setenv("VISIONZOO_OFFLINE", "")  # restored after the test
    words = [image] if command == "infer" else []
    assert run(command, NAME, *words, "--weights", "released", "--offline", "-o", tmp_path / "out", *options) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: {served.url}/net.safetensors: expected to download these weights, but the network")
    assert "by hand (`curl -L -o net-" in error
    assert served.requests == []
    assert not (tmp_path / "out" / "config.py").exists()


def test_a_file_with_the_name_of_an_id_is_used(served, options, state, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("whole").write_bytes(save(state))
    assert run("test", NAME, "--weights", "whole", "--max-samples", 4, "--device", "cpu", *options) == 0
    assert served.requests == []
    assert load_file("whole").keys() == state.keys()


def test_where_a_file_of_the_package_is(capsys):
    assert run("weights", "where", "cells_rcnet_lite", "--json") == 0
    places = json.loads(capsys.readouterr().out)
    assert (places["download"], places["converted"]) == (None, None)
    assert Path(places["cached"]).is_file()
