"""Numbers of every kind reach metrics.json."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from visionzoo.engine.measures import scalars, write_measures

KINDS = [0.5, np.float32(0.5), np.float64(0.5), np.array(0.5), np.array([0.5]), torch.tensor(0.5), torch.tensor([0.5])]


@pytest.mark.parametrize("value", KINDS, ids=lambda value: f"{type(value).__name__} {np.shape(value)}")
def test_every_kind_of_number_is_kept(value):
    assert scalars({"a/b": value}) == {"a/b": 0.5}


@pytest.mark.parametrize("value", [1, np.int64(1), np.uint8(1), True, np.bool_(True), torch.tensor(1)])
def test_whole_numbers_are_numbers(value):
    assert scalars({"n": value}) == {"n": 1.0}


def test_a_number_with_a_gradient_is_a_number():
    assert scalars({"loss": torch.tensor(2.0, requires_grad=True)}) == {"loss": 2.0}


@pytest.mark.parametrize("value", ["0.5", None, [0.5], np.array([0.5, 0.6]), np.array("x"), torch.zeros(2), 1j])
def test_other_values_are_left_out(value):
    assert scalars({"a": value}) == {}


def test_files_hold_plain_json(tmp_path):
    rows = [{"class": "cat", "IoU": np.float32(0.25), "images": np.int64(3)}]
    metrics = {"mIoU": np.float32(0.25), "aAcc": torch.tensor(float("nan")), "names": ["cat"]}
    write_measures(tmp_path, {"name": "x"}, metrics, {"classes": rows})
    stored = json.loads((tmp_path / "metrics.json").read_text())
    assert stored["metrics"] == {"mIoU": 0.25, "aAcc": None}
    assert stored["per_class"] == {"classes": [{"class": "cat", "IoU": 0.25, "images": 3}]}
    assert "mIoU" in (tmp_path / "report.md").read_text()
