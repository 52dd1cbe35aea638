"""Accuracy of classifiers: is the right class among the k that the model finds most likely?

Protocol of ImageNet (ILSVRC): every image counts once, ties go to the class with the lower index.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric

from visionzoo.errors import ConfigError, DataError
from visionzoo.metrics.required import required, sample_name
from visionzoo.registry import METRICS
from visionzoo.structures.arrays import as_array


def top_k_accuracy(scores: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Share of images, in [0, 1], whose class has one of the k highest scores.

    Args:
        scores: (N, K), any that grow with likelihood.
        labels: (N,) int, the right classes.
        k: from 1 on; with K classes or more every image counts.

    Raises:
        DataError: no images, or labels outside 0 to K - 1.

    >>> top_k_accuracy(np.array([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]]), np.array([1, 1]), k=1)
    0.5
    """
    return float((ranks(scores, labels) < k).mean())


def ranks(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(N,) int: how many classes come before the right one; nan never comes before anything."""
    if not len(labels):
        raise DataError("accuracy", expected="at least one image", found="none", advice="check the data set")
    if labels.min() < 0 or labels.max() >= scores.shape[1]:
        raise DataError(
            "accuracy",
            expected=f"labels from 0 to {scores.shape[1] - 1}, as the model has classes",
            found=f"{labels.min()} to {labels.max()}",
            advice="correct the data set's classes",
        )
    right = np.take_along_axis(scores, labels[:, None], axis=1)
    earlier = np.arange(scores.shape[1]) < labels[:, None]
    before = (scores > right) | ((scores == right) & earlier)
    return np.where(np.isnan(right[:, 0]), scores.shape[1], before.sum(axis=1))


@METRICS.register_module()
class ClassificationMetric(BaseMetric):
    """Accuracy of samples with ``gt_label`` and ``pred_score``: ``cls/top1``, ``cls/top5`` and ``cls/mean_class``.

    All numbers are shares in [0, 1]; ``mean_class`` is top-1 accuracy averaged over the classes that occur. After an
    evaluation ``per_class`` holds rows ``class``, ``images``, ``top1`` and ``mistaken_for`` for reports.

    Args:
        topk: which k; those from the number of classes on are left out, as they would always be 1.
        classwise: also one number for each class, ``cls/top1/<class>``.
        collect_device: where results of several processes meet, ``cpu`` or ``gpu``.
        prefix: stands for ``cls`` in the names.
    """

    default_prefix = "cls"

    def __init__(
        self,
        topk: Sequence[int] = (1, 5),
        classwise: bool = False,
        collect_device: str = "cpu",
        prefix: str | None = None,
    ):
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.topk = (topk,) if isinstance(topk, int) else tuple(topk)
        if not self.topk or min(self.topk) < 1:
            raise ConfigError("ClassificationMetric", expected="topk from 1 on", found=f"{topk}", advice="use (1, 5)")
        self.classwise = classwise
        self.per_class: dict[str, list[dict[str, Any]]] = {}

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Take one batch of samples with truth and predictions, as dicts: (label, best class, rank of the label, K).

        Raises:
            DataError: a sample has no ``gt_label`` or no ``pred_score``.
        """
        for sample in data_samples:
            name = sample_name(sample, len(self.results))
            pred_score, gt_label = (
                required(sample, key, "ClassificationMetric", name) for key in ("pred_score", "gt_label")
            )
            score, label = as_array(pred_score, single=True), int(gt_label)
            rank = int(ranks(score[None], np.array([label]))[0])
            self.results.append((label, int(score.argmax()), rank, len(score)))

    def compute_metrics(self, results: list[tuple[int, int, int, int]]) -> dict[str, float]:
        """The numbers of all images of all processes."""
        labels, best, rank, counts = (np.array(column) for column in zip(*results, strict=True))
        classes = int(counts.max())
        numbers = {f"top{k}": float((rank < k).mean()) for k in self.topk if k < classes or k == 1}
        rows = _by_class(labels, best, self._names(classes))
        numbers["mean_class"] = float(np.mean([row["top1"] for row in rows]))
        self.per_class = {"cls": rows}
        if self.classwise:
            numbers |= {f"top1/{row['class']}": row["top1"] for row in rows}
        return numbers

    def _names(self, count: int) -> Sequence[str]:
        names = (self.dataset_meta or {}).get("classes") or ()
        return names if len(names) == count else [str(label) for label in range(count)]


def _by_class(labels: np.ndarray, best: np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of the classes that occur, with the class that each is most often mistaken for."""
    rows = []
    for label in np.unique(labels):
        found = best[labels == label]
        wrong = np.bincount(found[found != label], minlength=1)
        rows.append(
            {
                "class": str(names[label]),
                "images": len(found),
                "top1": float((found == label).mean()),
                "mistaken_for": str(names[int(wrong.argmax())]) if wrong.any() else "-",
            }
        )
    return rows
