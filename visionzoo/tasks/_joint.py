"""Several tasks of one model as one task: their results for one input, drawn on one image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from visionzoo.reports.images import enlarged, gathered_labels
from visionzoo.reports.layers import Layer, draw_layers
from visionzoo.tasks._base import Result, Task
from visionzoo.tasks._overview import Overview


@dataclass(frozen=True)
class JointResult:
    """Results of several tasks for one input.

    Attributes:
        results: the result of each task, by task.
        files: paths of the files of each result by :attr:`visionzoo.tasks.ResultFile.key`, by task.
    """

    results: Mapping[str, Result]
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def above(self, threshold: float) -> JointResult:
        """Return the results as they are, because every task has a separate threshold."""
        return self

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values by task."""
        return {name: {**result.to_json(), **self.files.get(name, {})} for name, result in self.results.items()}


class JointTask(Task):
    """The tasks of a model with several heads, whose results for an input are one :class:`JointResult`.

    It has no file in ``visionzoo/tasks``, because a config names its tasks.

    Args:
        tasks: the tasks by name, at least one. All have the same kind of inputs.

    Attributes:
        tasks: the tasks by name.

    Example:
        >>> from visionzoo.tasks import task_of
        >>> both = JointTask({name: task_of(name) for name in ("lanes", "counting")})
        >>> both.inputs.noun, both.images
        ('an image', ('overlay', 'side'))
    """

    selections = ()

    def __init__(self, tasks: Mapping[str, Task]):
        self.tasks = tasks
        first, *others = tasks.values()
        self.inputs = first.inputs  # type: ignore[misc]
        kinds = [kind for kind in first.images if all(kind in other.images for other in others)]
        self.images = tuple(kinds)  # type: ignore[misc]

    def draw(self, image: np.ndarray, result: Any, scale: int) -> np.ndarray:
        """Return the image with the results of all tasks, and a legend below it that names the tasks."""
        layers = []
        with gathered_labels() as labels:
            for name, task in self.tasks.items():
                own = result.results.get(name)
                drawn = None if own is None else task.draw(image, own, scale)
                layers.append(Layer(_titled(name, task, own), task.mark, drawn))
        labels.found.reverse()  # the labels of boxes and lines have less freedom than those of areas
        return draw_layers(enlarged(image, scale), layers, labels)

    def overview(self, result: Any) -> Overview:
        """Return the numbers and classes of all tasks; their names begin with the name of the task."""
        found = {name: self.tasks[name].overview(own) for name, own in result.results.items()}
        numbers = {f"{name} {key}": number for name, each in found.items() for key, number in each.numbers.items()}
        classes = {f"{name}: {key}": value for name, each in found.items() for key, value in each.classes.items()}
        texts = [f"{name}: {each.text}" for name, each in found.items() if each.text]
        return Overview(numbers, classes, "; ".join(texts))

    def said(self, result: Any) -> str:
        """Return the sentences of all tasks about an input, each with the name of its task."""
        found = {name: self.tasks[name].said(own) for name, own in result.results.items()}
        return "; ".join(f"{name}: {text}" for name, text in found.items() if text)


def _titled(name: str, task: Task, result: Any) -> str:
    """Return the line of a task in the legend."""
    text = "no result" if result is None else task.brief(result)
    return f"{name}: {text}" if text else name
