"""One prediction of a model, read by its task."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from visionzoo.analysis.matrix.data import HeadData
from visionzoo.analysis.matrix.training import with_phrases
from visionzoo.errors import RunFailed
from visionzoo.tasks import Task, task_of


def require_predictions(model: Any, data: HeadData, task_name: str) -> None:
    """Predict the validation batch, and read every result as the task does.

    Raises:
        RunFailed: a result has a number that is not finite, or there are fewer results than samples.
    """
    with torch.no_grad():
        predicted = model.eval().val_step(with_phrases(model, data.batch("val")))
    task = task_of(task_name)
    if len(predicted) != len(data.val["data_samples"]):
        raise RunFailed(f"{len(data.val['data_samples'])} samples have {len(predicted)} results")
    for sample, record in zip(predicted, data.records):
        for member, size in _members(task, sample, record):
            result = task.read(member, size, data.names)
            require_json(result.to_json())


def _members(task: Task, sample: Any, record: Mapping[str, Any]) -> Iterator[tuple[Any, tuple[int, ...]]]:
    """Yield each image of a sample with its size."""
    for number, source in enumerate(task.inputs.recorded(record)):
        value = task.inputs.read(source)
        yield task.members(task.inputs.completed(sample, value))[number], task.inputs.size(value)


def require_json(values: Mapping[str, Any]) -> None:
    """Raise an error if a result has a number that is not finite.

    Example:
        >>> require_json({"count": 2.5})
    """
    try:
        json.dumps(values, allow_nan=False)
    except ValueError as error:
        raise RunFailed("the prediction has a number that is not finite") from error
