"""The contract of a task: one class in one file defines all of the task except its models, data and metrics.

Exported models run without torch, so the file of a task whose models can be exported imports torch, metrics and data
sets only in the functions that use them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import numpy as np

from visionzoo.datasets.issues import Examined
from visionzoo.reports.figure import Draft, Figure
from visionzoo.tasks._goals import Fed, Goal, no_goal
from visionzoo.tasks._overview import Overview, classes_of, numbers_of_row
from visionzoo.tasks._tally import Tally, found_text
from visionzoo.tasks.inputs.base import Input

if TYPE_CHECKING:
    from torch import Tensor, nn

    from visionzoo.graphs.form import ImageForm
    from visionzoo.structures.graph_results import Frame, GraphSample


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
        key: the input's line in ``predictions.jsonl`` has the path of the file as ``result.KEY``.
        folder: subfolder of the output folder.
        suffix: replaces the suffix of the input.
        content: function from the result to the bytes of the file; None for a result without this file. Several files
            are a dict from name to bytes; they are in a subfolder with the name of the input, and the line has a list.
        with_names: True to write the class names, one per line, as ``classes.txt`` into the folder.
    """

    key: str
    folder: str
    suffix: str
    content: Callable[[Any], bytes | Mapping[str, bytes] | None]
    with_names: bool = False


@dataclass(frozen=True)
class ResultLines:
    """A file of JSON lines in the format of another tool, one line for every input that has a result.

    Attributes:
        name: file name in the output folder.
        line: function that returns the values of the line. Its arguments are the result, the input's path relative to
            the given folder, the size as in :meth:`Task.read`, and the seconds that the model took.
    """

    name: str
    line: Callable[[Any, str, tuple[int, ...], float], dict[str, Any]]


@dataclass(frozen=True)
class ResultDocument:
    """One JSON file for all inputs: an object whose last value is a list with one entry for every input with a result.

    Attributes:
        name: file name in the output folder.
        key: key of the list.
        entry: function that returns an entry. Its arguments are the result, the input's path relative to the given
            folder, the paths of the input's files by :attr:`ResultFile.key`, relative to the output folder, and the
            category id of each label, or None.
        values: function from the class names, the category ids and the number of things, which are the first classes,
            to the other values. Each may be None.
    """

    name: str
    key: str
    entry: Callable[[Any, str, Mapping[str, Any], Sequence[int] | None], dict[str, Any]]
    values: Callable[[Sequence[str] | None, Sequence[int] | None, int | None], dict[str, Any]]


