"""What each task's result is: how it is taken from a model's sample, drawn and written. One row per task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np

from visionzoo.errors import UnknownName
from visionzoo.reports.pictures import draw_class_scores, draw_detections, draw_saliency
from visionzoo.structures.class_scores import ClassScores, class_scores_of
from visionzoo.structures.detections import Detections, detections_of
from visionzoo.structures.saliency_maps import SaliencyMap, saliency_map_of
from visionzoo.structures.task_sample import TaskSample


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
        raw: result to a picture of its own, (H, W) or (H, W, 3) uint8, for ``raw/``; None for tasks without one.
    """

    read: Callable[[Any, tuple[int, int], Sequence[str] | None], Any]
    draw: Callable[[np.ndarray, Any, int], np.ndarray]
    threshold: float
    coco: Callable[[Any, int, Sequence[int] | None], list[dict[str, Any]]] | None = None
    row: Callable[[Any], dict[str, Any]] | None = None
    raw: Callable[[Any], np.ndarray] | None = None


def _read_instances(sample: Any, size: tuple[int, int], names: Sequence[str] | None) -> Detections:
    return detections_of(sample.pred_instances, size, names)


def _read_classes(sample: Any, size: tuple[int, int], names: Sequence[str] | None) -> ClassScores:
    return class_scores_of(sample.pred_score, names)


def _read_map(sample: Any, size: tuple[int, int], names: Sequence[str] | None) -> SaliencyMap:
    return saliency_map_of(sample.pred_map, sample.get("pred_mask"))


_BOXES = TaskResult(read=_read_instances, draw=draw_detections, threshold=0.3, coco=Detections.to_coco)
_CLASSES = TaskResult(read=_read_classes, draw=draw_class_scores, threshold=0.0, row=ClassScores.to_row)
_MAPS = TaskResult(read=_read_map, draw=draw_saliency, threshold=0.0, row=SaliencyMap.to_json, raw=SaliencyMap.to_grey)

TASKS = {
    "classification": _CLASSES,
    "co_saliency": _MAPS,
    "detection": _BOXES,
    "instances": _BOXES,
    "saliency": _MAPS,
}


def members_of(sample: Any) -> list[TaskSample]:
    """The sample of a group as one sample for each of its pictures."""
    maps = sample.pred_map if isinstance(sample.pred_map, list) else [sample.pred_map]
    return [TaskSample(pred_map=each) for each in maps]


def task_result(task: str) -> TaskResult:
    """The row of ``task``.

    Raises:
        UnknownName: inference does not know the task.
    """
    if task not in TASKS:
        raise UnknownName(task, kind="task", known=TASKS)
    return TASKS[task]
