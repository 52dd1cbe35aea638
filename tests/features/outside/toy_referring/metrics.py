"""The overlap of maps with masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric

from visionzoo.registry import METRICS


@METRICS.register_module()
class ToyOverlapMetric(BaseMetric):
    """Mean intersection over union of maps with a threshold of 0.5."""

    default_prefix = "toy_overlap"

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        for sample in data_samples:
            mask, truth = np.asarray(sample["pred_map"]) > 0.5, np.asarray(sample["gt_map"]) > 127
            self.results.append((mask & truth).sum() / max((mask | truth).sum(), 1))

    def compute_metrics(self, results: list) -> dict[str, float]:
        return {"IoU": float(np.mean(results))}