class Task:
    """A task: how its results are read, drawn, written and checked. One subclass per file of ``visionzoo/tasks``.

    The name of the file is the name of the task. A subclass sets the attributes that differ and defines ``read``,
    ``draw``, ``shaken`` and ``scores``.

    Attributes:
        inputs: kind of the inputs, see :mod:`visionzoo.tasks.inputs`.
        threshold: results with a lower score are dropped, unless the user gives another threshold.
        files: files that are written for every input.
        images: kinds of images to look at: ``overlay``, the drawn result, and ``side``, the input and the drawn result
            beside each other.
        saves: by format, files that are written for every input if the user asks for this format.
        crops: function from (image, result) to pairs of class name and cropped image, (h, w, 3) uint8 RGB; None for
            no such images.
        selections: what a user may select results by: ``threshold``; ``limit``, for results that have the method
            ``best(number)``; ``classes``, for results that have ``of_classes(labels)`` and whose method ``above`` also
            takes thresholds by label.
        counted: the word for one result and for several, for results that have a length and the property
            ``best_score``; None for results that are not counted.
        most: largest number of results of an input, unless the user gives another; None for all.
        lines: file of lines in the format of another tool; None for no such file.
        row: function from a result to a row of ``predictions.csv``. All rows have the same columns. None for no such
            file.
        document: one JSON file for all inputs; None for no such file.
        coco: function from (result, image id, category ids by label) to entries of COCO's results format; None for no
            such file.
        mark: what a drawing consists of, one of :data:`visionzoo.reports.layers.MARKS`. An image with the results of
            several tasks has areas below, then a region, heat, lines and boxes; bars are below the image.
        is_placed: True if a result has places in the image, so that it is drawn at the size to which it refers.
        save_best: maps each metric to the better direction, ``greater`` or ``less``. Training keeps the checkpoint with
            the best value of the first of these metrics that is measured.
        lower_is_better: patterns of further metrics of which lower values are better, without the prefix: ``FP*``.
        unranked: patterns of numbers that are neither good nor bad, such as the number of images, without the prefix.
        error_text: what :meth:`error` returns, as a report states it: "1 less the IoU of the mask"; empty for nothing.

    Example:
        >>> from visionzoo.tasks import task_of
        >>> task = task_of("detection")
        >>> task.threshold, task.inputs.noun
        (0.3, 'an image')
    """

    inputs: ClassVar[Input]
    threshold: ClassVar[float] = 0.0
    selections: ClassVar[tuple[str, ...]] = ("threshold",)
    counted: ClassVar[tuple[str, str] | None] = None
    most: ClassVar[int | None] = None
    files: ClassVar[tuple[ResultFile, ...]] = ()
    images: ClassVar[tuple[str, ...]] = ("overlay", "side")
    saves: ClassVar[Mapping[str, ResultFile]] = {}
    crops: ClassVar[Any] = None
    lines: ClassVar[ResultLines | None] = None
    row: ClassVar[Any] = None
    document: ClassVar[ResultDocument | None] = None
    coco: ClassVar[Any] = None
    mark: ClassVar[str] = "areas"
    is_placed: ClassVar[bool] = True
    save_best: ClassVar[Mapping[str, str]] = {}
    lower_is_better: ClassVar[tuple[str, ...]] = ()
    unranked: ClassVar[tuple[str, ...]] = ()
    error_text: ClassVar[str] = ""

    def read(self, sample: Any, size: tuple[int, ...], names: Sequence[str] | None) -> Result:
        """Return the result of one predicted sample.

        Args:
            sample: sample with the model's predictions.
            size: size of the original input; (width, height) in pixels for an image.
            names: class names by label, or None.
        """
        raise TypeError(f"{type(self).__name__}.read is not defined")

    def truth(self, sample: Any, size: tuple[int, ...], names: Sequence[str] | None) -> Result | None:
        """Return the ground truth of a sample as a result that :meth:`draw` accepts; every score is 1.

        Args:
            sample: data sample of a loader, mmdet's, mmseg's or a :class:`TaskSample`, or the dict that an evaluator
                receives. Its ground truth has names that begin with ``gt_``.
            size: (width, height) of the image to which the truth refers: the input of the model for a training sample,
                usually the original image for a test sample. Maps of another size are resized; the coordinates of
                boxes, points and lanes are not changed.
            names: class names by label, or None.

        Returns:
            The result; None if the sample has no ground truth of this task, or if the task has none that is a result.
        """
        return None

    def fed(self, images: np.ndarray, sample: Any) -> np.ndarray | None:
        """Return a drawing of all inputs of a sample for ``visionzoo browse``, (H, W, 3) uint8 RGB.

        Args:
            images: (G, C, *S), the inputs of the model before normalisation.
            sample: data sample of the loader.

        Returns:
            None to draw each input as an image with its :meth:`truth`.
        """
        return None

    def examined(
        self, record: Mapping[str, Any], size: tuple[int, int] | None, names: Sequence[str] | None
    ) -> Examined:
        """Return the issues, labels and boxes of one record, for ``visionzoo check-data``.

        Args:
            record: record of the data set, before its pipeline.
            size: (width, height) of the image file as stored; None if it cannot be read, or the record has no image.
            names: class names by label, or None.
        """
        return Examined()

    def graph(self, model: nn.Module) -> ImageForm:
        """Return the form of a model that is exported. By default, its heads define the outputs.

        Raises:
            NotExportable: the model has no such form; the message states why.
        """
        from visionzoo.graphs.images import image_form

        return image_form(model)

    def of_graph(self, outputs: Mapping[str, np.ndarray], frame: Frame) -> GraphSample:
        """Return the sample that :meth:`read` reads from the outputs of an exported model for one image.

        Args:
            outputs: the outputs by name, without the axis of the batch.
            frame: sizes of the image, and the settings of the exported model.
        """
        raise TypeError(f"{type(self).__name__}.of_graph is not defined")

    def goal(self, fed: Fed, target: str | None, names: Sequence[str] | None) -> Goal:
        """Return the value that an explanation of a prediction explains, for ``visionzoo explain``.

        Args:
            fed: the model and one input. Gradients are on.
            target: what the user asks for, such as the name of a class; None for the default of the task.
            names: class names by label, or None.

        Raises:
            ConfigError, UnknownName: the task or the model has no such target.
            InputError: this input has none, such as no box of the class.
        """
        raise no_goal(fed.task)

    def members(self, sample: Any) -> list[Any]:
        """Split the sample of a group into one sample for each image."""
        return [sample]

    def draw(self, image: np.ndarray, result: Any, scale: int) -> np.ndarray:
        """Return a copy of ``image``, (H, W, 3) uint8 RGB, enlarged ``scale`` times, with the result drawn on it."""
        raise TypeError(f"{type(self).__name__}.draw is not defined")

    def class_names(self, counts: set[int]) -> tuple[str, ...] | None:
        """Return default class names for a model that states none.

        Args:
            counts: the numbers of classes of all parts of the model.
        """
        return None

    def category_ids(self, names: tuple[str, ...] | None) -> tuple[int, ...] | None:
        """Return the category id of each label in result files; None if the id is the label plus one."""
        return None

    def said(self, result: Any) -> str:
        """Return a sentence about one result, which ``visionzoo infer`` prints with its files; empty for none."""
        return ""

    def tally(self, result: Any, best: float | None) -> Tally:
        """Return the numbers of one result that the end of a run states, see :meth:`summary`.

        Args:
            result: the result after the selection by score, class and number.
            best: its best score before the threshold; None without a score or if results are not counted.
        """
        if self.counted is None:
            return Tally()
        named = getattr(result, "names", None) is not None
        classes = {name: number for name, (number, _) in classes_of(result).items()} if named else {}
        return Tally({"found": len(result), "having": int(len(result) > 0)}, best, classes)

    def summary(self, tally: Tally, inputs: int, threshold: str) -> str:
        """Return a sentence about all results of a run; empty if there is nothing to state.

        Args:
            tally: sum of :meth:`tally` over all results.
            inputs: number of inputs with a result.
            threshold: the score threshold as text.
        """
        return (
            "" if self.counted is None else found_text(self.counted, tally, f"{inputs} {self.inputs.nouns}", threshold)
        )

    def evidence(self, sample: Any, names: Sequence[str] | None) -> Any:
        """Return what the figures of a report need of one tested sample; None for nothing.

        Args:
            sample: sample with ground truth and the model's predictions, as the metric reads it.
            names: class names by label, or None.

        Returns:
            A record of numbers and small arrays that can be pickled, a few hundred bytes for a usual image.
        """
        return None

    def figures(self, records: Sequence[Any], names: Sequence[str] | None) -> Sequence[Figure | Draft]:
        """Return the figures of a report from the records of all tested samples.

        One that has nothing to draw, such as one of no records, is left out or states why it is empty. An error in a
        :class:`Draft` loses only this figure.

        Args:
            records: results of :meth:`evidence` that are not None, in the order of the samples.
            names: class names by label, or None.
        """
        return []

    def error(self, sample: Any, names: Sequence[str] | None) -> float | None:
        """Return how wrong the prediction of one sample is, larger is worse; None if it is unknown. See ``error_text``.

        Args:
            sample: sample with ground truth and the model's predictions, as the metric reads it.
            names: class names by label, or None.
        """
        return None

    def brief(self, result: Any) -> str:
        """Return a few words about one result, for the legend of an image with the results of several tasks."""
        if self.counted is not None:
            return f"{len(result)} {self.counted[0 if len(result) == 1 else 1]}"
        return ", ".join(f"{name} {value:.3g}" for name, value in self.overview(result).numbers.items())

    def overview(self, result: Any) -> Overview:
        """Return what a list of inputs can be sorted and filtered by, for ``visionzoo infer --gallery``.

        The numbers are the best score and the number of results; of results that are not counted, those of
        :attr:`row`.
        """
        if self.counted is None:
            numbers = {} if self.row is None else numbers_of_row(self.row(result))
        else:
            best = {} if result.best_score is None else {"score": result.best_score}
            numbers = {**best, self.counted[1]: len(result)}
        return Overview(numbers, classes_of(result), self.said(result))

    def direction(self, metric: str) -> str | None:
        """Return which values of a metric are better, ``greater`` or ``less``; None for a number that is neither."""
        name = metric.partition("/")[2] or metric
        if metric in self.save_best:
            return self.save_best[metric]
        if any(fnmatchcase(name, pattern) for pattern in self.unranked):
            return None
        return "less" if any(fnmatchcase(name, pattern) for pattern in self.lower_is_better) else "greater"

    def shaken(self, sample: Mapping[str, Any], index: int, seed: int, classes: int) -> dict[str, Any]:
        """Return a sample whose predictions are the ground truth with small errors, to check the metric.

        Args:
            sample: record of the data set.
            index: index of the sample.
            seed: seed of the noise.
            classes: number of classes of the data set.
        """
        raise TypeError(f"{type(self).__name__}.shaken is not defined")

    def scores(self, samples: Sequence[Any]) -> Tensor:
        """Return all scores of predicted samples, (n,)."""
        raise TypeError(f"{type(self).__name__}.scores is not defined")

    def options(self, model: Mapping[str, Any]) -> list[str]:
        """Return the config options that set score thresholds to 0, so that no prediction is dropped by its score."""
        return []
