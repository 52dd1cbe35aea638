"""Fusion of the queries of a mask classifier by numpy, equal to ``PanopticFusion``; it does not import torch.

Tensors: Q queries, C classes (things first), H and W in pixels of the original image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from visionzoo.structures.graph_results import Frame, GraphSample, resized
from visionzoo.structures.panoptic import PanopticMap

_OBJECTS = 1000  # mmdet's maps: label + 1000 * number of the object

Segments = tuple[np.ndarray, list[int], list[float]]


def fused(classes: np.ndarray, masks: np.ndarray, settings: Mapping[str, Any]) -> GraphSample:
    """Fuse the queries of one image.

    Args:
        classes: logits of classes, (Q, C + 1); the last one is for "no object".
        masks: logits of masks, (Q, H, W), in the size of the results; see :func:`whole_masks`.
        settings: those of :class:`visionzoo.heads.panoptic_fusion.PanopticFusion`, by the names of its attributes.

    Returns:
        The fields of a sample that the fusion of the model writes.

    Example:
        >>> settings = dict(rule="mmdet", num_things_classes=1, class_threshold=0.5, mask_threshold=0.5)
        >>> settings |= dict(overlap_threshold=0.8, filter_low_score=False, outputs=["panoptic", "semantic"])
        >>> found = fused(np.array([[5.0, 0, 0], [0, 5.0, 0]]), np.array([[[5.0, -5.0]], [[-5.0, 5.0]]]), settings)
        >>> found.pred_panoptic.ids.tolist(), found.pred_semantic.tolist()
        ([[1, 2]], [[0, 1]])
    """
    queries, sample = _Queries(classes, masks, settings), GraphSample()
    if "panoptic" in settings["outputs"]:
        ids, labels, scores = (_by_kmax if settings["rule"] == "kmax" else _by_mmdet)(queries)
        facts = {number: (label, False) for number, label in enumerate(labels, start=1)}
        is_thing = np.array([False, *(label < settings["num_things_classes"] for label in labels)])
        sample["pred_panoptic"] = PanopticMap.of_ids(ids, facts)
        sample["pred_panoptic_scores"] = np.array(scores, np.float32)
        sample["pred_panoptic_seg"] = GraphSample(sem_seg=_OBJECTS * is_thing[ids].astype(np.int32)[None])
    if "instances" in settings["outputs"]:
        sample["pred_instances"] = _instances(queries)
    if "semantic" in settings["outputs"]:
        sample["pred_semantic"] = _semantic(queries)
    return sample


def fused_queries(outputs: Mapping[str, np.ndarray], frame: Frame) -> GraphSample:
    """Fuse the outputs of the form of a mask classifier, see :mod:`visionzoo.graphs.mask_queries`."""
    return fused(outputs["classes"], whole_masks(outputs["masks"], frame), frame.settings["fusion"])


def whole_masks(masks: np.ndarray, frame: Frame) -> np.ndarray:
    """Return the logits of masks in pixels of the original image.

    Args:
        masks: (Q, h, w), over the padded image.
        frame: sizes of the image.

    Example:
        >>> whole_masks(np.zeros((3, 8, 8)), Frame((32, 32), (20, 32), (10, 16))).shape
        (3, 10, 16)
    """
    return np.concatenate(
        [resized(frame.without_padding(resized(each[None], frame.padded)), frame.original) for each in masks]
    )


@dataclass(frozen=True)
class _Queries:
    """Queries of one image; see :func:`fused` for the arguments."""

    logits: np.ndarray
    mask_logits: np.ndarray
    settings: Mapping[str, Any]

    @cached_property
    def classes(self) -> np.ndarray:
        """(Q, C + 1), probabilities of the classes and of "no object"."""
        return _softmax(self.logits, -1)

    @cached_property
    def masks(self) -> np.ndarray:
        """(Q, H, W), mask scores from 0 to 1."""
        if self.settings["rule"] == "kmax":
            return _softmax(self.mask_logits, 0)
        return 1 / (1 + np.exp(-self.mask_logits))

    def are_sure(self, scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return which queries have a class score above their threshold, (Q,) bool."""
        given = self.settings["class_threshold"]
        things, stuff = given if isinstance(given, Sequence) else (given, given)
        return scores > np.where(labels < self.settings["num_things_classes"], things, stuff).astype(np.float32)


def _softmax(values: np.ndarray, axis: int) -> np.ndarray:
    powers = np.exp(values - values.max(axis, keepdims=True))
    return powers / powers.sum(axis, keepdims=True)


