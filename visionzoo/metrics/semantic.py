"""Scores of semantic maps: IoU and accuracy of classes, and IoU of their boundaries.

The IoU of a class and the mean over the classes have two common definitions. detectron2 takes the mean over the classes
that occur in the truth, mmseg over those that occur in truth or prediction, where a class that is only predicted has
IoU 0. Pixels that the truth ignores never count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum, nan
from typing import Any, ClassVar

import numpy as np
from mmengine.evaluator import BaseMetric

from visionzoo.allowed import Count, Fraction
from visionzoo.errors import ConfigError, DataError, require_known, some_of
from visionzoo.metrics.boundaries import RATIO, Patch, boundary_width
from visionzoo.metrics.meaning import SHARE, Meaning
from visionzoo.metrics.means import exact_mean
from visionzoo.metrics.required import required, sample_name
from visionzoo.registry import METRICS
from visionzoo.structures.arrays import as_array
from visionzoo.structures.panoptic import extents_of
from visionzoo.structures.semantic_maps import predicted_classes

DEFINITIONS = ("detectron2", "mmseg")
IGNORED = 255


@dataclass(frozen=True)
class PixelCounts:
    """Numbers of pixels of one image or of many.

    Attributes:
        confusion: {(predicted class, true class): pixels}. The predicted class is the number of classes for pixels
            whose prediction is not a class.
        boundaries: {class: (pixels of both boundaries, of the true one, of the predicted one)}.
    """

    confusion: dict[tuple[int, int], int]
    boundaries: dict[int, tuple[int, int, int]]


def count_pixels(
    truth: Any, prediction: Any, classes: int, *, boundary: bool = False, ratio: float = RATIO, where: str = "image"
) -> PixelCounts:
    """Compare two semantic maps of one image.

    Args:
        truth: (H, W) class indices; 255 for pixels that do not count.
        prediction: (H, W) class indices; 255 for pixels without a class, which are wrong.
        classes: number of classes.
        boundary: True to compare the boundaries of each class too.
        ratio: width of boundaries as a share of the image's diagonal.
        where: name of the image in errors.

    Raises:
        DataError: the maps differ in size, or have values that are not classes.

    Example:
        >>> count_pixels([[0, 1, 255]], [[0, 0, 1]], 2).confusion
        {(0, 0): 1, (0, 1): 1}
    """
    true, found = as_array(truth), as_array(prediction)
    _require_same_size(true, found, where)
    _require_classes(true, classes, f"{where}: truth")
    _require_classes(found, classes, f"{where}: prediction")
    counts = true != IGNORED
    pairs = np.minimum(found, classes).astype(np.int64) * (classes + 1) + np.minimum(true, classes)
    pixels = np.bincount(pairs[counts], minlength=(classes + 1) ** 2)
    present = np.flatnonzero(pixels)
    columns = (part.tolist() for part in (*np.divmod(present, classes + 1), pixels[present]))
    confusion = {(predicted, label): number for predicted, label, number in zip(*columns, strict=True)}
    return PixelCounts(confusion, _boundaries(true, found, counts, ratio) if boundary else {})


def _require_same_size(truth: np.ndarray, prediction: np.ndarray, where: str) -> None:
    if truth.ndim != 2 or truth.shape != prediction.shape:
        raise DataError(
            where,
            expected=f"a predicted map of {truth.shape} (height, width), as the truth",
            found=f"{prediction.shape}",
            advice="predict at the size of the original image, one class index for each pixel",
        )


def _require_classes(values: np.ndarray, classes: int, where: str) -> None:
    wrong = (values != IGNORED) & ((values < 0) | (values >= classes))
    if wrong.any():
        raise DataError(
            where,
            expected=f"class indices below {classes}, or {IGNORED} for pixels without a class",
            found=some_of(map(str, np.unique(values[wrong]).tolist()), 4),
            advice="use a file of this data set's classes",
        )


def _boundaries(
    truth: np.ndarray, prediction: np.ndarray, counts: np.ndarray, ratio: float
) -> dict[int, tuple[int, int, int]]:
    """Return the pixels of the boundaries of each class that occurs, each class in its own box."""
    width = boundary_width(truth.shape, ratio)
    mine, found = (_patches(each, counts, width) for each in (truth, prediction))
    empty = Patch(np.zeros((0, 0), bool), 0, 0)
    result = {}
    for label in sorted({*mine, *found}):
        one, other = mine.get(label, empty), found.get(label, empty)
        result[label] = one.common(other), one.area, other.area
    return result


def _patches(labels: np.ndarray, counts: np.ndarray, width: int) -> dict[int, Patch]:
    """Return the boundary of each class without the pixels that do not count."""
    patches = {}
    for number, extent in extents_of(labels.astype(np.int64) + 1).items():  # +1: extents leave out 0
        if number != IGNORED + 1:
            patch = Patch.boundary_of(labels, number - 1, extent.bbox, width)
            patches[number - 1] = patch._replace(mask=patch.mask & patch.part_of(counts))
    return patches


@dataclass(frozen=True)
class SemanticScores:
    """Scores of a data set.

    Attributes:
        numbers: from 0 to 1: ``mIoU``; ``fwIoU``, the mean IoU weighted by the pixels of the classes; ``mACC``, the
            mean accuracy of the classes in the truth; ``pACC``, the share of correct pixels; and ``boundary_mIoU``, the
            mean over classes with boundary pixels in the truth, if boundaries were compared. nan if no pixel counts.
        per_class: one row for each class: ``class``, ``pixels`` of the truth, ``IoU``, ``ACC`` and, if compared,
            ``boundary_IoU``; nan for a class that the definition leaves out.
        confusion: (K + 1, K) int64, pixels by predicted and true class; the last row is for pixels without a class.
    """

    numbers: dict[str, float]
    per_class: list[dict[str, Any]]
    confusion: np.ndarray


def semantic_scores(
    images: Iterable[PixelCounts], classes: Sequence[str], definition: str = "detectron2", *, boundary: bool = False
) -> SemanticScores:
    """Return the scores of a data set. They do not depend on the order of the images.

    Args:
        images: pixels of each image.
        classes: names of the classes.
        definition: ``detectron2`` or ``mmseg``, see the module.
        boundary: True if boundaries were compared.

    Raises:
        UnknownName: no such definition.

    Example:
        >>> images = [count_pixels([[0, 0, 0]], [[0, 0, 1]], 2)]
        >>> for definition in DEFINITIONS:
        ...     print(round(semantic_scores(images, ["sky", "sea"], definition).numbers["mIoU"], 3))
        0.667
        0.333
    """
    require_known(definition, DEFINITIONS, "definition of semantic scores")
    confusion, edges = _summed(images, len(classes))
    right, true = np.diag(confusion), confusion.sum(0)
    union = true + confusion.sum(1)[: len(classes)] - right
    is_counted = true > 0 if definition == "detectron2" else union > 0
    iou, accuracy = _share(right, union, is_counted), _share(right, true, true > 0)
    numbers = {"mIoU": _mean(iou), "fwIoU": _weighted(iou, true), "mACC": _mean(accuracy)}
    numbers["pACC"] = float(right.sum() / true.sum()) if true.sum() else nan
    columns: dict[str, np.ndarray] = {"pixels": true, "IoU": iou, "ACC": accuracy}
    if boundary:
        columns["boundary_IoU"] = _share(edges[:, 0], edges[:, 1] + edges[:, 2] - edges[:, 0], edges[:, 1] > 0)
        numbers["boundary_mIoU"] = _mean(columns["boundary_IoU"])
    rows = zip(*(values.tolist() for values in columns.values()), strict=True)
    table = [{"class": name, **dict(zip(columns, row, strict=True))} for name, row in zip(classes, rows, strict=True)]
    return SemanticScores(numbers, table, confusion)


def _summed(images: Iterable[PixelCounts], classes: int) -> tuple[np.ndarray, np.ndarray]:
    confusion, edges = np.zeros((classes + 1, classes), np.int64), np.zeros((classes, 3), np.int64)
    for image in images:
        for place, pixels in image.confusion.items():
            confusion[place] += pixels
        for label, counts in image.boundaries.items():
            edges[label] += counts
    return confusion, edges


def _share(part: np.ndarray, whole: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return part / whole, and nan where ``counts`` is False."""
    return np.divide(part, whole, out=np.full(len(part), nan), where=counts)


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)].tolist()
    return exact_mean(known) if known else nan


