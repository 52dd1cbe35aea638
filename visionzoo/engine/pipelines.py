"""Test pipelines of a config: that of each task, and that of inference, which serves all tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from visionzoo.config.data_parts import config_of_task, innermost
from visionzoo.config.tree import plain
from visionzoo.datasets.transforms.cropping import cropping_steps
from visionzoo.datasets.transforms.providing import provided_by
from visionzoo.registry import task_names
from visionzoo.tasks import task_of


def pipeline_of_task(cfg: Mapping[str, Any], task: str) -> list[Any]:
    """Return the test pipeline of the data of a task, else its validation pipeline; empty if it has neither.

    Example:
        >>> pipeline_of_task({"test_dataloader": {"dataset": {"pipeline": [{"type": "LoadImage"}]}}}, "lanes")
        [{'type': 'LoadImage'}]
    """
    own = config_of_task(cfg, task)
    for split in ("test", "val"):
        dataset = innermost((own.get(f"{split}_dataloader") or {}).get("dataset") or {})
        if dataset.get("pipeline"):
            return list(plain(dataset["pipeline"]))
    return []


def changing_steps(pipeline: Iterable[Any]) -> list[Any]:
    """Return the steps of a pipeline without those that load images and ground truth."""
    return [step for step in pipeline if not provided_by(step)]


def inference_notes(cfg: Mapping[str, Any], tasks: Iterable[str]) -> list[str]:
    """Return a sentence for each way in which the pipeline of inference changes the results of tasks.

    Example:
        >>> data = {"pipeline": [{"type": "ResizeCrop", "size": 224}]}
        >>> print(*inference_notes({"test_dataloader": {"dataset": data}}, ["lanes"]))
        the test pipeline cuts off parts of the image (ResizeCrop), so results of lanes are not at their place in it
    """
    own = {task: pipeline_of_task(cfg, task) for task in tasks}
    given = cfg.get("infer_pipeline")
    used = plain(given) if given else next(filter(None, own.values()), [])
    notes = []
    others = [task for task, steps in own.items() if steps and changing_steps(steps) != changing_steps(used)]
    if given and others:
        other = "infer_pipeline is not the test pipeline"
        notes.append(f"{other} of {' and '.join(others)}, so infer and test may have other results")
    placed = [task for task in own if task in task_names() and task_of(task).is_placed]
    if placed and (steps := cropping_steps(used)):
        what = f"the {'infer_pipeline' if given else 'test pipeline'} cuts off parts of the image ({', '.join(steps)})"
        notes.append(f"{what}, so results of {' and '.join(placed)} are not at their place in it")
    return notes
