"""Metrics: pure functions, and their adapters to mmengine. Importing this package registers the adapters."""

from visionzoo.metrics.coco import CocoMetric, coco_ap

__all__ = ["CocoMetric", "coco_ap"]
