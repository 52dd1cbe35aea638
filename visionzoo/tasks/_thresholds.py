"""Score thresholds that a model applies itself, of a model with one head or with several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from visionzoo.tasks._base import Task


def options_of(name: str, task: Task, model: Mapping[str, Any]) -> list[str]:
    """Return the config options that set the score thresholds of one task of a model to 0, see :meth:`Task.options`.

    Args:
        name: name of the task, which is also the name of its head in a model with several.
        task: the task.
        model: the ``model`` of a config.

    Example:
        >>> from visionzoo.tasks import task_of
        >>> model = {"heads": {"lanes": {"type": "SCNNHead"}, "counting": {"type": "DensityHead"}}}
        >>> options_of("lanes", task_of("lanes"), model)[0]
        'model.heads.lanes.exist_threshold=0.0'
    """
    head = (model.get("heads") or {}).get(name)
    if head is None:
        return task.options(model)
    one = {**model, "head": head, "test_cfg": head.get("test_cfg") or {}}
    return [_of_head(option, name) for option in task.options(one)]


def _of_head(option: str, name: str) -> str:
    """Return the option of the only head as an option of the head of a task."""
    path, _, value = option.partition("=")
    if path.startswith("model.head."):
        path = path.replace("model.head.", f"model.heads.{name}.", 1)
    elif path.startswith("model.test_cfg."):
        path = path.replace("model.test_cfg.", f"model.heads.{name}.test_cfg.", 1)
    return f"{path}={value}"
