"""Outcomes of cells: what works, and that what fails is a failure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from torch import nn

from visionzoo.analysis.matrix import cells
from visionzoo.analysis.matrix.cells import FAILED, WORKS, Cell, run_cell
from visionzoo.analysis.matrix.data import head_data
from visionzoo.analysis.matrix.parts import Head
from visionzoo.analysis.matrix.predicting import require_json
from visionzoo.analysis.matrix.running import cells_of
from visionzoo.errors import RunFailed
from visionzoo.heads.classification import ClassificationHead
from visionzoo.registry import MODELS


class Spare(ClassificationHead):
    """A head with a layer that it never uses."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.spare = nn.Linear(2, 2)


class Endless(ClassificationHead):
    """A head whose loss is infinite."""

    def loss(self, feats, batch):
        return {name: value / 0 for name, value in super().loss(feats, batch).items()}


class Blind(ClassificationHead):
    """A head whose scores are not numbers."""

    def predict(self, feats, batch):
        samples = super().predict(feats, batch)
        for sample in samples:
            sample.pred_score = torch.full_like(sample.pred_score, torch.nan)
        return samples


class Raising(ClassificationHead):
    """A head that cannot be built."""

    def __init__(self, *args, **kwargs):
        raise ValueError("no memory of the map")


@contextmanager
def registered(cls: type) -> Iterator[None]:
    MODELS.register_module(module=cls)
    try:
        yield
    finally:
        MODELS.module_dict.pop(cls.__name__)


def classifier() -> Cell:
    (cell,) = cells_of(["BossNet"], ["no neck"], ["ClassificationHead"])
    return cell


def outcome_of(monkeypatch: pytest.MonkeyPatch, head: type) -> dict:
    """Return the outcome of a classifier with another head."""
    cell = classifier()
    data = head_data(cell.head.config)
    model = {**data.model, "head": {"type": head.__name__}}
    monkeypatch.setattr(cells, "head_data", lambda config: replace(data, model=model))
    with registered(head):
        return run_cell(replace(cell, head=replace(cell.head, name=head.__name__, model=model)))


def test_a_classifier_works() -> None:
    outcome = run_cell(classifier())
    assert outcome["status"] == WORKS, outcome
    assert outcome["loss"] > 0
    assert outcome["seconds"] > 0


@pytest.mark.parametrize("head", ["mmdet.MaskRCNN", "mmseg.UPerHead"])
def test_heads_of_libraries_work_on_a_trunk_that_reads_phrases(head: str) -> None:
    (cell,) = cells_of(["LAVTSwin"], ["no neck"], [head])
    outcome = run_cell(cell)
    assert outcome["status"] == WORKS, outcome
    assert "note" not in outcome


@pytest.mark.parametrize("head", ["ICNetHead (2-D)", "VoxelMorphHead (2-D)"])
@pytest.mark.parametrize("backbone", ["LAVTSwin", "timm.vit*"])
def test_heads_of_pairs_work_on_trunks_of_images(backbone: str, head: str) -> None:
    (cell,) = cells_of([backbone], ["no neck"], [head])
    outcome = run_cell(cell)
    assert outcome["status"] == WORKS, outcome
    assert "note" not in outcome


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (Spare, "2 tensors of .* get no gradient: head.spare.bias, head.spare.weight"),
        (Endless, "the loss is inf"),
        (Blind, "scores that are not finite"),
        (Raising, "no memory of the map"),
    ],
)
def test_a_part_that_fails_is_a_failure(monkeypatch: pytest.MonkeyPatch, head: type, reason: str) -> None:
    outcome = outcome_of(monkeypatch, head)
    assert outcome["status"] == FAILED
    assert re.search(reason, outcome["reason"]), outcome["reason"]
    assert "Traceback" in outcome["trace"]


@pytest.mark.parametrize("values", [{"score": float("nan")}, {"boxes": [[0.0, float("inf")]]}])
def test_a_result_that_is_not_finite_is_an_error(values: dict) -> None:
    with pytest.raises(RunFailed, match="the prediction has a number that is not finite"):
        require_json(values)


def test_a_head_without_a_config_is_a_failure() -> None:
    outcome = run_cell(replace(classifier(), head=Head("Lonely", "", None)))
    assert outcome["status"] == FAILED
    assert outcome["reason"].startswith("no config uses Lonely")


def test_maps_that_the_head_does_not_read_are_said() -> None:
    (cell,) = cells_of(["BossNet"], ["mmdet.FPN"], ["ClassificationHead"])
    outcome = run_cell(cell)
    assert outcome["status"] == WORKS, outcome
    assert outcome["note"].startswith("The head does not read maps 0, 1, 2 of the trunk")


def test_maps_that_the_backbone_does_not_return_are_said() -> None:
    (cell,) = cells_of(["timm.hrnet*"], ["no neck"], ["mmdet.RetinaHead"])
    outcome = run_cell(cell)
    assert outcome["status"] == WORKS, outcome
    assert outcome["note"].startswith("The head reads one map of the backbone, so ")
