"""Class scores of one image as plain numbers, for files, drawings and comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from visionzoo.errors import InputError
from visionzoo.structures.arrays import as_array

KEPT = 5


@dataclass(frozen=True)
class ClassScores:
    """The most likely classes of one image, best first.

    Attributes:
        scores: (n,) float32 in [0, 1].
        labels: (n,) int64, class indices.
        names: class names by label; None if they are unknown.
        are_true: True for a ground truth, which is drawn without scores.

    Raises:
        InputError: a score is not finite. No image should cause this.

    Example:
        >>> classes = class_scores_of([0.25, 0.75], names=["cat", "dog"])
        >>> classes.to_row()
        {'label': 1, 'name': 'dog', 'score': 0.75}
    """

    scores: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...] | None = None
    are_true: bool = False

    def __post_init__(self) -> None:
        if not np.isfinite(self.scores).all():
            raise InputError("the model returns scores that are not finite; check its weights")

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def best_score(self) -> float | None:
        """The highest score; None without classes."""
        return float(self.scores.max()) if len(self) else None

    def above(self, threshold: float, by_label: Mapping[int, float] | None = None) -> ClassScores:
        """Return the classes with a score of at least ``threshold``, or of their threshold; the result may be empty."""
        return self.at(self.scores >= thresholds_of(self.labels, threshold, by_label))

    def of_classes(self, labels: Sequence[int]) -> ClassScores:
        """Return these classes, best first."""
        return self.at(np.isin(self.labels, labels))

    def best(self, number: int) -> ClassScores:
        """Return the ``number`` best classes."""
        return self.at(np.arange(len(self)) < number)

    def at(self, kept: np.ndarray) -> ClassScores:
        """Return the classes at which ``kept``, (n,) bool, is True."""
        return replace(self, scores=self.scores[kept], labels=self.labels[kept])

    def name_of(self, label: int) -> str:
        """Return the name of a class, or its index if names are unknown."""
        return self.names[label] if self.names is not None and label < len(self.names) else str(label)

    def to_json(self) -> dict[str, Any]:
        """Return the scores as numbers, strings and lists."""
        return {
            "labels": [int(label) for label in self.labels],
            "scores": [round(float(score), 6) for score in self.scores],
            "names": [self.name_of(int(label)) for label in self.labels],
        }

    def to_row(self) -> dict[str, Any]:
        """Return the best class as a table row; the cells are empty if there is no class."""
        if not len(self):
            return {"label": "", "name": "", "score": ""}
        label = int(self.labels[0])
        return {"label": label, "name": self.name_of(label), "score": round(float(self.scores[0]), 6)}


def thresholds_of(labels: np.ndarray, threshold: float, by_label: Mapping[int, float] | None) -> np.ndarray:
    """Return the threshold of each label, (n,) float64.

    Args:
        labels: (n,) class indices.
        threshold: the threshold of labels that are not in ``by_label``.
        by_label: thresholds of single labels; None for no such label.

    Example:
        >>> thresholds_of(np.array([2, 0, 2]), 0.3, {2: 0.5}).tolist()
        [0.5, 0.3, 0.5]
    """
    return np.array([(by_label or {}).get(int(label), threshold) for label in labels], dtype=np.float64)


def class_scores_of(scores: Any, names: Sequence[str] | None = None, kept: int | None = KEPT) -> ClassScores:
    """Return the ``kept`` best classes.

    Args:
        scores: (K,) tensor or array, one score for each class.
        names: class names by label.
        kept: largest number of classes in the result; None for all.

    Returns:
        At most ``kept`` classes, best first.
    """
    values = as_array(scores, np.float32, single=True)
    best = np.argsort(-values, kind="stable")[:kept]
    return ClassScores(values[best], best.astype(np.int64), None if names is None else tuple(names))
