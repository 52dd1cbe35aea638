"""Instance segmentation: boxes with masks."""

from __future__ import annotations

from visionzoo.tasks.detection import Detection


class Instances(Detection):
    """Task of finding the boxes and masks of objects. The result is :class:`Detections` with masks."""

    save_best = {"coco/segm_mAP": "greater", "coco/bbox_mAP": "greater"}
