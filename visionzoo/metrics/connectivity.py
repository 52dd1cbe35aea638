"""Quality of a connectivity cube, independent of the saliency map that is computed from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from mmengine.evaluator import BaseMetric

from visionzoo.errors import ConfigError
from visionzoo.metrics.meaning import SHARE, Meaning
from visionzoo.metrics.means import exact_mean
from visionzoo.registry import METRICS


@METRICS.register_module()
class PairMetric(BaseMetric):
    """Means over images of the numbers that ``ConnectivityHead`` measures: ``pairs/agreement`` and ``pairs/accuracy``.

    Set ``measure_pairs=True`` in the head, and use this metric together with ``SaliencyMetric``. The mean agreement
    excludes images of a single pixel. The mean accuracy excludes images without ground truth.

    Args:
        collect_device: device on which results of several processes are collected, ``cpu`` or ``gpu``.
        prefix: replaces ``pairs`` in the names.

    Raises:
        ConfigError: a sample has no ``pred_pair_agreement``; raised by ``process``.

    Example:
        >>> metric = PairMetric()
        >>> metric.process(None, [{"pred_pair_agreement": 0.5}, {"pred_pair_agreement": 1.0}])
        >>> metric.evaluate(size=2)
        {'pairs/agreement': 0.75}
    """

    default_prefix = "pairs"
    MEANINGS: ClassVar[Mapping[str, Meaning]] = {"*": SHARE}

    def __init__(self, collect_device: str = "cpu", prefix: str | None = None):
        super().__init__(collect_device=collect_device, prefix=prefix)

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Add a batch: one dict for each sample."""
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

    def possible_names(self) -> list[str]:
        """Return the names that an evaluation can measure, without the prefix; ``*`` stands for any text."""
        return ["agreement", "accuracy"]

    def compute_metrics(self, results: list[tuple[float, float]]) -> dict[str, float]:
        """Compute the numbers from the results of all processes."""
        columns = dict(zip(("agreement", "accuracy"), np.array(results, dtype=np.float64).T, strict=True))
        defined = {name: values[~np.isnan(values)] for name, values in columns.items()}
        return {name: exact_mean(values) for name, values in defined.items() if len(values)}
