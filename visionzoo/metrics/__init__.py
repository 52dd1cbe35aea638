"""Metrics: pure functions, and their adapters to mmengine. Importing this package registers the adapters."""

from visionzoo.metrics.classification import ClassificationMetric, top_k_accuracy
from visionzoo.metrics.coco import CocoMetric, coco_ap
from visionzoo.metrics.counting import CountMetric, count_errors, game
from visionzoo.metrics.lanes import CULaneMetric, TuSimpleMetric
from visionzoo.metrics.pairs import PairMetric
from visionzoo.metrics.saliency import SaliencyMetric, score_pair

__all__ = [
    "CULaneMetric",
    "ClassificationMetric",
    "CocoMetric",
    "CountMetric",
    "PairMetric",
    "SaliencyMetric",
    "TuSimpleMetric",
    "coco_ap",
    "count_errors",
    "game",
    "score_pair",
    "top_k_accuracy",
]
