"""The error of shifts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.evaluator import BaseMetric

from visionzoo.registry import METRICS


@METRICS.register_module()
class ToyShiftMetric(BaseMetric):
    """Mean absolute error in voxels."""

    default_prefix = "toy_shift"

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        self.results += [abs(float(sample["pred_shift"]) - float(sample["gt_shift"])) for sample in data_samples]

    def compute_metrics(self, results: list) -> dict[str, float]:
        return {"MAE": sum(results) / len(results)}
