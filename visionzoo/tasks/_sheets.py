"""Images of one tested sample: its truth beside its prediction, drawn by its task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from visionzoo.reports.images import contact_sheet, scale_to_read, thumbnail
from visionzoo.reports.run_report import Shown
from visionzoo.tasks._base import Task

_LONGEST, _LONGEST_ALONE = 800, 1500  # pixels of an image of two, and of one
_OF_A_GROUP, _SIDE = 9, 256  # images of a group that are drawn, and their sides


@dataclass(frozen=True)
class SampleToDraw:
    """One tested sample.

    Attributes:
        sample: data sample with ground truth and predictions.
        record: values of the data set before the pipeline; empty if they are not known.
        fed: the model's input, (H, W, 3) uint8 RGB, for samples without an image in ``record``; None for none.
    """

    sample: Any
    record: Mapping[str, Any]
    fed: np.ndarray | None


def drawn_sample(task: Task, tested: SampleToDraw, names: Sequence[str] | None) -> list[Shown]:
    """Return the truth and the prediction of a sample as two images, or one if no truth can be drawn.

    Results with a score below the threshold of the task are not drawn. Of a group, the first nine images are.

    Raises:
        DataError, InputError: the image of the sample cannot be read.
    """
    drawn = [pair for pair in _pairs(task, tested, names) if pair]
    if not drawn:
        return []
    if min(map(len, drawn)) == 1:  # the truth of an image of the group is not known
        drawn = [pair[-1:] for pair in drawn]
    titles = ("truth", "prediction")[-len(drawn[0]) :]
    longest = _LONGEST if len(titles) == 2 else _LONGEST_ALONE
    return [Shown.of(title, _joined([pair[at] for pair in drawn]), longest) for at, title in enumerate(titles)]


def _joined(images: Sequence[np.ndarray]) -> np.ndarray:
    return images[0] if len(images) == 1 else contact_sheet([thumbnail(image, _SIDE) for image in images])


def _pairs(task: Task, tested: SampleToDraw, names: Sequence[str] | None) -> list[list[np.ndarray]]:
    """Return truth and prediction, or only the prediction, of each image of a sample."""
    sources = task.inputs.recorded(tested.record)[:_OF_A_GROUP]
    if not sources:
        return [] if tested.fed is None else [_drawn(task, tested.sample, tested.fed, tested.fed.shape[1::-1], names)]
    pairs = []
    for number, source in enumerate(sources):
        value = task.inputs.read(source)
        sample = task.members(task.inputs.completed(tested.sample, value))[number]
        pairs.append(_drawn(task, sample, task.inputs.image(value), task.inputs.size(value), names))
    return pairs


def _drawn(
    task: Task, sample: Any, image: np.ndarray, size: tuple[int, ...], names: Sequence[str] | None
) -> list[np.ndarray]:
    result: Any = task.read(sample, size, names).above(task.threshold)
    if task.most is not None:
        result = result.best(task.most)
    truth, scale = task.truth(sample, size, names), scale_to_read(image)
    return [task.draw(image, each, scale) for each in (truth, result) if each is not None]
