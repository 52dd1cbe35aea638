"""What a model finds for one phrase in one image, as plain arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from visionzoo.errors import InputError
from visionzoo.structures.arrays import as_array
from visionzoo.structures.detections import Detections, encode_mask
from visionzoo.structures.mask_boxes import box_of_mask


@dataclass(frozen=True)
class ReferredMask:
    """Probability of each pixel that the phrase means it, and the mask of the pixels that it means.

    Attributes:
        phrase: the phrase as the user gave it.
        map: (H, W) float32 in [0, 1], in pixels of the original image.
        mask: (H, W) bool; empty if nothing is found.
        score: mean of the map over the mask of the model; the largest value of the map if that mask is empty.
        objects: the objects among which the model chose, with their scores for the phrase, which sum to 1; None unless
            the user asks for them.
        branches: maps of the branches of a model with several, (H, W) float32 in [0, 1], by name.
        reliability: IoU that the model expects of each branch, by name.
        are_true: True for a ground truth, which has no score.

    Raises:
        InputError: a value is not finite. No image should cause this.

    Example:
        >>> found = referred_mask_of("left box", [[0.0, 0.5], [0.75, 0.25]])
        >>> found.score, found.box, found.above(0.7).message
        (0.625, [0, 0, 2, 2], 'nothing found (best 0.62)')
    """

    phrase: str
    map: np.ndarray
    mask: np.ndarray
    score: float
    objects: Detections | None = None
    branches: Mapping[str, np.ndarray] = field(default_factory=dict)
    reliability: Mapping[str, float] = field(default_factory=dict)
    are_true: bool = False

    def __post_init__(self) -> None:
        if not np.isfinite(self.map).all() or not np.isfinite(self.score):
            raise InputError("the model returns a map that is not finite; check its weights")

    @cached_property
    def is_found(self) -> bool:
        """True if the mask has a pixel."""
        return bool(self.mask.any())

    @property
    def area(self) -> float:
        """Fraction of the image that the mask covers."""
        return float(self.mask.mean())

    @property
    def box(self) -> list[int] | None:
        """Left, top, right and bottom edge of the mask in pixels; None if nothing is found."""
        return box_of_mask(self.mask)

    @property
    def message(self) -> str:
        """The score, or the best score if nothing is found; of a truth, only whether the phrase means nothing."""
        if self.are_true:
            return "" if self.is_found else "means nothing"
        return f"score {self.score:.2f}" if self.is_found else f"nothing found (best {self.score:.2f})"

    def above(self, threshold: float) -> ReferredMask:
        """Return the result with an empty mask if its score is below ``threshold``."""
        return self if self.score >= threshold else replace(self, mask=np.zeros_like(self.mask))

    def to_rle(self) -> dict[str, Any]:
        """Return the mask as a compressed RLE of COCO, ``size`` (H, W) and ``counts``."""
        return encode_mask(self.mask)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; the writer of files adds the path of the mask."""
        numbers = {"score": round(self.score, 6), "area": round(self.area, 6), "box": self.box}
        found: dict[str, Any] = {"found": self.is_found, **numbers}
        found |= {"message": self.message, "rle": self.to_rle()}
        if self.reliability:
            found["reliability"] = {name: round(value, 6) for name, value in self.reliability.items()}
        return found if self.objects is None else {**found, "objects": self.objects.to_json()}

    def to_row(self) -> dict[str, Any]:
        """Return the columns of a table; the box is empty if nothing is found."""
        edges: dict[str, Any] = dict.fromkeys(("left", "top", "right", "bottom"), "")
        edges |= zip(edges, self.box or ())
        return {"found": int(self.is_found), "score": round(self.score, 6), "area": round(self.area, 6), **edges}


def referred_mask_of(
    phrase: str, pred_map: Any, pred_mask: Any = None, score: Any = None, *, mask_threshold: float | None = None
) -> ReferredMask:
    """Return the result of a prediction.

    Args:
        phrase: the phrase.
        pred_map: (H, W) or (1, H, W) in [0, 1].
        pred_mask: the same shape, bool. None: the pixels of at least 0.5.
        score: the score of the model; None for that of :class:`ReferredMask`.
        mask_threshold: the mask is the pixels of at least this value, instead of ``pred_mask``.
    """
    values = as_array(pred_map, np.float32)
    values = values[0] if values.ndim == 3 else values
    if mask_threshold is not None or pred_mask is None:
        mask = values >= (0.5 if mask_threshold is None else mask_threshold)
    else:
        mask = as_array(pred_mask, bool).reshape(values.shape)
    if score is None or mask_threshold is not None:
        score = values[mask].mean() if mask.any() else values.max(initial=0)
    return ReferredMask(phrase, values, mask, float(score))
