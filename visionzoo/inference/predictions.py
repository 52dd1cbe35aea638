"""What the Inferencer returns for one input: the result of one task, or those of all tasks of a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from visionzoo.errors import ZooError
from visionzoo.tasks import JointResult, Result
from visionzoo.tasks.inputs.base import Source


@dataclass(frozen=True)
class Prediction:
    """Prediction for one input: either a ``result`` or an ``error``.

    The prediction of a model with several tasks is a :class:`JointPrediction`.

    Attributes:
        source: the input, with its name.
        task: task of the model.
        model: name of its config.
        size: (width, height) in pixels of the image after applying its EXIF orientation; None on error.
        result: result of the task, such as boxes or classes. Its coordinates are pixels of an image of this size.
        error: exception with the reason why the input has no result; else None.
        group: folder of the images, for models that process several images together; else None.
        group_size: number of images in that group, including unusable ones.
        image: the image, (H, W, 3) uint8 RGB, if images are kept.
        seconds: run time of the model, without reading and preparing. The time of a batch or group is divided equally
            among its inputs.
        best_score: best score of the results before the threshold; None without results or scores.

    Example:
        >>> from pathlib import Path
        >>> from visionzoo.errors import InputError
        >>> source = Source("a.jpg", None, Path("a.jpg"))
        >>> Prediction(source, "lanes", "scnn_culane", error=InputError("a.jpg: it is too small")).record()
        {'input': 'a.jpg', 'error': 'a.jpg: it is too small'}
    """

    source: Source
    task: str
    model: str
    size: tuple[int, ...] | None = None
    result: Result | None = None
    error: ZooError | None = None
    group: str | None = None
    group_size: int = 1
    image: np.ndarray | None = None
    seconds: float | None = None
    best_score: float | None = None

    @property
    def results(self) -> Mapping[str, Any]:
        """Results by task. A task without a result is missing."""
        return {} if self.result is None else {self.task: self.result}

    @property
    def errors(self) -> Mapping[str, ZooError]:
        """Errors by task."""
        return {} if self.error is None else {self.task: self.error}

    def by_task(self) -> Mapping[str, Prediction]:
        """Return the prediction of each task."""
        return {self.task: self}

    def in_group(self, name: str, size: int) -> Prediction:
        """Return the prediction for one of ``size`` images of a group."""
        return replace(self, group=name, group_size=size)

    def record(self) -> dict[str, Any]:
        """Return a line of ``predictions.jsonl`` as JSON values.

        For a frame of a video it also has ``frame`` and, if known, ``time``.
        """
        about = {"input": self.source.name, **self.source.columns, **self._context()}
        if self.error is not None or self.result is None or self.size is None:
            return {**about, "error": str(self.error)}
        return {
            **about,
            "size": list(self.size),
            "task": self.task,
            "model": self.model,
            "result": self.result.to_json(),
        }

    def _context(self) -> dict[str, Any]:
        """Return the entries for the group or the video frame."""
        context: dict[str, Any] = {} if self.group is None else {"group": self.group}
        frame = self.source.frame
        if frame is not None:
            context["frame"] = frame.number
            if frame.seconds is not None:
                context["time"] = round(frame.seconds, 3)
        return context


@dataclass(frozen=True)
class JointPrediction(Prediction):
    """Prediction of a model with several tasks for one input.

    ``task`` has the names of all tasks, separated by commas. ``result`` has the results of all tasks without an error.
    ``error`` is the first error of a task; an input that cannot be read is an error of every task.

    Attributes:
        parts: the prediction of each task, in the order of the model.

    Example:
        >>> from pathlib import Path
        >>> from visionzoo.errors import InputError
        >>> source, error = Source("a.jpg", None, Path("a.jpg")), InputError("a.jpg: it is too small")
        >>> parts = {name: Prediction(source, name, "road_scene", error=error) for name in ("lanes", "counting")}
        >>> joint = joint_prediction(parts)
        >>> joint.task, joint.results, sorted(joint.errors)
        ('lanes, counting', {}, ['counting', 'lanes'])
    """

    parts: Mapping[str, Prediction] = field(default_factory=dict)

    @property
    def results(self) -> Mapping[str, Any]:
        return {name: part.result for name, part in self.parts.items() if part.result is not None}

    @property
    def errors(self) -> Mapping[str, ZooError]:
        return {name: part.error for name, part in self.parts.items() if part.error is not None}

    def by_task(self) -> Mapping[str, Prediction]:
        return self.parts

    def in_group(self, name: str, size: int) -> Prediction:
        parts = {task: part.in_group(name, size) for task, part in self.parts.items()}
        return replace(self, group=name, group_size=size, parts=parts)

    def record(self) -> dict[str, Any]:
        """Return a line of ``predictions.jsonl``: ``task`` is a list, ``result`` and ``errors`` are by task."""
        record = super().record()
        if self.results:
            about = {key: value for key, value in record.items() if key != "error"}
            record = {**about, **self._values()}
        errors = {name: str(error) for name, error in self.errors.items()}
        return {**record, "errors": errors} if self.results and errors else record

    def _values(self) -> dict[str, Any]:
        result: Any = self.result
        about = {"size": list(self.size or ()), "task": list(self.parts), "model": self.model}
        return {**about, "result": result.to_json()}


def joint_prediction(parts: Mapping[str, Prediction]) -> Prediction:
    """Return one prediction of all tasks; of one task, its own prediction.

    Args:
        parts: predictions for the same input by task, at least one.
    """
    first = next(iter(parts.values()))
    if len(parts) == 1:
        return first
    done = [part for part in parts.values() if part.result is not None]
    results = {part.task: part.result for part in parts.values() if part.result is not None}
    return JointPrediction(
        first.source,
        ", ".join(parts),
        first.model,
        size=next((part.size for part in done), None),
        result=JointResult(results) if results else None,
        error=next((part.error for part in parts.values() if part.error is not None), None),
        group=first.group,
        group_size=first.group_size,
        image=next((part.image for part in done), None),
        seconds=first.seconds,
        parts=parts,
    )
