"""Detections that stay known: the curves are those of the official evaluation."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as tools

from visionzoo.metrics.coco import score_detections
from visionzoo.metrics.coco.matching import (
    MatchedImage,
    confusion_of,
    match_image,
    precision_curves,
    threshold_curve,
)

CLASSES, SIZE = 4, (48, 64)


def _box(random: np.random.Generator) -> np.ndarray:
    corner, sides = random.random(2) * (40, 28), 6 + random.random(2) * 14
    return np.concatenate([corner, corner + sides])


def scene(seed: int) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return detections, objects and crowds of an image; some images have no object or no detection."""
    random = np.random.default_rng(seed)
    objects, crowds = (np.array([_box(random) for _ in range(count)]).reshape(-1, 4) for count in (seed % 5, seed % 2))
    near = [box + random.normal(0, 0.8, 4) for box in [*objects, *objects, *crowds] if random.random() < 0.8]
    found = np.array([*near, *([_box(random)] if seed % 3 else [])]).reshape(-1, 4)
    labels = [random.integers(0, CLASSES - 1, len(boxes)) for boxes in (found, objects, crowds)]  # the last has none
    scores = random.random(len(found)).astype(np.float32)
    parts = [{"bboxes": boxes, "labels": of} for boxes, of in zip((found, objects, crowds), labels, strict=True)]
    return {**parts[0], "scores": scores}, parts[1], parts[2]


def as_coco(scenes: list[Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    truth: dict[str, Any] = {"images": [], "categories": [{"id": k, "name": str(k)} for k in range(CLASSES)]}
    entries: list[dict[str, Any]] = []
    detections = []
    for number, (found, objects, crowds) in enumerate(scenes):
        truth["images"].append({"id": number, "width": SIZE[1], "height": SIZE[0]})
        for crowd, part in enumerate((objects, crowds)):
            for box, label in zip(part["bboxes"], part["labels"], strict=True):
                entry = {"id": len(entries) + 1, "image_id": number, "category_id": int(label), "iscrowd": crowd}
                entries.append({**entry, **_region(box)})
        for box, label, score in zip(found["bboxes"], found["labels"], found["scores"], strict=True):
            entry = {"image_id": number, "category_id": int(label), "score": float(score)}
            detections.append({**entry, **_region(box)})
    return {**truth, "annotations": entries}, detections


def _region(box: np.ndarray) -> dict[str, Any]:
    sides = box[2:] - box[:2]
    mask = np.zeros(SIZE, np.uint8, order="F")
    left, top, right, bottom = box.round().astype(int)
    mask[max(top, 0) : bottom, max(left, 0) : right] = 1
    return {"bbox": [*box[:2], *sides], "area": float(sides.prod()), "segmentation": tools.encode(mask)}


def with_masks(part: dict[str, Any]) -> dict[str, Any]:
    return {**part, "rles": [_region(box)["segmentation"] for box in part["bboxes"]]}


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_average_precision_is_that_of_the_official_evaluation(kind: str) -> None:
    scenes = [scene(seed) for seed in range(24)]
    given = scenes if kind == "bbox" else [tuple(with_masks(part) for part in each) for each in scenes]
    images = [match_image(*each, threshold=0.3) for each in given]
    curves = precision_curves(images, CLASSES)
    official = score_detections(*as_coco(scenes), kind)
    assert curves.mean == pytest.approx(official.numbers["mAP_50"], abs=1e-12)
    for average, objects, row in zip(curves.average, curves.objects, official.per_class, strict=True):
        assert objects == row["objects"]
        assert np.isnan(average) if row["AP50"] == -1 else average == pytest.approx(row["AP50"], abs=1e-12)
    assert 0.1 < curves.mean < 0.9
    assert len(pickle.dumps(images)) / len(images) < 1000


def test_the_best_threshold_is_that_of_a_search() -> None:
    images = [match_image(*scene(seed), threshold=0.3) for seed in range(24)]
    for label in (None, 1):
        curve = threshold_curve(images, label)
        objects = sum(int(((each.objects == label) | (label is None)).sum()) for each in images)
        best = max(_f1_at(images, float(each), label, objects) for each in curve.thresholds)
        assert curve.f1[curve.best] == pytest.approx(best, abs=1e-12)
        at_best = _f1_at(images, float(curve.thresholds[curve.best]), label, objects)
        assert at_best == pytest.approx(best, abs=1e-12)


def _f1_at(images: list[MatchedImage], threshold: float, label: int | None, objects: int) -> float:
    kept = [
        state
        for each in images
        for score, of, state in zip(each.scores, each.labels, each.status, strict=True)
        if score >= threshold and state >= 0 and label in (None, of)
    ]
    return 2 * sum(kept) / (len(kept) + objects)


def test_the_confusion_matrix_counts_each_object_and_detection_once() -> None:
    boxes = np.array([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10.0]])
    truth = {"labels": [0, 1, 1], "bboxes": boxes}
    crowd = {"labels": [2], "bboxes": [[0, 20, 60, 40]]}
    found = {
        "labels": [0, 0, 0, 2, 1],
        "bboxes": np.concatenate([boxes[[0, 0, 1]], [[5, 25, 9, 30]], [[50, 40, 60, 48]]]),
        "scores": [0.9, 0.8, 0.7, 0.9, 0.3],
    }
    image = match_image(found, truth, crowd, threshold=0.3)
    counts = confusion_of([image], 3)
    assert counts.tolist() == [[1, 0, 0, 0], [1, 0, 0, 1], [0, 0, 0, 0], [1, 1, 0, 0]]
    higher = confusion_of([match_image(found, truth, crowd, threshold=0.75)], 3)
    assert higher.tolist() == [[1, 0, 0, 0], [0, 0, 0, 2], [0, 0, 0, 0], [1, 0, 0, 0]]
    assert image.f1 == pytest.approx(2 * 1 / (4 + 3))  # the detection in the crowd does not count


@pytest.mark.parametrize(("found", "truth", "f1"), [(0, 0, 1.0), (1, 0, 0.0), (0, 1, 0.0), (1, 1, 1.0)])
def test_images_without_objects_or_detections(found: int, truth: int, f1: float) -> None:
    box = np.array([[1.0, 2.0, 9.0, 7.0]])
    detections = {"labels": [0] * found, "bboxes": box[:found], "scores": [0.9] * found}
    image = match_image(detections, {"labels": [0] * truth, "bboxes": box[:truth]}, None, 0.3)
    assert image.f1 == f1
    assert confusion_of([image], 1).sum() == max(found, truth)
    assert len(threshold_curve([image]).thresholds) == found
    assert np.isnan(precision_curves([image], 1).mean) == (truth == 0)


def test_no_image_at_all() -> None:
    assert confusion_of([], 2).sum() == 0
    assert np.isnan(precision_curves([], 2).mean)
    assert len(threshold_curve([]).thresholds) == 0
