"""Metrics: pure functions, and their adapters to mmengine. Importing this package registers the adapters."""

from visionzoo.metrics.classification import ClassificationMetric, top_k_accuracy
from visionzoo.metrics.coco import CocoMetric, coco_ap
from visionzoo.metrics.pairs import PairMetric
from visionzoo.metrics.saliency import SaliencyMetric, score_pair

__all__ = [
    "ClassificationMetric",
    "CocoMetric",
    "PairMetric",
    "SaliencyMetric",
    "coco_ap",
    "score_pair",
    "top_k_accuracy",
]
