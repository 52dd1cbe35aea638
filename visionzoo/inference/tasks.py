"""What each task's result is: how it is taken from a model's sample, drawn and written. One row per task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np

from visionzoo.errors import UnknownName
from visionzoo.reports.pictures import draw_class_scores, draw_detections
from visionzoo.structures.class_scores import ClassScores, class_scores_of
from visionzoo.structures.detections import Detections, detections_of


class Result(Protocol):
    """What a model found in one input."""

    def above(self, threshold: float) -> Self:
        """What scores at least ``threshold``."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""


@dataclass(frozen=True)
class TaskResult:
    """One row of the table.

    Attributes:
        read: (sample, (width, height), class names) to the :class:`Result`.
        draw: (RGB picture, result, scale) to an RGB picture, enlarged so many times.
        threshold: results below are left out unless the user says another number.
        coco: (result, image id, category ids by label) to entries of COCO's results format; None for tasks without one.
        row: result to a row of ``predictions.csv``, the same columns always; None for tasks without one.
    """

    read: Callable[[Any, tuple[int, int], Sequence[str] | None], Any]
    draw: Callable[[np.ndarray, Any, int], np.ndarray]
    threshold: float
    coco: Callable[[Any, int, Sequence[int] | None], list[dict[str, Any]]] | None = None
    row: Callable[[Any], dict[str, Any]] | None = None


def _read_instances(sample: Any, size: tuple[int, int], names: Sequence[str] | None) -> Detections:
    return detections_of(sample.pred_instances, size, names)


def _read_classes(sample: Any, size: tuple[int, int], names: Sequence[str] | None) -> ClassScores:
    return class_scores_of(sample.pred_score, names)


_BOXES = TaskResult(read=_read_instances, draw=draw_detections, threshold=0.3, coco=Detections.to_coco)
_CLASSES = TaskResult(read=_read_classes, draw=draw_class_scores, threshold=0.0, row=ClassScores.to_row)

TASKS = {"classification": _CLASSES, "detection": _BOXES, "instances": _BOXES}


def task_result(task: str) -> TaskResult:
    """The row of ``task``.

    Raises:
        UnknownName: inference does not know the task.
    """
    if task not in TASKS:
        raise UnknownName(task, kind="task", known=TASKS)
    return TASKS[task]
