"""Average precision of boxes and masks by the official COCO protocol."""

from visionzoo.metrics.coco.adapter import BoundaryAPMetric, CocoMetric, class_table
from visionzoo.metrics.coco.average_precision import NUMBERS, CocoScores, coco_ap, score_detections

__all__ = ["NUMBERS", "BoundaryAPMetric", "CocoMetric", "CocoScores", "class_table", "coco_ap", "score_detections"]
