"""Instance segmentation: boxes with masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from visionzoo.structures.graph_results import Frame, GraphSample
from visionzoo.structures.mask_pasting import pasted
from visionzoo.structures.query_fusion import fused_queries
from visionzoo.tasks.detection import Detection


class Instances(Detection):
    """Task of finding the boxes and masks of objects. The result is :class:`Detections` with masks."""

    needs_masks = True
    save_best = {"coco/segm_mAP": "greater", "coco/bbox_mAP": "greater"}
    compares_masks = True
    error_text = "1 less the F1 at IoU 0.5 of the objects with a score of at least 0.3"

    def of_graph(self, outputs: Mapping[str, np.ndarray], frame: Frame) -> GraphSample:
        if "fusion" in frame.settings:
            return fused_queries(outputs, frame)
        found = super().of_graph(outputs, frame).pred_instances
        masks, threshold = outputs["masks"][outputs["labels"] >= 0], frame.settings["mask_threshold"]
        whole = pasted(masks, found.bboxes, frame.original, threshold)
        return GraphSample(pred_instances=GraphSample(found, masks=whole))

    def options(self, model: Mapping[str, Any]) -> list[str]:
        """Return the option of a detector; none for a fusion of masks, which has no score threshold."""
        return [] if model.get("panoptic_fusion_head") else super().options(model)
