"""Detections of one image as plain arrays: what is written, drawn and compared, whichever model made them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from visionzoo.errors import InputError
from visionzoo.structures.arrays import as_array

# Decimals of scores and box edges in files; they also decide the order.
_SCORE_DECIMALS, _EDGE_DECIMALS = 6, 3


@dataclass(frozen=True)
class Detections:
    """Boxes of one image, best first.

    Order: by the score as files state it, with 6 decimals, from high to low; equal ones by label, then by left, top,
    right and bottom edge. So equal written scores have one order, whatever the last bits of a CPU or batch size are.

    Attributes:
        boxes: (N, 4) float32, xyxy in pixels of the original image.
        scores: (N,) float32 in [0, 1].
        labels: (N,) int64, index of the class.
        size: (width, height) of the original image.
        masks: one COCO run-length code for each box, ``{"size": [H, W], "counts": str}``; None for models without.
        names: class names by label, or None when they are not known.

    Raises:
        InputError: a box or score is not finite, which no image should cause.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    size: tuple[int, int]
    masks: tuple[dict[str, Any], ...] | None = None
    names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not (np.isfinite(self.boxes).all() and np.isfinite(self.scores).all()):
            raise InputError("the model gives boxes or scores that are not finite; check its weights")

    def __len__(self) -> int:
        return len(self.scores)

    def above(self, threshold: float) -> Detections:
        """Those whose score is at least ``threshold``."""
        return self.at(np.flatnonzero(self.scores >= threshold))

    def at(self, index: np.ndarray) -> Detections:
        """Those at ``index``, in its order."""
        masks = None if self.masks is None else tuple(self.masks[int(i)] for i in index)
        return replace(self, boxes=self.boxes[index], scores=self.scores[index], labels=self.labels[index], masks=masks)

    def name_of(self, label: int) -> str:
        """The class's name, or its number when no names are known."""
        return self.names[label] if self.names is not None and label < len(self.names) else str(label)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, strings and lists; ``masks`` only for models that give them."""
        result: dict[str, Any] = {
            "boxes": [[round(float(value), _EDGE_DECIMALS) for value in box] for box in self.boxes],
            "scores": [round(float(score), _SCORE_DECIMALS) for score in self.scores],
            "labels": [int(label) for label in self.labels],
            "names": [self.name_of(int(label)) for label in self.labels],
        }
        if self.masks is not None:
            result["masks"] = list(self.masks)
        return result

    def to_coco(self, image_id: int, category_ids: Sequence[int] | None = None) -> list[dict[str, Any]]:
        """COCO's results format: ``bbox`` is x, y, width, height; ``category_id`` by label, else the label plus one."""
        results = []
        for index, (x1, y1, x2, y2) in enumerate(self.boxes.astype(float).tolist()):
            label = int(self.labels[index])
            result: dict[str, Any] = {
                "image_id": image_id,
                "category_id": category_ids[label] if category_ids else label + 1,
                "bbox": [round(value, _EDGE_DECIMALS) for value in (x1, y1, x2 - x1, y2 - y1)],
                "score": round(float(self.scores[index]), _SCORE_DECIMALS),
            }
            if self.masks is not None:
                result["segmentation"] = self.masks[index]
            results.append(result)
        return results


def detections_of(instances: Any, size: tuple[int, int], names: Sequence[str] | None = None) -> Detections:
    """mmdet's ``pred_instances``, boxes already in original pixels, as :class:`Detections`.

    Args:
        instances: has ``bboxes`` (N, 4), ``scores`` (N,), ``labels`` (N,) and perhaps ``masks`` (N, H, W) bool.
        size: (width, height) of the original image.
        names: class names by label.
    """
    masks = tuple(encode_mask(mask) for mask in instances.masks) if "masks" in instances else None
    found = Detections(
        boxes=as_array(getattr(instances.bboxes, "tensor", instances.bboxes), np.float32).reshape(-1, 4),
        scores=as_array(instances.scores, np.float32),
        labels=as_array(instances.labels, np.int64),
        size=size,
        masks=masks,
        names=None if names is None else tuple(names),
    )
    return found.at(_best_first(found))


def _best_first(found: Detections) -> np.ndarray:
    """Indices in the order that :class:`Detections` states."""
    scores = [-round(float(score), _SCORE_DECIMALS) for score in found.scores]  # as to_json writes them
    edges = np.round(found.boxes.T[::-1], _EDGE_DECIMALS)
    return np.lexsort((*edges, found.labels, scores))  # the last key counts first


def encode_mask(mask: Any) -> dict[str, Any]:
    """A mask, (H, W) bool, as COCO's run-length code with a string that JSON can hold."""
    from pycocotools import mask as coco

    if isinstance(mask, dict):
        code = mask
    else:
        code = coco.encode(np.asfortranarray(as_array(mask).astype(np.uint8)))
    counts = code["counts"]
    text = counts.decode("ascii") if isinstance(counts, bytes) else counts
    return {"size": [int(side) for side in code["size"]], "counts": text}


def decode_mask(code: dict[str, Any]) -> np.ndarray:
    """A run-length code as (H, W) bool."""
    from pycocotools import mask as coco

    return coco.decode({"size": code["size"], "counts": code["counts"].encode("ascii")}).astype(bool)
