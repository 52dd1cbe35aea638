"""Classes of one image as plain numbers: what is written, drawn and compared."""

from __future__ import annotations

from collections.abc import Sequence
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
        labels: (n,) int64, index of the class.
        names: class names by label, or None when they are not known.

    Raises:
        InputError: a score is not finite, which no image should cause.
    """

    scores: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not np.isfinite(self.scores).all():
            raise InputError("the model gives scores that are not finite; check its weights")

    def __len__(self) -> int:
        return len(self.scores)

    def above(self, threshold: float) -> ClassScores:
        """Those whose score is at least ``threshold``; may be none."""
        kept = self.scores >= threshold
        return replace(self, scores=self.scores[kept], labels=self.labels[kept])

    def name_of(self, label: int) -> str:
        """The class's name, or its number when no names are known."""
        return self.names[label] if self.names is not None and label < len(self.names) else str(label)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, strings and lists."""
        return {
            "labels": [int(label) for label in self.labels],
            "scores": [round(float(score), 6) for score in self.scores],
            "names": [self.name_of(int(label)) for label in self.labels],
        }

    def to_row(self) -> dict[str, Any]:
        """The best class as a row of a table; empty cells when no score is high enough."""
        if not len(self):
            return {"label": "", "name": "", "score": ""}
        label = int(self.labels[0])
        return {"label": label, "name": self.name_of(label), "score": round(float(self.scores[0]), 6)}


def class_scores_of(scores: Any, names: Sequence[str] | None = None, kept: int = KEPT) -> ClassScores:
    """The ``kept`` best of (K,) scores, a tensor or an array."""
    values = as_array(scores, np.float32, single=True)
    best = np.argsort(-values, kind="stable")[:kept]
    return ClassScores(values[best], best.astype(np.int64), None if names is None else tuple(names))
