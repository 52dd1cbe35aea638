"""Errors of a model's parts in training: one sentence for a library's part, the exception itself for a user's."""

from __future__ import annotations

import engine_toys
import pytest
import torch
from torch import nn

from visionzoo.engine.model_errors import model_explained
from visionzoo.errors import ConfigError

BATCH = {"inputs": [], "data_samples": [{"img_path": "a.png"}, {"img_path": "b.png"}]}


def part(module: str, error: Exception) -> nn.Module:
    """Return a part of the Python module ``module`` that fails with ``error``, inside one of torch's modules."""

    class Head(nn.Module):
        def forward(self, x):
            raise error

    Head.__module__ = module
    return nn.Sequential(Head())


@pytest.mark.parametrize("module", ["visionzoo.heads.toy", "mmdet.models.toy", "timm.models.toy"])
@pytest.mark.parametrize(
    "error", [TypeError("no loss"), AssertionError(), IndexError("level 5"), RuntimeError("3 != 4")]
)
def test_a_part_of_a_library_is_named_with_the_batch(module, error):
    with pytest.raises(ConfigError) as caught, model_explained(BATCH):
        part(module, error)(0)
    text = str(caught.value)
    assert text.startswith("model, Head: expected arguments that fit the batch, but it fails on a.png, b.png")
    assert f"({type(error).__name__}: {str(error) or 'no reason given'})" in text


@pytest.mark.parametrize(
    ("module", "error"),
    [("my_project", TypeError("a bug")), ("visionzoo.heads.toy", RuntimeError("CUDA out of memory. Tried ..."))],
)
def test_a_part_of_the_user_and_a_lack_of_memory_pass_through(module, error):
    with pytest.raises(type(error), match=str(error)[:5]), model_explained(BATCH):
        part(module, error)(0)


def test_a_part_of_torch_without_a_part_around_it_passes_through():
    with pytest.raises(RuntimeError), model_explained(BATCH):
        nn.Linear(2, 3)(torch.zeros(4, 5))


@pytest.mark.parametrize("dry_run", [False, True])
def test_training_and_dry_run_name_the_part(train_toy, monkeypatch, dry_run):
    def fails(self, inputs, data_samples=None, mode="tensor"):
        raise TypeError("no loss of three values")

    monkeypatch.setattr(engine_toys.ToyNet, "forward", fails)
    monkeypatch.setattr(engine_toys.ToyNet, "__module__", "visionzoo.toy")
    with pytest.raises(ConfigError, match=r"model, ToyNet: .* fails on \d+\.jpg.*TypeError: no loss of three values"):
        train_toy("run", dry_run=dry_run)
