"""How good a cube of connectivity is, apart from the map that is made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric

from visionzoo.errors import ConfigError
from visionzoo.registry import METRICS


@METRICS.register_module()
class PairMetric(BaseMetric):
    """``pairs/agreement`` and ``pairs/accuracy``: means over images of what ``ConnectivityHead`` measures.

    The head does so with ``measure_pairs=True``; use it beside ``SaliencyMetric``. Images without a pair (a single
    pixel) or without truth are left out of the mean that lacks them.

    Args:
        collect_device, prefix: see :mod:`visionzoo.metrics`.

    Raises:
        ConfigError: at the first sample that was not measured.
    """

    default_prefix = "pairs"

    def __init__(self, collect_device: str = "cpu", prefix: str | None = None):
        super().__init__(collect_device=collect_device, prefix=prefix)

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Take one batch of samples, as dicts."""
        for sample in data_samples:
            if "pred_pair_agreement" not in sample:
                raise ConfigError(
                    "PairMetric",
                    expected="samples with pred_pair_agreement",
                    found="one without",
                    advice="set model.head.measure_pairs=True",
                )
            self.results.append(
                (float(sample["pred_pair_agreement"]), float(sample.get("pred_pair_accuracy", float("nan"))))
            )

    def compute_metrics(self, results: list[tuple[float, float]]) -> dict[str, float]:
        """The numbers of all samples of all processes."""
        columns = dict(zip(("agreement", "accuracy"), np.array(results, dtype=np.float64).T, strict=True))
        return {name: float(np.nanmean(values)) for name, values in columns.items() if not np.isnan(values).all()}
