"""What is salient in one image as plain arrays: what is written, drawn and compared, whichever model made it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from visionzoo.errors import InputError
from visionzoo.structures.arrays import as_array


@dataclass(frozen=True)
class SaliencyMap:
    """How salient every pixel is, and which ones count.

    Attributes:
        map: (H, W) float32 in [0, 1], in pixels of the original image.
        mask: (H, W) bool, what the model takes for salient, or what reaches a threshold.

    Raises:
        InputError: a value is not finite, which no image should cause.
    """

    map: np.ndarray
    mask: np.ndarray

    def __post_init__(self) -> None:
        if not np.isfinite(self.map).all():
            raise InputError("the model gives a map that is not finite; check its weights")

    @property
    def area(self) -> float:
        """Share of the image that is salient."""
        return float(self.mask.mean())

    @property
    def score(self) -> float:
        """Mean of the map where it is salient; 0 where nothing is."""
        return float(self.map[self.mask].mean()) if self.mask.any() else 0.0

    def above(self, threshold: float) -> SaliencyMap:
        """With the pixels of at least ``threshold`` as mask; 0 leaves it to the model, as it decided."""
        return self if threshold <= 0 else replace(self, mask=self.map >= threshold)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers; who writes files adds where the map is."""
        return {"area": round(self.area, 6), "score": round(self.score, 6)}

    def to_grey(self) -> np.ndarray:
        """The map as (H, W) uint8, rounded down as the usual tools of measurement read it."""
        return (self.map * 255).astype(np.uint8)


def saliency_map_of(pred_map: Any, pred_mask: Any = None) -> SaliencyMap:
    """Of ``pred_map`` (H, W) or (1, H, W) in [0, 1], and ``pred_mask``; without it the mask begins at 0.5."""
    values = _plane(pred_map, np.float32)
    mask = values >= 0.5 if pred_mask is None else _plane(pred_mask, bool)
    return SaliencyMap(values, mask)


def _plane(values: Any, dtype: type) -> np.ndarray:
    array = as_array(values, dtype)
    return array[0] if array.ndim == 3 else array
