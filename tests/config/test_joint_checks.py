"""Tasks, heads, data sets and metrics that do not belong together are problems of the config check."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from visionzoo.config import load_config
from visionzoo.config.checking import check_config
from visionzoo.errors import ConfigError

PACK = [dict(type="LoadImage"), dict(type="PackTaskInputs")]


def config() -> dict[str, Any]:
    data = dict(
        lanes=dict(type="TuSimpleDataset", data_root="a", label_files=["a.json"], pipeline=PACK),
        counting=dict(type="TRANCOSDataset", data_root="b", pipeline=PACK),
    )
    loader = dict(batch_size=4, dataset=dict(type="JointDataset", datasets=data))
    heads = dict(lanes=dict(type="SCNNHead", input_size=(64, 96)), counting=dict(type="DensityHead"))
    metrics = dict(lanes=dict(type="TuSimpleMetric"), counting=[dict(type="CountMetric")])
    return copy.deepcopy(
        dict(
            task=["lanes", "counting"],
            model=dict(
                type="TaskModel",
                backbone=dict(type="BossNet"),
                heads=heads,
                loss_weighting=dict(type="GradNorm", alpha=1.0),
            ),
            train_dataloader={**loader, "sampler": dict(type="JointSampler", mode="mixed")},
            train_cfg=dict(type="EpochBasedTrainLoop", max_epochs=1),
            optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1)),
            val_dataloader=loader,
            val_cfg=dict(type="ValLoop"),
            val_evaluator=dict(type="JointEvaluator", metrics=metrics),
        )
    )


def test_a_joint_config_has_no_problem() -> None:
    assert check_config(config()) == []


def removed(*keys: str) -> Callable[[dict], object]:
    def change(cfg: dict) -> None:
        for key in keys[:-1]:
            cfg = cfg[key]
        del cfg[keys[-1]]

    return change


def put(value: Any, *keys: str) -> Callable[[dict], object]:
    def change(cfg: dict) -> None:
        for key in keys[:-1]:
            cfg = cfg[key]
        cfg[keys[-1]] = value

    return change


DATA = ("train_dataloader", "dataset", "datasets")
METRICS = ("val_evaluator", "metrics")
MISTAKES: dict[str, tuple[Callable[[dict], object], str]] = {
    "a task twice": (put(["lanes", "counting", "lanes"], "task"), "task: lanes is listed twice; a task has one head"),
    "a task without a head": (put(["lanes", "saliency"], "task"), "task: no head in model.heads is called saliency"),
    "a data set without a head": (
        put(dict(type="TRANCOSDataset", data_root="c", pipeline=PACK), *DATA, "saliency"),
        "train_dataloader.dataset.datasets.saliency: no head in model.heads is called saliency; add the head",
    ),
    "a head without data": (
        removed(*DATA, "counting"),
        "model.heads.counting: train_dataloader.dataset.datasets has no data set for it; add one, freeze it, or "
        "remove the head",
    ),
    "one head for a joint data set": (
        lambda cfg: cfg["model"].update(head=cfg["model"].pop("heads")["lanes"]),
        "train_dataloader.dataset.datasets: a joint data set needs model.heads",
    ),
    "a task without a metric": (removed(*METRICS, "lanes"), "val_evaluator.metrics: no metric measures lanes"),
    "a metric without data": (
        removed("val_dataloader", "dataset", "datasets", "lanes"),
        "val_evaluator.metrics.lanes: val_dataloader has no data set for lanes",
    ),
    "metrics for all samples": (
        put(dict(type="CountMetric"), "val_evaluator"),
        'val_evaluator: its metrics would receive the samples of all tasks; write dict(type="JointEvaluator"',
    ),
    "the metric of another task": (
        put(dict(type="CountMetric"), *METRICS, "lanes"),
        "val_evaluator.metrics.lanes.type: CountMetric measures counting, not lanes",
    ),
    "a metric without a type": (
        put(dict(pixels=5), *METRICS, "lanes"),
        "val_evaluator.metrics.lanes: expected a dict with",
    ),
    "a wrong argument of a metric": (
        put([dict(type="CountMetric", levels=1)], *METRICS, "counting"),
        'val_evaluator.metrics.counting.0.levels: CountMetric has no argument "levels"',
    ),
    "a data set without a type": (
        put(dict(data_root="c"), *DATA, "counting"),
        "train_dataloader.dataset.datasets.counting: expected a dict with a type",
    ),
    "a wrong argument of a data set": (
        put("d", *DATA, "counting", "data_rot"),
        'train_dataloader.dataset.datasets.counting.data_rot: TRANCOSDataset has no argument "data_rot"',
    ),
    "a wrong step of a pipeline": (
        put([dict(type="LoadImag")], *DATA, "counting", "pipeline"),
        "train_dataloader.dataset.datasets.counting.pipeline.0.type: no transform is called 'LoadImag'",
    ),
    "GradNorm with one task in turn": (
        put(dict(type="JointSampler", mode="in_turn"), "train_dataloader", "sampler"),
        "model.loss_weighting: GradNorm needs the losses of all tasks in every step; set train_dataloader.sampler",
    ),
    "PCGrad with another sampler": (
        lambda cfg: (
            put(dict(type="PCGrad"), "model", "loss_weighting")(cfg),
            put(dict(type="DefaultSampler"), "train_dataloader", "sampler")(cfg),
        ),
        "model.loss_weighting: PCGrad needs the losses of all tasks in every step",
    ),
    "GradNorm with a frozen head without data": (
        lambda cfg: (removed(*DATA, "counting")(cfg), put("heads.counting", "freeze")(cfg)),
        "model.loss_weighting: GradNorm needs the losses of all tasks in every step, and train_dataloader has no data "
        "set for counting; add one",
    ),
    "a weighting without a type": (
        put(dict(alpha=1), "model", "loss_weighting"),
        "model.loss_weighting: expected a dict with",
    ),
    "a wrong argument of a weighting": (
        put(dict(type="FixedWeights", weight=1), "model", "loss_weighting"),
        'model.loss_weighting.weight: FixedWeights has no argument "weight"; did you mean weights?',
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_each_mistake_is_named(mistake: str) -> None:
    change, text = MISTAKES[mistake]
    cfg = config()
    change(cfg)
    problems = check_config(cfg)
    assert any(text in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("freeze", "needs_data"),
    [
        ("heads.counting", False),
        (["backbone", "heads.counting.*"], False),
        (["heads.*"], False),
        ("heads", False),
        (["*.bias"], True),
        ("heads.lanes", True),
        (["heads.counting.layers.*"], True),
        (3, True),
    ],
    ids=str,
)
def test_only_a_frozen_head_needs_no_data(freeze: Any, needs_data: bool) -> None:
    cfg = {**config(), "freeze": freeze}
    removed(*DATA, "counting")(cfg)
    problems = [problem for problem in check_config(cfg) if "model.heads.counting: " in problem]
    assert bool(problems) == needs_data


def test_a_head_name_twice_is_an_error_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "twice.py"
    path.write_text("model = dict(heads=dict(lanes=dict(type='SCNNHead'), lanes=dict(type='DensityHead')))\n")
    with pytest.raises(ConfigError, match="lanes"):
        load_config(path)
