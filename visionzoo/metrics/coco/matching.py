"""Which detections are right at one IoU threshold, and the curves that follow, by COCO's protocol.

The evaluators of :mod:`average_precision` keep only their tables. Here each detection stays known, in a few bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from visionzoo.metrics.means import exact_mean
from visionzoo.structures.arrays import as_array

IOU = 0.5
BACKGROUND = -1
_MOST = 100  # detections of a class in an image, as in COCO's evaluation
_RECALLS = np.linspace(0.0, 1.0, 101)
_RIGHT, _WRONG, _IGNORED = 1, 0, -1


@dataclass(frozen=True)
class MatchedImage:
    """Detections of one image, compared with its objects at IoU 0.5.

    Attributes:
        scores: (D,) float32, at most 100 of each class.
        labels: (D,) int16.
        status: (D,) int8: 1 for a right detection, 0 for a wrong one, -1 for one of a crowd, which does not count.
        objects: (G,) int16, labels of the objects without crowds.
        pairs: (P, 2) int16, true and predicted label of the objects and of the detections with at least ``threshold``,
            matched without regard to the class; -1 (``BACKGROUND``) for an object or detection without a partner.
        threshold: the score threshold of ``pairs``.
        of_masks: True if masks were compared, False for boxes.
    """

    scores: np.ndarray
    labels: np.ndarray
    status: np.ndarray
    objects: np.ndarray
    pairs: np.ndarray
    threshold: float
    of_masks: bool = False

    @property
    def f1(self) -> float:
        """F1 of the detections with at least the threshold; 1 if there is nothing to find and nothing is found."""
        kept = (self.scores >= self.threshold) & (self.status != _IGNORED)
        right = int((self.status[kept] == _RIGHT).sum())
        total = int(kept.sum()) + len(self.objects)
        return 2 * right / total if total else 1.0


def match_image(
    found: Mapping[str, Any], truth: Mapping[str, Any], crowds: Mapping[str, Any] | None, threshold: float
) -> MatchedImage:
    """Compare the detections of one image with its objects.

    Args:
        found: ``scores`` (D,), ``labels`` (D,), and ``bboxes`` (D, 4) xyxy or ``rles``, D run-length codes.
        truth: ``labels`` (G,), and ``bboxes`` (G, 4) or ``rles``.
        crowds: as ``truth``, regions in which detections of their class do not count; None for none.
        threshold: score threshold of :attr:`MatchedImage.pairs`.

    Example:
        >>> box = {"labels": [0], "bboxes": [[0.0, 0.0, 8.0, 8.0]]}
        >>> match_image({"scores": [0.9], **box}, box, None, 0.3).status.tolist()
        [1]
    """
    scores, labels = as_array(found["scores"], np.float64), as_array(found["labels"], np.int64)
    own = as_array(truth["labels"], np.int64)
    ignored = np.zeros(0, np.int64) if crowds is None else as_array(crowds["labels"], np.int64)
    ious = _ious(found, truth, crowds, len(labels), len(own), len(ignored))
    kept: list[np.ndarray] = [np.zeros(0, np.int64)]
    status: list[np.ndarray] = [np.zeros(0, np.int64)]
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        of_class = of_class[np.argsort(-scores[of_class], kind="mergesort")][:_MOST]
        columns = np.flatnonzero(np.concatenate([own, ignored]) == label)
        kept.append(of_class)
        status.append(_matched(ious[np.ix_(of_class, columns)], columns >= len(own)))
    order, states = np.concatenate(kept), np.concatenate(status)
    return MatchedImage(
        scores[order].astype(np.float32),
        labels[order].astype(np.int16),
        states.astype(np.int8),
        own.astype(np.int16),
        _pairs(ious, scores, labels, own, threshold).astype(np.int16),
        threshold,
        "rles" in found,
    )


def _ious(
    found: Mapping[str, Any],
    truth: Mapping[str, Any],
    crowds: Mapping[str, Any] | None,
    detections: int,
    objects: int,
    ignored: int,
) -> np.ndarray:
    """Return the IoU of detections with objects and then crowds, (D, G + C); for crowds the share of the detection."""
    if not detections or not objects + ignored:
        return np.zeros((detections, objects + ignored))
    from pycocotools import mask as tools

    parts = [truth] if crowds is None or not ignored else [truth, crowds] if objects else [crowds]
    flags = [0] * objects + [1] * ignored
    if "rles" in found:
        return np.asarray(tools.iou(list(found["rles"]), [code for part in parts for code in part["rles"]], flags))
    return np.asarray(tools.iou(_xywh(found), np.concatenate([_xywh(part) for part in parts]), flags))


def _xywh(regions: Mapping[str, Any]) -> np.ndarray:
    boxes = as_array(regions["bboxes"], np.float64).reshape(-1, 4).copy()
    boxes[:, 2:] -= boxes[:, :2]
    return boxes


def _matched(ious: np.ndarray, is_crowd: np.ndarray) -> np.ndarray:
    """Return the status of detections of one class, best first.

    Args:
        ious: (D, G), the objects before the crowds.
        is_crowd: (G,) bool.
    """
    free = np.ones(len(is_crowd), dtype=bool)
    status = np.full(len(ious), _WRONG)
    for row, values in enumerate(ious):
        for group, state in ((~is_crowd, _RIGHT), (is_crowd, _IGNORED)):
            fits = np.flatnonzero(group & (free | is_crowd) & (values >= IOU))
            if len(fits):
                best = fits[np.flatnonzero(values[fits] == values[fits].max())[-1]]  # of equal ones the last, as COCO
                free[best], status[row] = False, state
                break
    return status


def _pairs(ious: np.ndarray, scores: np.ndarray, labels: np.ndarray, own: np.ndarray, threshold: float) -> np.ndarray:
    rows = np.flatnonzero(scores >= threshold)
    inside = ious[rows][:, : len(own)]
    crowded = set(np.nonzero(ious[rows][:, len(own) :] >= IOU)[0].tolist())
    taken_rows, taken_columns, pairs = set(), set(), []
    for place in np.argsort(-inside, axis=None, kind="stable")[: np.count_nonzero(inside >= IOU)]:
        row, column = divmod(int(place), inside.shape[1])
        if row not in taken_rows and column not in taken_columns:
            taken_rows.add(row)
            taken_columns.add(column)
            pairs.append((own[column], labels[rows[row]]))
    pairs += [(label, BACKGROUND) for column, label in enumerate(own) if column not in taken_columns]
    rest = [row for row in range(len(rows)) if row not in taken_rows and row not in crowded]
    pairs += [(BACKGROUND, labels[rows[row]]) for row in rest]
    return np.array(pairs, np.int64).reshape(-1, 2)


def confusion_of(images: Iterable[MatchedImage], classes: int) -> np.ndarray:
    """Return the confusion matrix, (K + 1, K + 1) int64, true classes downwards; the last row and column: background.

    Example:
        >>> box = {"labels": [0], "bboxes": [[0.0, 0.0, 8.0, 8.0]]}
        >>> confusion_of([match_image({"scores": [0.9], **box, "labels": [1]}, box, None, 0.3)], 2).tolist()
        [[0, 1, 0], [0, 0, 0], [0, 0, 0]]
    """
    pairs = np.concatenate([np.zeros((0, 2), np.int64), *(image.pairs.astype(np.int64) for image in images)])
    pairs[pairs == BACKGROUND] = classes
    return np.bincount(pairs[:, 0] * (classes + 1) + pairs[:, 1], minlength=(classes + 1) ** 2).reshape(classes + 1, -1)


@dataclass(frozen=True)
class PrecisionCurves:
    """Precision over recall at IoU 0.5.

    Attributes:
        recall: (101,) from 0 to 1.
        precision: (K, 101), the highest precision at this recall or a higher one; nan for a class without objects.
        objects: (K,) number of objects of each class.
    """

    recall: np.ndarray
    precision: np.ndarray
    objects: np.ndarray

    @property
    def average(self) -> np.ndarray:
        """AP of each class, (K,); nan without objects."""
        return self.precision.mean(axis=1)

    @property
    def mean(self) -> float:
        """Mean AP over the classes with objects, as ``coco/bbox_mAP_50``; nan if no class has objects."""
        known = self.precision[self.objects > 0]
        return exact_mean(known.ravel().tolist()) if len(known) else float("nan")


def precision_curves(images: Sequence[MatchedImage], classes: int) -> PrecisionCurves:
    """Return the curves from which AP at IoU 0.5 is the mean, as pycocotools computes them.

    Example:
        >>> box = {"labels": [0], "bboxes": [[0.0, 0.0, 8.0, 8.0]]}
        >>> precision_curves([match_image({"scores": [0.9], **box}, box, None, 0.3)], 1).mean.__round__(6)
        1.0
    """
    scores, labels, status = joined(images)
    objects = np.bincount(np.concatenate([np.zeros(0, int), *(image.objects for image in images)]), minlength=classes)
    precision = np.full((classes, len(_RECALLS)), np.nan)
    for label in np.flatnonzero(objects):
        chosen = (labels == label) & (status != _IGNORED)
        precision[label] = _precision(scores[chosen], status[chosen] == _RIGHT, int(objects[label]))
    return PrecisionCurves(_RECALLS, precision, objects)


def joined(images: Sequence[MatchedImage]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return scores, labels and status of the detections of all images."""
    if not images:
        return np.zeros(0, np.float32), np.zeros(0, np.int16), np.zeros(0, np.int8)
    return (
        np.concatenate([image.scores for image in images]),
        np.concatenate([image.labels for image in images]),
        np.concatenate([image.status for image in images]),
    )


