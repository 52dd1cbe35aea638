"""Instance segmentation: boxes with masks."""

from __future__ import annotations

from visionzoo.tasks.detection import Detection


class Instances(Detection):
    """Boxes and masks of objects."""

    save_best = {"coco/segm_mAP": "greater", "coco/bbox_mAP": "greater"}
