"""Metrics of COCONut against the authors' code: panoptic quality, semantic scores, COCO AP with boundaries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from visionzoo.metrics.coco import coco_ap
from visionzoo.metrics.panoptic import match_image, panoptic_numbers
from visionzoo.metrics.semantic import count_pixels, semantic_scores
from visionzoo.structures.panoptic import PanopticMap, Segment

Arrays = dict[str, np.ndarray]

# The 80 things of COCO have ids up to 90, stuff has ids above.
_LAST_THING = 90


# --------------------------------------------------------------------------- panoptic quality


def _run_quality(case: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Measure PQ and Boundary PQ with the areas of the JSON, as the reference does."""
    labels = {category: label for label, category in enumerate(case["category_order"])}
    things = sum(category <= _LAST_THING for category in labels)
    images = [
        match_image(
            _panoptic_of(arrays[f"input:gt{number}"], truth["segments_info"], labels),
            _panoptic_of(arrays[f"input:pred{number}"], found["segments_info"], labels),
            area="json",
            boundary=True,
        )
        for number, (truth, found) in enumerate(zip(case["gt_json"], case["pred_json"], strict=True))
    ]
    numbers, tables = panoptic_numbers(images, [str(category) for category in labels], things)
    outputs = {}
    for start, rows in (("", tables["pq"]), ("boundary_", tables["boundary_pq"])):
        for group, end in (("All", ""), ("Things", "_things"), ("Stuff", "_stuff")):
            names = (f"{start}{name}{end}" for name in ("PQ", "SQ", "RQ", "classes"))
            outputs[f"{start}{group}"] = np.nan_to_num([numbers[name] for name in names])
        outputs[f"{start}per_class"] = np.nan_to_num([[row[name] for name in ("PQ", "SQ", "RQ")] for row in rows])
        # SQ times TP is the sum of the IoUs.
        sums = np.nan_to_num([row["SQ"] * row["TP"] for row in rows])
        outputs[f"{start}counts"] = np.column_stack(
            [[[row[name] for name in ("TP", "FP", "FN")] for row in rows], sums]
        )
    return outputs


def _panoptic_of(ids: np.ndarray, listed: list[dict[str, Any]], labels: Mapping[int, int]) -> PanopticMap:
    """Return the map of one image with class indices, and with the areas of the JSON where it has some."""
    counted = PanopticMap.of_ids(ids, {each["id"]: (each["category_id"], each.get("iscrowd", 0)) for each in listed})
    areas = {each["id"]: each.get("area") for each in listed}
    segments = [
        Segment(each.id, labels[each.category_id], areas[each.id] or each.area, each.bbox, each.iscrowd)
        for each in counted.segments
    ]
    return PanopticMap(counted.ids, tuple(segments))


# --------------------------------------------------------------------------- semantic maps


def _run_semantic(case: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Convert the truth to semantic maps, and measure the stored predictions."""
    labels = {category: label for label, category in enumerate(case["category_order"])}
    maps = {
        f"semantic{number}": _panoptic_of(arrays[f"input:gt{number}"], each["segments_info"], labels).class_map()
        for number, each in enumerate(case["gt_json"])
    }
    return maps | _semantic_scores([str(category) for category in labels], maps, arrays)


def _semantic_scores(classes: list[str], maps: Arrays, arrays: Mapping[str, np.ndarray]) -> Arrays:
    images = [
        count_pixels(maps[f"semantic{number}"], arrays[f"input:pred_semantic{number}"], len(classes), boundary=True)
        for number in range(len(maps))
    ]
    scores = semantic_scores(images, classes, boundary=True)
    columns = {name: 100 * np.array([row[name] for row in scores.per_class]) for name in ("IoU", "ACC", "boundary_IoU")}
    percent = {name: np.where(np.isnan(values), -1, values) for name, values in columns.items()}
    return {
        "summary": 100 * np.array([scores.numbers[name] for name in ("mIoU", "fwIoU", "mACC", "pACC")]),
        "iou": percent["IoU"],
        "acc": percent["ACC"],
        "boundary_iou_by_definition": percent["boundary_IoU"],
        "boundary_counts": np.sum([_edges(image, len(classes)) for image in images], 0).T,
        "confusion_nonzero": _confusion(scores.confusion, maps, arrays),
    }


def _edges(image: Any, classes: int) -> np.ndarray:
    return np.array([image.boundaries.get(label, (0, 0, 0)) for label in range(classes)])


def _confusion(counted: np.ndarray, maps: Arrays, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return rows of predicted class, true class and pixels. Ours leaves out the pixels that the truth ignores."""
    classes = counted.shape[1]
    ignored = np.zeros((classes + 1, 1), np.int64)
    for number in range(len(maps)):
        found = arrays[f"input:pred_semantic{number}"][maps[f"semantic{number}"] == 255]
        ignored[:, 0] += np.bincount(np.minimum(found, classes), minlength=classes + 1)
    whole = np.hstack([counted, ignored])
    places = np.argwhere(whole)
    return np.column_stack([places, whole[whole > 0]])


# --------------------------------------------------------------------------- COCO AP


def _run_average_precision(case: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Measure COCO AP of the stored detections with the stored annotations."""
    measured = {f"{iou_type}_stats": ("rle", iou_type) for iou_type in ("segm", "bbox", "boundary")}
    outputs = {}
    for name, (truth, iou_type) in (measured | {"segm_stats_polygon_gt": ("coconut_script", "segm")}).items():
        listed = case[f"{truth}_annotations"]
        ids = {each["category_id"] for each in [*listed, *case["detections"]]}
        categories = [{"id": each, "name": str(each)} for each in sorted(ids)]
        record = {"images": case["images"], "categories": categories, "annotations": listed}
        # The reference lets pycocotools read the detections, which sizes a detection with a box by its box.
        numbers = coco_ap(record, case["detections"], iou_type, size_of="box")
        outputs[name] = np.array(list(numbers.values()))
    return outputs


FAMILIES = {"pq_": _run_quality, "semantic_": _run_semantic, "instances_": _run_average_precision}