def _weighted(iou: np.ndarray, pixels: np.ndarray) -> float:
    present = pixels > 0
    return fsum((iou * pixels)[present].tolist()) / pixels.sum() if present.any() else nan


@METRICS.register_module()
class SemanticMetric(BaseMetric):
    """Scores of samples with ``gt_semantic`` and ``pred_semantic``, (H, W) class indices of the original image.

    mmseg's ``pred_sem_seg`` may replace ``pred_semantic``.

    255 in the truth marks pixels that do not count. The numbers, from 0 to 1, are ``sem/mIoU``, ``sem/fwIoU``,
    ``sem/mACC``, ``sem/pACC`` and, with ``boundary``, ``sem/boundary_mIoU``; see :class:`SemanticScores`. After each
    evaluation ``per_class`` holds ``semantic``, rows for reports. Only numbers of pixels are stored until the
    evaluation ends.

    Args:
        definition: ``detectron2``: means over the classes that occur in the truth. ``mmseg``: mean IoU over those that
            occur in truth or prediction.
        boundary: True to compare the boundaries of classes too.
        boundary_ratio: width of boundaries as a share of the image's diagonal.
        num_classes: number of classes, for a data set whose metainfo has no ``classes``.
        collect_device: device on which results of several processes are collected, ``cpu`` or ``gpu``.
        prefix: replaces ``sem`` in the names.

    Attributes:
        protocol_text: what the numbers depend on; written with them.

    Raises:
        UnknownName: no such definition.

    Example:
        >>> metric = SemanticMetric()
        >>> metric.dataset_meta = {"classes": ("sky", "sea")}
        >>> metric.process(None, [{"gt_semantic": [[0, 1], [1, 255]], "pred_semantic": [[0, 1], [0, 0]]}])
        >>> metric.evaluate(size=1)["sem/mIoU"]
        0.5
    """

    default_prefix = "sem"
    MEANINGS: ClassVar[Mapping[str, Meaning]] = {"*": SHARE}

    def __init__(
        self,
        definition: str = "detectron2",
        boundary: bool = False,
        boundary_ratio: Fraction = RATIO,
        num_classes: Count | None = None,
        collect_device: str = "cpu",
        prefix: str | None = None,
    ):
        super().__init__(collect_device=collect_device, prefix=prefix)
        require_known(definition, DEFINITIONS, "definition of SemanticMetric")
        self.definition, self.boundary, self.boundary_ratio = definition, boundary, boundary_ratio
        self.num_classes = num_classes
        self.per_class: dict[str, list[dict[str, Any]]] = {}
        self.protocol_text = f"means as in {definition}" + (
            f", boundaries of {boundary_ratio:g} of the diagonal" if boundary else ""
        )

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Add a batch: one dict for each image.

        Raises:
            DataError: a map is missing, the maps of an image differ in size, or a value is not a class.
        """
        classes = len(self._classes())
        for sample in data_samples:
            name = sample_name(sample, len(self.results))
            predicted = {**sample, "pred_semantic": predicted_classes(sample)}
            truth, found = (required(predicted, f"{kind}_semantic", "SemanticMetric", name) for kind in ("gt", "pred"))
            counts = count_pixels(truth, found, classes, boundary=self.boundary, ratio=self.boundary_ratio, where=name)
            self.results.append(counts)

    def possible_names(self) -> list[str]:
        """Return the names that an evaluation can measure, without the prefix."""
        return list(semantic_scores([], [], self.definition, boundary=self.boundary).numbers)

    def compute_metrics(self, results: list[PixelCounts]) -> dict[str, float]:
        """Compute the numbers from the results of all processes."""
        scores = semantic_scores(results, self._classes(), self.definition, boundary=self.boundary)
        self.per_class = {"semantic": scores.per_class}
        return scores.numbers

    def _classes(self) -> list[str]:
        names = list((self.dataset_meta or {}).get("classes") or map(str, range(self.num_classes or 0)))
        if not names:
            raise ConfigError(
                "SemanticMetric",
                expected="classes in the data set's metainfo",
                found="none",
                advice="write num_classes=... in the evaluator",
            )
        return names
