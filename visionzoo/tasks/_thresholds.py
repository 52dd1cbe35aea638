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
    heads = model.get("heads") or {}
    head, path = (heads[name], f"model.heads.{name}.") if name in heads else (model.get("head"), "model.head.")
    if head is None:
        return task.options(model)
    return [_of_head(option, path) for option in task.options({"test_cfg": {}, **head, "head": head})]


def _of_head(option: str, path: str) -> str:
    """Return an option of a model with one head, or of a library's model, as an option of the head at a path."""
    name = option.removeprefix("model.").removeprefix("head.")
    return f"{path}{name}"
