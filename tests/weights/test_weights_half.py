"""Weights in half precision: every tensor, the class names, and nothing of the machine that trained them."""

from __future__ import annotations

import pytest
import torch
from safetensors import safe_open

from visionzoo.errors import CheckpointError
from visionzoo.weights.half import write_half
from visionzoo.weights.loading import load_weights, read_weights


def run_file(folder, weights, **meta):
    path = folder / "best.pth"
    torch.save({"state_dict": weights, "meta": meta}, path)
    return path


def test_tensors_and_class_names_are_kept(tmp_path):
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    names = {"classes": ("cat", "dog"), "category_ids": [3, 7], "ann_file": "/home/me/a.json"}
    source = run_file(tmp_path, net.state_dict(), dataset_meta=names, cfg="data_root = '/home/me'", epoch=6, seed=2)
    target = tmp_path / "weights" / "half.safetensors"
    assert write_half(source, target) == target.stat().st_size
    halves = read_weights(target)
    assert {name: value.dtype for name, value in halves.items() if value.is_floating_point()} == {
        name: torch.float16 for name, value in net.state_dict().items() if value.is_floating_point()
    }
    assert halves["1.num_batches_tracked"].dtype == torch.int64
    with safe_open(target, "pt") as file:
        meta = file.metadata()["meta"]
    assert '"classes": ["cat", "dog"], "category_ids": [3, 7]' in meta
    assert '"epoch": 6' in meta
    assert "/home/me" not in meta


def test_a_float32_model_loads_them(tmp_path):
    torch.manual_seed(0)
    net, other = torch.nn.Linear(5, 3), torch.nn.Linear(5, 3)
    write_half(run_file(tmp_path, net.state_dict()), tmp_path / "half.safetensors")
    assert load_weights(other, tmp_path / "half.safetensors").fits
    assert other.weight.dtype == torch.float32
    torch.testing.assert_close(other.weight, net.weight, rtol=1e-3, atol=1e-4)


def test_values_beyond_half_precision(tmp_path):
    source = run_file(tmp_path, {"norm.running_var": torch.tensor([1.0, 7e4])})
    with pytest.raises(CheckpointError, match=r"norm\.running_var: expected values below 65504.*, found 70000"):
        write_half(source, tmp_path / "half.safetensors")
    assert not (tmp_path / "half.safetensors").exists()
