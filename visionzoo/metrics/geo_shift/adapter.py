"""Accuracy by region, and disparity, as a metric of mmengine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
from mmengine.evaluator import BaseMetric

from visionzoo.allowed import Items, Steps
from visionzoo.metrics.geo_shift.correctness import correct_at, padded_labels, top_k
from visionzoo.metrics.geo_shift.disparities import best_worst, europe_africa
from visionzoo.metrics.geo_shift.groups import groups_of
from visionzoo.metrics.meaning import ERROR_SHARE, SHARE, Meaning
from visionzoo.metrics.required import required, sample_name
from visionzoo.registry import METRICS
from visionzoo.structures.arrays import as_array


@METRICS.register_module()
class GeoShiftMetric(BaseMetric):
    """Accuracy of each region, and disparities, of samples with ``gt_labels``, ``region`` and ``pred_score``.

    ``gt_labels`` are one or several class indices, any of which counts. The numbers are shares in [0, 1]: ``geo/top1``,
    ``geo/top1/<region>``, ``geo/disparity1`` (best minus worst region) and ``geo/europe_africa1``, and the same for
    each k. A disparity without two regions is nan.

    Args:
        topk: values of k, each >= 1.
        by: key of a sample that names its group: ``region``, ``income_group`` or ``country``.
        collect_device: device on which results of several processes are collected, ``cpu`` or ``gpu``.
        prefix: replaces ``geo`` in the names.

    Attributes:
        protocol_text: what the numbers depend on; written with them.

    Raises:
        ConfigError: ``topk`` is empty or contains a value below 1.

    Example:
        >>> metric = GeoShiftMetric(topk=1)
        >>> right = {"gt_labels": [1, 2], "region": "Europe", "pred_score": np.array([0.1, 0.2, 0.7])}
        >>> wrong = {"gt_labels": [0], "region": "Africa", "pred_score": np.array([0.1, 0.2, 0.7])}
        >>> metric.process(None, [right, wrong])
        >>> metric.evaluate(size=2)["geo/europe_africa1"]
        1.0
    """

    default_prefix = "geo"
    MEANINGS: ClassVar[Mapping[str, Meaning]] = {"top*": SHARE, "*": ERROR_SHARE}

    def __init__(
        self,
        topk: Steps | Annotated[Sequence[Steps], Items()] = (1, 5),
        by: str = "region",
        collect_device: str = "cpu",
        prefix: str | None = None,
    ):
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.topk = (topk,) if isinstance(topk, int) else tuple(topk)
        self.by = by
        self.protocol_text = f"any label of an image counts, groups by {by}"

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Add a batch: one dict for each sample, with ground truth and predictions.

        Raises:
            DataError: a value is missing, or an image has no label.
        """
        for sample in data_samples:
            name = sample_name(sample, len(self.results))
            score, labels, group = (
                required(sample, key, "GeoShiftMetric", name) for key in ("pred_score", "gt_labels", self.by)
            )
            matrix = padded_labels([[int(label) for label in labels]], [name])
            scores = as_array(score, single=True)[None]
            hits = correct_at(top_k(scores, min(max(self.topk), scores.shape[1])), matrix)[0]
            self.results.append((str(group), [bool(hits[min(k, len(hits)) - 1]) for k in self.topk]))

    def possible_names(self) -> list[str]:
        """Return the names that an evaluation can measure, without the prefix; ``*`` stands for any text."""
        return [name.format(k) for k in self.topk for name in ("top{}", "top{}/*", "disparity{}", "europe_africa{}")]

    def compute_metrics(self, results: list[tuple[str, list[bool]]]) -> dict[str, float]:
        """Compute the numbers from the results of all processes."""
        names, correct = [name for name, _ in results], np.array([hits for _, hits in results])
        numbers: dict[str, float] = {}
        for column, k in enumerate(self.topk):
            groups = groups_of(correct[:, column], names)
            numbers[f"top{k}"] = float(correct[:, column].mean())
            numbers |= {f"top{k}/{group.name}": group.accuracy for group in groups}
            numbers[f"disparity{k}"] = best_worst(groups).value
            numbers[f"europe_africa{k}"] = europe_africa(groups).value
        return numbers
