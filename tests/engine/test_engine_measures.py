"""metrics.json records numbers of every kind, and the task's metric selects the best checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from visionzoo.config import config_names, load_config
from visionzoo.engine.best_metric import best_metric_of, deciding_metric
from visionzoo.engine.measures import as_text, scalars, write_measures

KINDS = {
    "int": 2,
    "float": 2.0,
    "float32": np.float32(2),
    "float64": np.float64(2),
    "int64": np.int64(2),
    "array": np.array(2.0),
    "one_element": np.array([2]),
    "tensor": torch.tensor(2.0),
    "half": torch.tensor(2.0, dtype=torch.bfloat16),
    "tensor_of_one": torch.tensor([[2]]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_numbers_of_every_kind_are_kept(kind: str, tmp_path: Path) -> None:
    rows = {"score": [{"class": "a", "mean": KINDS[kind]}]}
    assert scalars({"m": KINDS[kind]}) == {"m": 2.0}
    assert type(scalars({"m": KINDS[kind]})["m"]) is float
    write_measures(tmp_path, {"name": "toy"}, {"m": KINDS[kind]}, rows)
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert written == {"name": "toy", "metrics": {"m": 2.0}, "per_class": {"score": [{"class": "a", "mean": 2}]}}
    assert "m  2.0000" in as_text({"m": KINDS[kind]}, rows)


def test_many_numbers_share_lines_and_one_class_has_no_table() -> None:
    metrics = {f"coco/bbox_m{number}": 0.0 if number % 5 else -1.0 for number in range(12)}
    lines = as_text(metrics, {"bbox": [{"class": "cat", "AP": 0.0}]}).splitlines()
    assert len(lines) == 3
    assert sum(line.count("coco/bbox_m") for line in lines) == 12
    assert max(map(len, lines)) <= 100
    both = [{"class": "cat", "AP": 0.0}, {"class": "dog", "AP": 0.5}]
    assert as_text({"m": 0.25}, {"bbox": both}).splitlines()[:3] == ["m  0.2500", "", "bbox by class"]


def test_values_that_are_not_numbers_are_left_out() -> None:
    assert scalars({"a": "text", "b": None, "c": np.zeros(2), "d": torch.zeros(2), "e": [1.0]}) == {}


def test_what_json_lacks_is_null_with_a_note(tmp_path: Path) -> None:
    write_measures(tmp_path, {}, {"a": np.float32("nan"), "b": torch.tensor(float("inf")), "c": 1}, {})
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert written["metrics"] == {"a": None, "b": None, "c": 1.0}
    assert written["notes"] == ["a: nan is written as null", "b: inf is written as null"]


def test_absent_numbers_are_dashes_for_readers_and_official_in_json(tmp_path: Path) -> None:
    metrics, rows = {"coco/bbox_mAP_l": -1.0, "mAP": 0.5}, {"bbox": [{"class": "cat", "AP": np.float64(-1)}]}
    write_measures(tmp_path, {"name": "toy"}, metrics, rows)
    report = (tmp_path / "report.md").read_text()
    assert "| coco/bbox_mAP_l | - |" in report
    assert "| cat | - |" in report
    assert "-1" not in report + as_text(metrics, rows)
    assert json.loads((tmp_path / "metrics.json").read_text())["metrics"]["coco/bbox_mAP_l"] == -1.0


# --- the best checkpoint ---


def test_the_deciding_metric_is_the_tasks() -> None:
    measured = ["pairs/agreement", "coco/bbox_mAP", "coco/segm_mAP"]
    assert deciding_metric(best_metric_of("instances"), measured) == ("coco/segm_mAP", "greater")
    assert deciding_metric(best_metric_of("detection"), measured) == ("coco/bbox_mAP", "greater")
    assert deciding_metric(best_metric_of("counting"), ["count/images", "crowd/MAE"]) == ("crowd/MAE", "less")
    assert deciding_metric(best_metric_of("classification"), measured) is None
    assert best_metric_of(None) == best_metric_of("nothing_known") == {}


def test_released_configs_name_the_metric_and_the_rule_that_auto_takes() -> None:
    hooks = {name: load_config(name).cfg.get("default_hooks", {}).get("checkpoint", {}) for name in config_names()}
    stated = {name: hook for name, hook in hooks.items() if "rule" in hook}
    assert stated
    for name, hook in stated.items():
        candidates = best_metric_of(load_config(name).cfg.task)
        assert deciding_metric(candidates, [hook["save_best"]]) == (hook["save_best"], hook["rule"]), name


@pytest.fixture
def counted_toy(toy_config: Path) -> None:
    """Return a counting toy with two metrics; the task's metric, MAE, is second and falls."""
    text = toy_config.read_text().replace('val_evaluator = dict(type="ToyMetric")', "val_evaluator = TWO", 1)
    two = 'TWO = [dict(type="ToyMetric"), dict(type="FallingMetric", prefix="count")]\ntask = "counting"\n'
    toy_config.write_text(text.replace("model = ", two + "model = ", 1))


def test_auto_takes_the_tasks_metric(counted_toy: None, train_toy: Callable, capsys: pytest.CaptureFixture) -> None:
    done = train_toy("run", quiet=False)
    assert "toy/acc" in done["metrics"]
    assert Path(done["best"]).name == "best_count_MAE_epoch_3.safetensors"
    assert "best checkpoint: by" not in capsys.readouterr().err


def test_auto_takes_the_first_metric_with_one_note(train_toy: Callable, capsys: pytest.CaptureFixture) -> None:
    done = train_toy("run", quiet=False)
    assert Path(done["best"]).name.startswith("best_toy_acc_")
    assert capsys.readouterr().err.count("best checkpoint: by toy/acc, the first metric") == 1