def _precision(scores: np.ndarray, right: np.ndarray, objects: int) -> np.ndarray:
    found = np.cumsum(right[np.argsort(-scores, kind="mergesort")])
    precision = found / (np.arange(1, len(found) + 1) + np.spacing(1))
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(found / objects, _RECALLS, side="left")
    return np.append(precision, 0.0)[places]


@dataclass(frozen=True)
class ThresholdCurve:
    """What remains above a score threshold, for all classes together.

    Attributes:
        thresholds: (T,) ascending, the scores that occur.
        precision, recall: (T,) shares of the detections with at least this score that are right, and of the objects
            that they find.
    """

    thresholds: np.ndarray
    precision: np.ndarray
    recall: np.ndarray

    @property
    def f1(self) -> np.ndarray:
        """Harmonic mean of precision and recall, (T,)."""
        total = self.precision + self.recall
        return np.divide(2 * self.precision * self.recall, total, out=np.zeros_like(total), where=total > 0)

    @property
    def best(self) -> int:
        """Position of the highest F1; of equal ones the highest threshold."""
        return len(self.thresholds) - 1 - int(self.f1[::-1].argmax())


def threshold_curve(images: Sequence[MatchedImage], label: int | None = None) -> ThresholdCurve:
    """Return precision and recall over the score threshold, of one class or of all; empty without detections.

    Example:
        >>> box = {"labels": [0], "bboxes": [[0.0, 0.0, 8.0, 8.0]]}
        >>> curve = threshold_curve([match_image({"scores": [0.75], **box}, box, None, 0.3)])
        >>> curve.thresholds.tolist(), curve.f1.tolist()
        ([0.75], [1.0])
    """
    scores, labels, status = joined(images)
    chosen = status != _IGNORED
    if label is not None:
        chosen &= labels == label
    objects = sum(len(each.objects) if label is None else int((each.objects == label).sum()) for each in images)
    order = np.argsort(-scores[chosen], kind="stable")
    ordered, states = scores[chosen][order], status[chosen][order]
    found = np.cumsum(np.equal(states, _RIGHT))
    last = np.flatnonzero(np.diff(ordered, append=-np.inf))  # all detections of one score are kept or none
    precision, recall = found[last] / (last + 1), found[last] / max(objects, 1)
    return ThresholdCurve(ordered[last][::-1], precision[::-1], recall[::-1])