def _by_mmdet(queries: _Queries) -> Segments:
    """Give each pixel to one query, and keep the queries that win enough of their masks."""
    settings, scores, labels = queries.settings, queries.classes.max(-1), queries.classes.argmax(-1)
    kept = (labels != queries.classes.shape[1] - 1) & queries.are_sure(scores, labels)
    scores, labels, masks = scores[kept], labels[kept], queries.masks[kept]
    if not len(masks):
        return np.zeros(masks.shape[1:], np.int32), [], []
    winners = (scores[:, None, None] * masks).argmax(0)
    inside = masks >= settings["mask_threshold"]
    won, areas = np.bincount(winners.ravel(), minlength=len(masks)), inside.sum((1, 2))
    enough = (won > 0) & (areas > 0) & (won / np.maximum(areas, 1) >= settings["overlap_threshold"])
    if settings["filter_low_score"]:
        winners = np.where(np.take_along_axis(inside, winners[None], 0)[0], winners, len(masks))
    seen = np.bincount(winners.ravel(), minlength=len(masks) + 1)[:-1] > 0
    numbers, found, confidences = np.zeros(len(masks) + 1, np.int32), [], []
    stuff: dict[int, int] = {}  # stuff of a class is one segment
    for query in np.flatnonzero(enough & seen).tolist():
        label = int(labels[query])
        if label not in stuff:
            found.append(label)
            confidences.append(float(scores[query]))
        numbers[query] = number = stuff.get(label, len(found))
        if label >= settings["num_things_classes"]:
            stuff[label] = number
    return numbers[winners], found, confidences


def _by_kmax(queries: _Queries) -> Segments:
    """Give each query the free pixels of its mask, the best query first."""
    settings, scores = queries.settings, queries.classes[:, :-1].max(-1)
    labels, masks = queries.classes[:, :-1].argmax(-1), queries.masks > settings["mask_threshold"]
    areas, sure = masks.sum((1, 2)), queries.are_sure(scores, labels)
    order = np.argsort(-scores * _means(queries.masks, masks, areas.clip(1)), kind="stable")
    ids = np.zeros(masks.shape[1:], np.int32)
    found: list[int] = []
    confidences: list[float] = []
    stuff: dict[int, int] = {}
    for query in order[(sure & (areas > 0))[order]].tolist():
        label, free = int(labels[query]), masks[query] & (ids == 0)
        pixels, is_stuff = int(free.sum()), label >= settings["num_things_classes"]
        if pixels < settings["least_pixels"][is_stuff] or pixels <= settings["overlap_threshold"] * areas[query]:
            continue
        if label not in stuff:
            found.append(label)
            confidences.append(float(scores[query]))
        ids[free] = number = stuff.get(label, len(found))
        if is_stuff:
            stuff[label] = number
    return ids, found, confidences


def _instances(queries: _Queries) -> GraphSample:
    """Return the best pairs of query and class, of things only."""
    settings, scores = queries.settings, queries.classes[:, :-1]
    places = np.argsort(-scores, axis=None, kind="stable")[: settings["max_per_image"]]
    rows, labels = np.divmod(places, scores.shape[1])
    is_thing = labels < settings["num_things_classes"]
    rows, labels = rows[is_thing], labels[is_thing]
    used, which = np.unique(rows, return_inverse=True)  # a query has several classes, but one mask
    if settings["rule"] == "kmax":
        masks = queries.masks[used] > settings["mask_threshold"]
    else:
        masks = queries.mask_logits[used] > 0
    quality = _means(queries.masks[used], masks, masks.sum((1, 2)) + np.float32(1e-6))
    return GraphSample(
        bboxes=_boxes(masks)[which], labels=labels, scores=scores[rows, labels] * quality[which], masks=masks[which]
    )


def _means(values: np.ndarray, masks: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """Return the mean of the values inside each mask, (n,) float32."""
    return ((values * masks).sum((1, 2)) / areas).astype(np.float32)


def _semantic(queries: _Queries) -> np.ndarray:
    """Return the class of each pixel, (H, W) int64: of the winning query for ``kmax``, else of all queries together."""
    probabilities = queries.classes[:, :-1]
    if queries.settings["rule"] == "kmax":
        return probabilities.argmax(-1)[queries.masks.argmax(0)]
    return np.tensordot(probabilities, queries.masks, (0, 0)).argmax(0)


def _boxes(masks: np.ndarray) -> np.ndarray:
    """Return the box around each mask, (N, H, W) to (N, 4) xyxy in pixels; zeros for an empty one."""
    sides = []
    for axis in (1, 2):  # any() over rows gives the columns
        used = np.asarray(masks.any(axis))
        sides.append((used.argmax(1), used.shape[1] - used[:, ::-1].argmax(1)))
    (left, right), (top, bottom) = sides
    return np.stack([left, top, right, bottom], 1).astype(np.float32) * np.asarray(masks.any((1, 2)))[:, None]
