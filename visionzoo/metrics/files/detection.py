"""Boxes: COCO AP and AR.

The truth is an annotation file of COCO, the prediction a list of detections in COCO's result format.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from visionzoo.errors import counted
from visionzoo.metrics.files._kind import FileKind, Measured

Backend = Literal["auto", "faster", "pycocotools"]


def measure(
    gt: Path,
    pred: Path,
    *,
    gt_masks: Path | None = None,
    iou_thrs: Sequence[float] = (),
    backend: Backend = "auto",
) -> Measured:
    """Measure boxes.

    Args:
        gt: annotation file of COCO, or panoptic annotations.
        pred: list of detections with ``bbox``.
        gt_masks: see :func:`read_truth`.
        iou_thrs, backend: see :func:`visionzoo.metrics.coco.score_detections`.

    Raises:
        DataError: a file is missing or has errors, see :func:`read_results`.
    """
    from visionzoo.metrics.files._coco_results import read_results, read_truth

    truth = read_truth(gt, gt_masks, need_masks=False)
    found = read_results(pred, truth, "bbox")
    return score(truth, found, ("bbox",), iou_thrs=tuple(iou_thrs), backend=backend)


def score(truth: dict[str, Any], found: list[dict[str, Any]], iou_types: Sequence[str], **options: Any) -> Measured:
    """Return the numbers of detections for each type of IoU.

    Args:
        truth: content of an annotation file.
        found: the detections.
        iou_types: some of ``bbox``, ``segm`` and ``boundary``.
        options: arguments of :func:`visionzoo.metrics.coco.score_detections`.
    """
    from visionzoo.metrics.coco import score_detections

    numbers: dict[str, float] = {}
    tables: dict[str, Any] = {}
    for iou_type in iou_types:
        scores = score_detections(truth, found, iou_type, **options)
        numbers |= {f"coco/{iou_type}_{name}": value for name, value in scores.numbers.items()}
        tables[iou_type] = scores.per_class
    without = len(truth["images"]) - len({each["image_id"] for each in found})
    note = f"{counted(without, 'image')} of {len(truth['images'])} without a detection" if without else ""
    return Measured(numbers, tables, "COCO, 100 detections per image", (note,) if note else ())


KIND = FileKind(
    truth="annotations of COCO, instances_val2017.json, or panoptic annotations, whose things count",
    prediction="results of COCO: a list of image_id, category_id, bbox and score",
    measure=measure,
    options={
        "gt_masks": "panoptic annotations: folder of the PNG files (default: by the name of --gt)",
        "iou_thrs": "further IoU thresholds, each of which adds an AP (default: none)",
        "backend": "implementation of COCO AP",
    },
    examples=(
        "--gt annotations/instances_val2017.json --pred predictions.coco.json",
        "--gt instances.json --pred boxes.json --iou-thrs 0.3 0.4 --out scores",
    ),
)
