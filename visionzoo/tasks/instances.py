"""Instance segmentation: boxes with masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from visionzoo.tasks.detection import Detection


class Instances(Detection):
    """Task of finding the boxes and masks of objects. The result is :class:`Detections` with masks."""

    needs_masks = True
    save_best = {"coco/segm_mAP": "greater", "coco/bbox_mAP": "greater"}
    compares_masks = True

    def options(self, model: Mapping[str, Any]) -> list[str]:
        """Return the option of a detector; none for a fusion of masks, which has no score threshold."""
        return [] if model.get("panoptic_fusion_head") else super().options(model)
