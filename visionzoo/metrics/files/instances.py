"""Masks of objects: COCO AP and AR, and boundary AP.

The truth is an annotation file of COCO, the prediction a list of detections with masks in COCO's result format: run
lengths, compressed or not, or polygons.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from visionzoo.metrics.files._kind import FileKind, Measured
from visionzoo.metrics.files.detection import Backend, score


def measure(
    gt: Path,
    pred: Path,
    *,
    gt_masks: Path | None = None,
    boundary: bool = False,
    size_of: Literal["mask", "box"] = "mask",
    iou_thrs: Sequence[float] = (),
    backend: Backend = "auto",
) -> Measured:
    """Measure masks.

    Args:
        gt: annotation file of COCO, every annotation with a segmentation; or panoptic annotations.
        pred: list of detections with ``segmentation``.
        gt_masks: see :func:`read_truth`.
        boundary: True to measure boundary AP too.
        size_of, iou_thrs, backend: see :func:`visionzoo.metrics.coco.score_detections`.

    Raises:
        DataError: a file is missing or has errors, see :func:`read_results`.
    """
    from visionzoo.metrics.files._coco_results import read_results, read_truth

    truth = read_truth(gt, gt_masks, need_masks=True)
    found = read_results(pred, truth, "segmentation")
    iou_types = ("segm", "boundary") if boundary else ("segm",)
    return score(truth, found, iou_types, iou_thrs=tuple(iou_thrs), backend=backend, size_of=size_of)


KIND = FileKind(
    truth="annotations of COCO with masks, instances_val2017.json, or panoptic annotations, whose things count",
    prediction="results of COCO: a list of image_id, category_id, segmentation and score",
    measure=measure,
    options={
        "gt_masks": "panoptic annotations: folder of the PNG files (default: by the name of --gt)",
        "boundary": "also measure boundary AP",
        "size_of": "what makes a detection small, medium or large; pycocotools takes the box where there is one",
        "iou_thrs": "further IoU thresholds, each of which adds an AP (default: none)",
        "backend": "implementation of COCO AP",
    },
    examples=(
        "--gt annotations/instances_val2017.json --pred predictions.coco.json",
        "--gt instances.json --pred masks.json --boundary --out scores",
    ),
)
