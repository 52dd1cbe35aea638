"""What a task is: everything that is said about it outside its models, in one class and one file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import numpy as np

from visionzoo.tasks.inputs.base import Input

if TYPE_CHECKING:
    from torch import Tensor


class Result(Protocol):
    """Prediction of a model for one input."""

    def above(self, threshold: float) -> Self:
        """Return the parts whose score is at least ``threshold``."""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""


@dataclass(frozen=True)
class ResultFile:
    """A file that is written for every input.

    Attributes:
        key: name in the input's line, ``result.KEY``.
        folder: place in the output folder.
        suffix: replaces the input's own suffix.
        content: result to the bytes of the file.
    """

    key: str
    folder: str
    suffix: str
    content: Callable[[Any], bytes]


@dataclass(frozen=True)
class ResultLines:
    """A file of JSON lines in the format of another tool, one line for every input that has a result.

    Attributes:
        name: of the file in the output folder.
        line: (result, path of the input below the given folder, size as of :meth:`Task.read`, seconds that the model
            took) to the values of the line.
    """

    name: str
    line: Callable[[Any, str, tuple[int, ...], float], dict[str, Any]]


class Task:
    """A task: how its results are read, drawn, written and checked. One subclass per file of ``visionzoo/tasks``.

    The name of the file is the name of the task. A subclass sets the attributes that differ and defines ``read``,
    ``draw``, ``shaken`` and ``scores``.

    Attributes:
        inputs: kind of its inputs, see :mod:`visionzoo.tasks.inputs`.
        threshold: results below this score are left out unless the user gives another number.
        files: files that are written for every input.
        lines: a file of lines in the format of another tool; None for none.
        row: result to a row of ``predictions.csv``, always with the same columns; None for no such file.
        coco: (result, image id, category ids by label) to entries of COCO's results format; None for no such file.
        save_best: metric to ``greater`` or ``less``, whichever is better. Training keeps the checkpoint with the best
            value of the first of these metrics that is measured.
    """

    inputs: ClassVar[Input]
    threshold: ClassVar[float] = 0.0
    files: ClassVar[tuple[ResultFile, ...]] = ()
    lines: ClassVar[ResultLines | None] = None
    row: ClassVar[Any] = None
    coco: ClassVar[Any] = None
    save_best: ClassVar[Mapping[str, str]] = {}

    def read(self, sample: Any, size: tuple[int, ...], names: Sequence[str] | None) -> Result:
        """Return the result of a model's sample.

        Args:
            sample: with predictions.
            size: of the original input; (width, height) in pixels of an image.
            names: class names by label, or None.
        """
        raise TypeError(f"{type(self).__name__}.read is not defined")

    def members(self, sample: Any) -> list[Any]:
        """Return the sample of a group as one sample for each of its images."""
        return [sample]

    def draw(self, image: np.ndarray, result: Any, scale: int) -> np.ndarray:
        """Return the result drawn on an image, (H, W, 3) uint8 RGB, enlarged ``scale`` times."""
        raise TypeError(f"{type(self).__name__}.draw is not defined")

    def class_names(self, counts: set[int]) -> tuple[str, ...] | None:
        """Return usual names of the classes, for a model that states none.

        Args:
            counts: numbers of classes that parts of the model have.
        """
        return None

    def category_ids(self, names: tuple[str, ...] | None) -> tuple[int, ...] | None:
        """Return the numbers of the classes in result files; None for the label plus one."""
        return None

    def shaken(self, sample: Mapping[str, Any], index: int, seed: int, classes: int) -> dict[str, Any]:
        """Return a sample for the metric whose predictions are the truth, slightly wrong.

        Args:
            sample: record of the data set.
            index: of the sample.
            seed: of the noise.
            classes: number of classes of the data set.
        """
        raise TypeError(f"{type(self).__name__}.shaken is not defined")

    def scores(self, samples: Sequence[Any]) -> Tensor:
        """Return all scores of predicted samples, (n,)."""
        raise TypeError(f"{type(self).__name__}.scores is not defined")

    def options(self, model: Mapping[str, Any]) -> list[str]:
        """Return options of a config's model that let every score pass."""
        return []
