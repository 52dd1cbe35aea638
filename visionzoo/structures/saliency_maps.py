"""Saliency map of one image as plain arrays, for files, drawings and comparisons of any model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from visionzoo.errors import InputError
from visionzoo.structures.arrays import as_array


@dataclass(frozen=True)
class SaliencyMap:
    """Saliency of each pixel, and the mask of salient pixels.

    Attributes:
        map: (H, W) float32 in [0, 1], in pixels of the original image.
        mask: (H, W) bool, the model's decision or the pixels that reach a threshold.

    Raises:
        InputError: a value is not finite. No image should cause this.

    Example:
        >>> saliency = saliency_map_of([[0.0, 0.25], [0.5, 1.0]])
        >>> saliency.area, saliency.score
        (0.5, 0.75)
        >>> saliency.above(0.75).area
        0.25
    """

    map: np.ndarray
    mask: np.ndarray

    def __post_init__(self) -> None:
        if not np.isfinite(self.map).all():
            raise InputError("the model returns a map that is not finite; check its weights")

    @property
    def area(self) -> float:
        """Fraction of the image that is salient."""
        return float(self.mask.mean())

    @property
    def score(self) -> float:
        """Mean of the map over salient pixels; 0 if no pixel is salient."""
        return float(self.map[self.mask].mean()) if self.mask.any() else 0.0

    def above(self, threshold: float) -> SaliencyMap:
        """Return the map with the pixels of at least ``threshold`` as mask; 0 keeps the model's mask."""
        return self if threshold <= 0 else replace(self, mask=self.map >= threshold)

    def to_json(self) -> dict[str, Any]:
        """Return area and score as plain numbers; the writer of files adds the path of the map."""
        return {"area": round(self.area, 6), "score": round(self.score, 6)}

    def to_grey(self) -> np.ndarray:
        """Return the map as (H, W) uint8, rounded down as the common evaluation tools expect."""
        return (self.map * 255).astype(np.uint8)


def saliency_map_of(pred_map: Any, pred_mask: Any = None) -> SaliencyMap:
    """Return the saliency map of a prediction.

    Args:
        pred_map: (H, W) or (1, H, W) in [0, 1].
        pred_mask: the same shape, bool. None: the pixels of at least 0.5.
    """
    values = _plane(pred_map, np.float32)
    mask = values >= 0.5 if pred_mask is None else _plane(pred_mask, bool)
    return SaliencyMap(values, mask)


def _plane(values: Any, dtype: type) -> np.ndarray:
    array = as_array(values, dtype)
    return array[0] if array.ndim == 3 else array
