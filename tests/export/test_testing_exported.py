"""`visionzoo test FILE.onnx` measures an exported file as it measures the model."""

from __future__ import annotations

import json

import pytest
import torch

from visionzoo.cards.seeding import fill_weights
from visionzoo.cli import main
from visionzoo.config import load_config
from visionzoo.engine.loaders import build_dataset
from visionzoo.errors import ConfigError
from visionzoo.export.measuring import measured
from visionzoo.inference import tested_file
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


def test_other_classes_are_an_error(monkeypatch, tmp_path):
    backend = type("Backend", (), {"names": ("cat", "dog")})()
    monkeypatch.setattr(tested_file, "exported_backend", lambda *args, **options: backend)
    with pytest.raises(ConfigError, match="found 2 classes, cat, dog"):
        predict_by_file(torch.nn.Identity(), tmp_path / "a.onnx", ("dog", "cat"))
    model = torch.nn.Identity()
    predict_by_file(model, tmp_path / "a.onnx", ("cat", "dog"))
    assert callable(model.test_step)


def test_nested_samples_become_those_of_metrics():
    values = as_torch(GraphSample(boxes=torch.zeros(2, 4).numpy()))
    assert values.boxes.shape == (2, 4)
    assert torch.equal(as_torch([torch.ones(1).numpy()])[0], torch.ones(1))
