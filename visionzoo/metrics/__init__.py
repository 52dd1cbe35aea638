"""Metrics: pure functions, and their adapters to mmengine. Importing this package registers the adapters."""

from visionzoo.metrics.classification import ClassificationMetric, top_k_accuracy
from visionzoo.metrics.coco import CocoMetric, coco_ap

__all__ = ["ClassificationMetric", "CocoMetric", "coco_ap", "top_k_accuracy"]
