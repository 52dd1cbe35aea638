"""Accuracy of classifiers: the share of images whose true class is among the k most likely ones.

Protocol of ImageNet (ILSVRC): every image counts once. Of equal scores the class with the lower index ranks first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
from mmengine.evaluator import BaseMetric

from visionzoo.allowed import Items, Steps
from visionzoo.errors import DataError
from visionzoo.metrics.meaning import SHARE, Meaning
from visionzoo.metrics.means import exact_mean
from visionzoo.metrics.required import required, sample_name
from visionzoo.registry import METRICS
from visionzoo.structures.arrays import as_array


def top_k_accuracy(scores: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Return the share of images, in [0, 1], whose true class has one of the k highest scores.

    Args:
        scores: (N, K), higher for a more likely class.
        labels: (N,) int, the true classes.
        k: number of classes that count, >= 1. With k >= K all images with finite scores are correct.

    Raises:
        DataError: there are no images, or a label is outside 0 to K - 1.

    Example:
        >>> top_k_accuracy(np.array([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]]), np.array([1, 1]), k=1)
        0.5
    """
    return float((ranks(scores, labels) < k).mean())


def ranks(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the number of classes that rank before the true one, (N,) int.

    A nan score never ranks before another score. If the score of the true class is nan, its rank is K.
    """
    if not len(labels):
        raise DataError("accuracy", expected="at least one image", found="none", advice="check the data set")
    if labels.min() < 0 or labels.max() >= scores.shape[1]:
        raise DataError(
            "accuracy",
            expected=f"labels from 0 to {scores.shape[1] - 1}, because the model has {scores.shape[1]} classes",
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

    All numbers are shares in [0, 1]. ``mean_class`` is the top-1 accuracy averaged over the classes that occur. After
    an evaluation ``per_class`` holds rows with ``class``, ``images``, ``top1`` and ``mistaken_for`` for reports.

    Args:
        topk: values of k, each >= 1. Values >= the number of classes are dropped, because the accuracy is always 1.
        classwise: True to add one number for each class, ``cls/top1/<class>``.
        collect_device: device on which results of several processes are collected, ``cpu`` or ``gpu``.
        prefix: replaces ``cls`` in the names.

    Raises:
        ConfigError: ``topk`` is empty or contains a value below 1.

    Example:
        >>> metric = ClassificationMetric(topk=1)
        >>> metric.process(None, [{"gt_label": 1, "pred_score": np.array([0.2, 0.8])}])
        >>> metric.evaluate(size=1)
        {'cls/top1': 1.0, 'cls/mean_class': 1.0}
    """

    default_prefix = "cls"
    MEANINGS: ClassVar[Mapping[str, Meaning]] = {"*": SHARE}

    def __init__(
        self,
        topk: Steps | Annotated[Sequence[Steps], Items()] = (1, 5),
        classwise: bool = False,
        collect_device: str = "cpu",
        prefix: str | None = None,
    ):
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.topk = (topk,) if isinstance(topk, int) else tuple(topk)
        self.classwise = classwise
        self.per_class: dict[str, list[dict[str, Any]]] = {}

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Add a batch: one dict for each sample, with ground truth and predictions.

        Each result is (label, best class, rank of the label, K).

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

    def possible_names(self) -> list[str]:
        """Return the names that an evaluation can measure, without the prefix; ``*`` stands for any text."""
        classes = len((self.dataset_meta or {}).get("classes") or ()) or None
        ranks = [f"top{k}" for k in self.topk if classes is None or k < classes or k == 1]
        return [*ranks, "mean_class", *(["top1/*"] if self.classwise else [])]

    def compute_metrics(self, results: list[tuple[int, int, int, int]]) -> dict[str, float]:
        """Compute the numbers from the results of all processes."""
        labels, best, rank, counts = (np.array(column) for column in zip(*results, strict=True))
        classes = int(counts.max())
        numbers = {f"top{k}": float((rank < k).mean()) for k in self.topk if k < classes or k == 1}
        rows = _by_class(labels, best, self._names(classes))
        numbers["mean_class"] = exact_mean(row["top1"] for row in rows)
        self.per_class = {"cls": rows}
        if self.classwise:
            numbers |= {f"top1/{row['class']}": row["top1"] for row in rows}
        return numbers

    def _names(self, count: int) -> Sequence[str]:
        names = (self.dataset_meta or {}).get("classes") or ()
        return names if len(names) == count else [str(label) for label in range(count)]


def _by_class(labels: np.ndarray, best: np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return a row for each class that occurs, with the class that it is most often mistaken for."""
    rows = []
    for label in np.unique(labels):
        predicted = best[labels == label]
        wrong = np.bincount(predicted[predicted != label], minlength=1)
        rows.append(
            {
                "class": str(names[label]),
                "images": len(predicted),
                "top1": float((predicted == label).mean()),
                "mistaken_for": str(names[int(wrong.argmax())]) if wrong.any() else "-",
            }
        )
    return rows
