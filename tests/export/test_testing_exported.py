"""`visionzoo test FILE.onnx` measures an exported file as it measures the model."""

from __future__ import annotations

import json

import pytest
import torch
from joint_models import SEEN, config_with_data

from visionzoo.cards.seeding import fill_weights
from visionzoo.cli import main
from visionzoo.config import load_config
from visionzoo.engine.loaders import build_dataset
from visionzoo.errors import ConfigError
from visionzoo.export.measuring import measured
from visionzoo.inference import tested_file
from visionzoo.inference.backends import TaskClasses
from visionzoo.inference.tested_file import as_torch, predict_by_file
from visionzoo.structures.graph_results import GraphSample
from visionzoo.zoo import get_model

NAME = "efficientnet_lite0_imagenet"


@pytest.mark.slow
def test_metrics_equal_those_of_the_model(tmp_path):
    pytest.importorskip("onnxruntime")
    weights, file = tmp_path / "weights.pth", tmp_path / "model.onnx"
    data = build_dataset(load_config(NAME, tiny=True).cfg["test_dataloader"]["dataset"], where="test")
    classes = tuple(data.metainfo["classes"])
    model = get_model(NAME, tiny=True, num_classes=len(classes))
    fill_weights(model, 0)
    torch.save({"state_dict": model.state_dict(), "meta": {"dataset_meta": {"classes": classes}}}, weights)
    assert main(["export", NAME, "--tiny", "--weights", str(weights), "-o", str(file), "-q"]) == 0
    for words, out in ([str(file)], "file"), ([NAME, "--weights", str(weights)], "model"):
        options = ["--tiny", "--max-samples", "6", "--no-report", "-o", str(tmp_path / out), "-q"]
        assert main(["test", *words, *options]) == 0
    found, expected = (json.loads((tmp_path / out / "metrics.json").read_text()) for out in ("file", "model"))
    assert found["metrics"] == pytest.approx(expected["metrics"], abs=1e-4)
    assert measured(load_config(NAME, tiny=True).cfg, file, most=6) == pytest.approx(found["metrics"])
    assert found["weights"] == str(file)
    assert (found["form"], expected["form"]["name"]) == ({"name": "exported"}, "fast")


@pytest.mark.slow
def test_metrics_of_several_tasks_equal_those_of_the_model(tmp_path):
    pytest.importorskip("onnxruntime")
    config, weights, file = config_with_data(tmp_path), tmp_path / "weights.pth", tmp_path / "scene.onnx"
    torch.manual_seed(0)
    torch.save({"state_dict": get_model(config).state_dict()}, weights)
    assert main(["export", str(config), "--weights", str(weights), "-o", str(file), "-q"]) == 0
    found, expected = ({}, {})
    for path, metrics in ((file, found), (weights, expected)):
        out = tmp_path / path.stem
        assert main(["test", str(config), "--weights", str(path), "--no-report", "-o", str(out), "-q"]) == 0
        metrics.update(json.loads((out / "metrics.json").read_text())["metrics"])
    assert {name.partition("/")[0] for name in found} >= set(SEEN)
    assert found == pytest.approx(expected, abs=1e-4, rel=1e-4)
    assert measured(load_config(config).cfg, file) == pytest.approx(found)


def test_other_classes_and_tasks_are_errors(monkeypatch, tmp_path):
    classes = {"detection": TaskClasses(("cat", "dog")), "lanes": TaskClasses()}
    backend = type("Backend", (), {"classes": classes, "tasks": tuple(classes)})()
    monkeypatch.setattr(tested_file, "exported_backend", lambda *args, **options: backend)
    with pytest.raises(ConfigError, match="found 2 classes, cat, dog"):
        predict_by_file(torch.nn.Identity(), tmp_path / "a.onnx", {"detection": ("dog", "cat")})
    with pytest.raises(ConfigError, match="expected the task counting of the data, found detection, lanes"):
        predict_by_file(torch.nn.Identity(), tmp_path / "a.onnx", {"detection": None, "counting": None})
    model = torch.nn.Identity()
    predict_by_file(model, tmp_path / "a.onnx", {"detection": ("cat", "dog"), "lanes": None})
    assert callable(model.test_step)


def test_nested_samples_become_those_of_metrics():
    values = as_torch(GraphSample(boxes=torch.zeros(2, 4).numpy()))
    assert values.boxes.shape == (2, 4)
    assert torch.equal(as_torch([torch.ones(1).numpy()])[0], torch.ones(1))
