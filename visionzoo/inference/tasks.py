"""What each task's result is: how it is taken from a model's sample, drawn and written. One row per task."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from PIL import Image

from visionzoo.errors import UnknownName
from visionzoo.reports.images import draw_class_scores, draw_count, draw_detections, draw_lanes, draw_saliency
from visionzoo.structures.class_scores import ClassScores, class_scores_of
from visionzoo.structures.counts import CrowdCount, count_of
from visionzoo.structures.detections import Detections, detections_of
from visionzoo.structures.lanes import Lanes, lanes_of
from visionzoo.structures.saliency_maps import SaliencyMap, saliency_map_of
from visionzoo.structures.task_sample import TaskSample

_TUSIMPLE_HEIGHT, _TUSIMPLE_ROWS = 720, range(160, 720, 10)


class Result(Protocol):
    """What a model found in one input."""

    def above(self, threshold: float) -> Self:
        """What scores at least ``threshold``."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""


@dataclass(frozen=True)
class ResultFile:
    """A file that is written for every input.

    Attributes:
        key: what the input's line calls it, ``result.KEY``.
        folder: where it lies in the output folder.
        suffix: in place of the input's own.
        content: result to the bytes of the file.
    """

    key: str
    folder: str
    suffix: str
    content: Callable[[Any], bytes]


@dataclass(frozen=True)
class ResultLines:
    """A file of JSON lines in another tool's format, one for every input that has a result.

    Attributes:
        name: of the file in the output folder.
        line: (result, path of the input below the given folder, (width, height), seconds that the model took) to the
            line's values.
    """

    name: str
    line: Callable[[Any, str, tuple[int, int], float], dict[str, Any]]


@dataclass(frozen=True)
class TaskResult:
    """One row of the table.

    Attributes:
        read: (sample, (width, height), class names) to the :class:`Result`.
        draw: (RGB image, result, scale) to an RGB image, enlarged so many times.
        threshold: results below are left out unless the user says another number.
        coco: (result, image id, category ids by label) to entries of COCO's results format; None for tasks without one.
        row: result to a row of ``predictions.csv``, the same columns always; None for tasks without one.
        files: files of its own for every input.
        lines: a file of lines in another tool's format; None for tasks without one.
    """

    read: Callable[[Any, tuple[int, int], Sequence[str] | None], Any]
    draw: Callable[[np.ndarray, Any, int], np.ndarray]
    threshold: float
    coco: Callable[[Any, int, Sequence[int] | None], list[dict[str, Any]]] | None = None
    row: Callable[[Any], dict[str, Any]] | None = None
    files: tuple[ResultFile, ...] = ()
    lines: ResultLines | None = None


def _read_instances(sample: Any, size: tuple[int, int], names: Sequence[str] | None) -> Detections:
    return detections_of(sample.pred_instances, size, names)


def _read_classes(sample: Any, size: tuple[int, int], names: Sequence[str] | None) -> ClassScores:
    return class_scores_of(sample.pred_score, names)


def _read_map(sample: Any, size: tuple[int, int], names: Sequence[str] | None) -> SaliencyMap:
    return saliency_map_of(sample.pred_map, sample.get("pred_mask"))


def _map_file(found: SaliencyMap) -> bytes:
    file = io.BytesIO()
    Image.fromarray(found.to_grey()).save(file, format="PNG")
    return file.getvalue()


def _read_lanes(sample: Any, size: tuple[int, int], names: Sequence[str] | None) -> Lanes:
    return lanes_of(sample)


def _lines_file(found: Lanes) -> bytes:
    return found.to_culane().encode()


def _tusimple_line(found: Lanes, path: str, size: tuple[int, int], seconds: float) -> dict[str, Any]:
    """TuSimple's own rows in images of its height, else those that have points."""
    own = sorted({float(y) for lane in found.points for y in lane[:, 1]})
    rows = list(_TUSIMPLE_ROWS) if size[1] == _TUSIMPLE_HEIGHT else own
    return {
        "raw_file": path,
        "lanes": found.to_tusimple(rows),
        "h_samples": [int(row) if float(row).is_integer() else round(row, 3) for row in rows],
        "run_time": round(1000 * seconds, 3),
    }


def _read_count(sample: Any, size: tuple[int, int], names: Sequence[str] | None) -> CrowdCount:
    return count_of(sample, size)


def _density_file(found: CrowdCount) -> bytes:
    file = io.BytesIO()
    np.save(file, found.density)
    return file.getvalue()


_BOXES = TaskResult(read=_read_instances, draw=draw_detections, threshold=0.3, coco=Detections.to_coco)
_CLASSES = TaskResult(read=_read_classes, draw=draw_class_scores, threshold=0.0, row=ClassScores.to_row)
_MAPS = TaskResult(
    read=_read_map,
    draw=draw_saliency,
    threshold=0.0,
    row=SaliencyMap.to_json,
    files=(ResultFile("map", "raw", ".png", _map_file),),
)
_LANES = TaskResult(
    read=_read_lanes,
    draw=draw_lanes,
    threshold=0.0,
    row=Lanes.to_row,
    files=(ResultFile("lines", "lines", ".lines.txt", _lines_file),),
    lines=ResultLines("tusimple.json", _tusimple_line),
)
_COUNTS = TaskResult(
    read=_read_count,
    draw=draw_count,
    threshold=0.0,
    row=CrowdCount.to_row,
    files=(ResultFile("density", "raw", ".npy", _density_file),),
)

TASKS = {
    "classification": _CLASSES,
    "co_saliency": _MAPS,
    "counting": _COUNTS,
    "detection": _BOXES,
    "instances": _BOXES,
    "lanes": _LANES,
    "saliency": _MAPS,
}


def members_of(sample: Any) -> list[TaskSample]:
    """The sample of a group as one sample for each of its images."""
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
