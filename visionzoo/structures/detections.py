"""Detections of one image as arrays. The results of all detectors are written, drawn and compared in this form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from visionzoo.errors import InputError
from visionzoo.structures.arrays import as_array
from visionzoo.structures.class_scores import thresholds_of

# Decimals of scores and box edges in files. The order uses the rounded values.
_SCORE_DECIMALS, _EDGE_DECIMALS = 6, 3


@dataclass(frozen=True)
class Detections:
    """Boxes of one image, with scores, labels and optional masks.

    :func:`detections_of` sorts them. The constructor keeps the order of its arguments.

    Attributes:
        boxes: (N, 4) float32, xyxy in pixels of the original image.
        scores: (N,) float32 in [0, 1].
        labels: (N,) int64, class indices.
        size: (width, height) of the original image.
        masks: one COCO run-length code for each box, ``{"size": [H, W], "counts": str}``; None without masks.
        names: class names by label; None if they are unknown.
        are_true: True for a ground truth, which is drawn without scores.

    Raises:
        InputError: a box or score is not finite. The usual cause is broken weights, not the image.

    Example:
        >>> boxes = np.array([[0, 0, 2, 4]], dtype=np.float32)
        >>> detections = Detections(boxes, np.array([0.5]), np.array([1]), size=(8, 6), names=("cat", "dog"))
        >>> detections.to_json()
        {'boxes': [[0.0, 0.0, 2.0, 4.0]], 'scores': [0.5], 'labels': [1], 'names': ['dog']}
        >>> len(detections.above(0.6)), len(detections.above(0.6, {1: 0.4})), detections.best_score
        (0, 1, 0.5)
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    size: tuple[int, int]
    masks: tuple[dict[str, Any], ...] | None = None
    names: tuple[str, ...] | None = None
    are_true: bool = False

    def __post_init__(self) -> None:
        if not (np.isfinite(self.boxes).all() and np.isfinite(self.scores).all()):
            raise InputError("the model returns boxes or scores that are not finite; check its weights")

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def best_score(self) -> float | None:
        """The highest score; None without detections."""
        return float(self.scores.max()) if len(self) else None

    def above(self, threshold: float, by_label: Mapping[int, float] | None = None) -> Detections:
        """Return the detections with a score of at least ``threshold``, or of the threshold of their label."""
        return self.at(np.flatnonzero(self.scores >= thresholds_of(self.labels, threshold, by_label)))

    def of_classes(self, labels: Sequence[int]) -> Detections:
        """Return the detections with these labels."""
        return self.at(np.flatnonzero(np.isin(self.labels, labels)))

    def best(self, number: int) -> Detections:
        """Return the ``number`` first detections, which are the best ones."""
        return self.at(np.arange(min(number, len(self))))

    def at(self, index: np.ndarray) -> Detections:
        """Return the detections at ``index``, in that order."""
        masks = None if self.masks is None else tuple(self.masks[int(i)] for i in index)
        return replace(self, boxes=self.boxes[index], scores=self.scores[index], labels=self.labels[index], masks=masks)

    def name_of(self, label: int) -> str:
        """Return the name of a class, or its index if names are unknown."""
        return self.names[label] if self.names is not None and label < len(self.names) else str(label)

    def to_json(self) -> dict[str, Any]:
        """Return the detections as numbers, strings and lists; ``masks`` only if there are masks."""
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
        """Return the detections in the results format of COCO.

        Args:
            image_id: id of the image in the annotation file.
            category_ids: list with the category id of each label. None: the id is the label plus one.

        Returns:
            One dict for each box; ``bbox`` is x, y, width, height in pixels.
        """
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
    """Convert mmdet's ``pred_instances`` to :class:`Detections`.

    Args:
        instances: ``bboxes`` (N, 4) in pixels of the original image, ``scores`` (N,), ``labels`` (N,) and optionally
            ``masks`` (N, H, W) bool.
        size: (width, height) of the original image.
        names: class names by label.

    Returns:
        The detections, sorted by score from high to low. Scores are compared with 6 decimals, as in files. Equal scores
        are sorted by label, then by left, top, right and bottom edge with 3 decimals. Small rounding errors, which
        depend on the CPU and the batch size, therefore rarely change the order.
    """
    masks = tuple(encode_mask(mask) for mask in instances.masks) if "masks" in instances else None
    detections = Detections(
        boxes=as_array(getattr(instances.bboxes, "tensor", instances.bboxes), np.float32).reshape(-1, 4),
        scores=as_array(instances.scores, np.float32),
        labels=as_array(instances.labels, np.int64),
        size=size,
        masks=masks,
        names=None if names is None else tuple(names),
    )
    return detections.at(_best_first(detections))


def crops_of(image: np.ndarray, found: Detections) -> list[tuple[str, np.ndarray]]:
    """Cut the boxes out of an image. With masks, the pixels of other objects and the background are white.

    Args:
        image: (H, W, 3) uint8 RGB, of the size to which the boxes refer.
        found: the detections.

    Returns:
        For each detection, its class name and its part of the image, at least one pixel.

    Example:
        >>> boxes = np.array([[0.4, 1.0, 2.2, 4.0]])
        >>> found = Detections(boxes, np.array([0.5]), np.array([0]), size=(8, 6), names=("cat",))
        >>> [(name, crop.shape) for name, crop in crops_of(np.zeros((6, 8, 3), np.uint8), found)]
        [('cat', (3, 3, 3))]
    """
    height, width = image.shape[:2]
    crops = []
    for index, (x1, y1, x2, y2) in enumerate(found.boxes.astype(float)):
        left, top = (int(np.clip(np.floor(low), 0, side - 1)) for low, side in ((x1, width), (y1, height)))
        right, bottom = max(left + 1, int(np.ceil(x2))), max(top + 1, int(np.ceil(y2)))
        crop = image[top:bottom, left:right]
        if found.masks is not None:
            mask = decode_mask(found.masks[index])[top:bottom, left:right, None]
            crop = np.where(mask, crop, 255).astype(np.uint8)
        crops.append((found.name_of(int(found.labels[index])), crop))
    return crops


def _best_first(detections: Detections) -> np.ndarray:
    """Return the indices in the order that :func:`detections_of` documents."""
    scores = [-round(float(score), _SCORE_DECIMALS) for score in detections.scores]  # as in to_json
    edges = np.round(detections.boxes.T[::-1], _EDGE_DECIMALS)
    return np.lexsort((*edges, detections.labels, scores))  # lexsort sorts by the last key first


def encode_mask(mask: Any) -> dict[str, Any]:
    """Encode a mask as a run-length code of COCO that can be written to JSON.

    Args:
        mask: tensor or array (H, W) of bool, or a run-length code as a dict whose ``counts`` are bytes or str.

    Returns:
        ``{"size": [H, W], "counts": str}``.

    Example:
        >>> code = encode_mask(np.ones((2, 3), dtype=bool))
        >>> code["size"], bool(decode_mask(code).all())
        ([2, 3], True)
    """
    from pycocotools import mask as coco

    if isinstance(mask, dict):
        code = mask
    else:
        code = coco.encode(np.asfortranarray(as_array(mask).astype(np.uint8)))
    counts = code["counts"]
    text = counts.decode("ascii") if isinstance(counts, bytes) else counts
    return {"size": [int(side) for side in code["size"]], "counts": text}


def decode_mask(code: dict[str, Any]) -> np.ndarray:
    """Decode a run-length code to (H, W) bool."""
    from pycocotools import mask as coco

    return coco.decode({"size": code["size"], "counts": code["counts"].encode("ascii")}).astype(bool)
