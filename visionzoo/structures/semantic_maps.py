"""What a semantic model finds in one image: the class of every pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from visionzoo.errors import InputError
from visionzoo.structures.arrays import as_array

NO_CLASS = 255
_DECIMALS = 6


@dataclass(frozen=True)
class SemanticMap:
    """Class of each pixel of one image.

    Attributes:
        labels: (H, W) uint8, class indices in pixels of the original image; 255 for pixels without a class.
        names: class names by label; None if they are unknown.

    Example:
        >>> found = SemanticMap(np.array([[0, 1], [1, 1]], np.uint8), ("sky", "sea"))
        >>> found.shares, found.to_row()
        ({0: 0.25, 1: 0.75}, {'classes': 2, 'largest': 'sea', 'share': 0.75})
    """

    labels: np.ndarray
    names: tuple[str, ...] | None = None

    @property
    def shares(self) -> dict[int, float]:
        """Fraction of the image of each class that occurs, by label."""
        labels, pixels = np.unique(self.labels[self.labels != NO_CLASS], return_counts=True)
        return {int(label): float(count / self.labels.size) for label, count in zip(labels, pixels, strict=True)}

    def above(self, threshold: float) -> SemanticMap:
        """Return the map itself, because it has no scores."""
        return self

    def of_classes(self, labels: Sequence[int]) -> SemanticMap:
        """Return the map without the pixels of other classes."""
        kept = np.isin(self.labels, labels)
        return SemanticMap(np.where(kept, self.labels, NO_CLASS).astype(np.uint8), self.names)

    def name_of(self, label: int) -> str:
        """Return the name of a class, or its index if names are unknown."""
        return self.names[label] if self.names is not None and label < len(self.names) else str(label)

    def to_json(self) -> dict[str, Any]:
        """Return the share of each class as plain values; the writer of files adds the path of the map."""
        return {
            "classes": [
                {"label": label, "name": self.name_of(label), "share": round(share, _DECIMALS)}
                for label, share in self.shares.items()
            ]
        }

    def to_row(self) -> dict[str, Any]:
        """Return the columns of a table: the number of classes, and name and share of the largest one."""
        shares = self.shares
        largest = max(shares, key=shares.__getitem__, default=None)
        name = "" if largest is None else self.name_of(largest)
        return {"classes": len(shares), "largest": name, "share": round(shares.get(largest, 0.0), _DECIMALS)}  # type: ignore[arg-type]


def semantic_map_of(sample: Mapping[str, Any] | Any, names: Sequence[str] | None = None) -> SemanticMap:
    """Return the result of a predicted sample.

    Args:
        sample: a sample with ``pred_semantic``, (H, W) class indices, or with mmseg's ``pred_sem_seg``.
        names: class names by label.

    Raises:
        InputError: the sample has no such map, or a class has no number below 255.

    Example:
        >>> semantic_map_of({"pred_semantic": [[0, 2]]}).labels.tolist()
        [[0, 2]]
    """
    values = predicted_classes(sample)
    if values is None:
        raise InputError("the model returns no semantic map; use a model of mmseg, or PanopticFusion with this output")
    labels = as_array(values)
    if labels.size and not 0 <= int(labels.min()) <= int(labels.max()) <= NO_CLASS:
        raise InputError(f"the model returns class {int(labels.max())}; a map has classes from 0 to {NO_CLASS - 1}")
    return SemanticMap(labels.astype(np.uint8), None if names is None else tuple(names))


def predicted_classes(sample: Mapping[str, Any] | Any) -> Any:
    """Return the predicted class of each pixel, (H, W): ``pred_semantic``, or mmseg's ``pred_sem_seg``; else None.

    Example:
        >>> predicted_classes({"pred_sem_seg": {"data": np.zeros((1, 2, 3))}}).shape
        (2, 3)
    """
    values, of_mmseg = sample.get("pred_semantic"), sample.get("pred_sem_seg")
    if values is not None or of_mmseg is None:
        return values
    return (of_mmseg["data"] if isinstance(of_mmseg, Mapping) else of_mmseg.data)[0]
