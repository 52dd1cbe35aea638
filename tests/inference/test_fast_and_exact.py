"""Inference and tests in the fast form of a model write the same files as its plain form, up to rounding."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from inference_scenes import scene
from PIL import Image

from visionzoo import Inferencer
from visionzoo.cli import test
from visionzoo.cli.infer import main
from visionzoo.errors import ConfigError
from visionzoo.zoo import get_model

EXACT = {"name": "exact"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "images"
    path.mkdir()
    for seed in range(2):
        Image.fromarray(scene(60, 90, seed)).save(path / f"{seed}.png")
    return path


def written(out: Path) -> tuple[list[Any], dict[str, Any]]:
    lines = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    return lines, json.loads((out / "run.json").read_text())


def assert_close(one: Any, other: Any) -> None:
    """Compare nested values of JSON: numbers up to 1e-4, all others exactly."""
    if isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            assert_close(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_close(a, b)
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-4)
    else:
        assert one == other


MODELS = {
    "classifier": ("efficientnet_lite0_imagenet", []),
    "segmentor": ("connnet_r50", ["--threshold", "0.5"]),
    "detector": ("rcnet_retinanet", ["--threshold", "0", "--cfg-options", "model.test_cfg.score_thr=0.0"]),
}


@pytest.mark.parametrize("kind", MODELS)
def test_both_forms_write_the_same_files(kind, folder, tmp_path, capsys, detector_weights):
    name, options = MODELS[kind]
    weights = str(detector_weights) if kind == "detector" else "none"
    runs, printed = [], []
    for form in ([], ["--exact"]):
        out = tmp_path / f"out{len(runs)}"
        fixed = ["--tiny", "--device", "cpu", "--weights", weights, "-q", "--json", "-o", str(out)]
        assert main([name, str(folder), *fixed, *form, *options]) == 0
        runs.append(written(out))
        printed.append(json.loads(capsys.readouterr().out)["form"])
    (fast, fast_run), (exact, exact_run) = runs
    assert printed == ["fast", "exact"]
    assert fast_run["form"]["folded_norms"] > 10
    assert exact_run["form"] == EXACT
    weights_hash = "hash of the weights"
    assert fast_run["settings"][weights_hash] == exact_run["settings"][weights_hash]
    assert exact_run["settings"]["--exact"]
    assert_close(fast, exact)
    assert len(fast) == 2
    for path in (tmp_path / "out0").rglob("raw/*.png"):
        other = cv2.imread(str(tmp_path / "out1" / path.relative_to(tmp_path / "out0")), cv2.IMREAD_UNCHANGED)
        assert np.abs(cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(int) - other).max() <= 1


def test_the_model_of_an_inferencer_stays_plain():
    inferencer = Inferencer("efficientnet_lite0_imagenet", "none", tiny=True, device="cpu")
    before, keys = inferencer.fingerprint(), list(inferencer.model.state_dict())
    first = inferencer.one(scene(40, 50)).result.scores
    assert inferencer.form["name"] == "fast"
    assert inferencer.fingerprint() == before
    assert list(inferencer.model.state_dict()) == keys
    assert all(value.is_contiguous() for value in inferencer.model.state_dict().values())
    with torch.no_grad():
        inferencer.model.head.fc.bias[7] += 5
    assert inferencer.one(scene(40, 50)).result.labels[0] == 7
    assert first.max() < 0.5


def test_both_forms_have_the_same_metrics(tmp_path, capsys):
    weights = tmp_path / "weights.pth"
    torch.manual_seed(0)
    torch.save({"state_dict": get_model("connnet_r50", tiny=True).state_dict()}, weights)
    outcomes = []
    for form in ([], ["--exact"]):
        out = tmp_path / f"out{len(outcomes)}"
        fixed = ["--tiny", "--device", "cpu", "--weights", str(weights), "--max-samples", "2", "--no-report", "-q"]
        assert test.main(["connnet_r50", *fixed, "--json", "-o", str(out), *form]) == 0
        outcomes.append(json.loads(capsys.readouterr().out))
        assert json.loads((out / "metrics.json").read_text())["form"]["name"] == outcomes[-1]["form"]
    fast, exact = outcomes
    assert (fast["form"], exact["form"]) == ("fast", "exact")
    assert_close(fast["metrics"], exact["metrics"])
    assert fast["metrics"]


def test_an_exported_file_has_one_form(tmp_path):
    with pytest.raises(ConfigError, match="no exact for an exported model"):
        Inferencer(tmp_path / "model.onnx", exact=True)
