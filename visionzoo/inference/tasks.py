"""What each task's result is: how it is taken from a model's sample and how it is drawn. One row per task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from visionzoo.errors import UnknownName
from visionzoo.reports.pictures import draw_detections
from visionzoo.structures.detections import Detections, detections_of


@dataclass(frozen=True)
class TaskResult:
    """One row of the table.

    Attributes:
        read: (sample, (width, height), class names) to the result; a result has ``above(threshold)`` and ``to_json()``.
        draw: (RGB picture, result, scale) to an RGB picture, enlarged so many times.
        coco: (result, image id, category ids by label) to entries of COCO's results format; None for tasks without one.
    """

    read: Callable[[Any, tuple[int, int], Sequence[str] | None], Detections]
    draw: Callable[[np.ndarray, Detections, int], np.ndarray]
    coco: Callable[[Detections, int, Sequence[int] | None], list[dict[str, Any]]] | None = None


def _read_instances(sample: Any, size: tuple[int, int], names: Sequence[str] | None) -> Detections:
    return detections_of(sample.pred_instances, size, names)


_BOXES = TaskResult(read=_read_instances, draw=draw_detections, coco=Detections.to_coco)

TASKS = {"detection": _BOXES, "instances": _BOXES}


def task_result(task: str) -> TaskResult:
    """The row of ``task``.

    Raises:
        UnknownName: inference does not know the task.
    """
    if task not in TASKS:
        raise UnknownName(task, kind="task", known=TASKS)
    return TASKS[task]
