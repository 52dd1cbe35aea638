"""Saliency measures as a metric of mmengine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from mmengine.evaluator import BaseMetric

from visionzoo.metrics.meaning import ERROR_SHARE, SHARE, Meaning
from visionzoo.metrics.required import required, sample_name
from visionzoo.metrics.saliency.protocols import find_protocol
from visionzoo.metrics.saliency.scores import (
    PairScores,
    SaliencyScores,
    in_fixed_order,
    report_empty_masks,
    score_pair,
)
from visionzoo.registry import METRICS


@METRICS.register_module()
class SaliencyMetric(BaseMetric):
    """Saliency measures of samples with ``pred_map`` and ``gt_map``, both in the original image's pixels.

    ``pred_map`` is (H, W) or (1, H, W), floats in [0, 1]. ``gt_map`` is (H, W) bool or uint8 with 0 to 255; the
    protocol determines whether grey levels of masks stay soft. ``img_path`` and ``group`` are used only as
    names. The numbers are ``sal/Smeasure``, ``sal/MAE``, ``sal/Emeasure_max`` and so on; see
    :meth:`SaliencyScores.summary`. Means are over images, never over groups.

    The curves of each image, about 10 kB, are stored until the evaluation ends; maps are not stored. Samplers assign a
    few samples to two processes, and these duplicates are removed before the means are computed.

    Args:
        protocol: ``pysod`` or ``gconet``.
        metrics: some of ``MEASURES``. Default: ``Smeasure``, ``MAE``, ``Emeasure`` and ``Fmeasure``; with ``gconet``
            also ``PR``.
        per_image: True to store one row for each image in the attribute ``per_image`` after an evaluation. A row has
            ``image``, ``group`` and the numbers.
        collect_device: device on which results of several processes are collected, ``cpu`` or ``gpu``.
        prefix: replaces ``sal`` in the names.

    Raises:
        UnknownName: there is no such protocol or measure.
        ConfigError: the protocol lacks one of the measures, or ``metrics`` is empty.

    Example:
        >>> import numpy as np
        >>> mask = np.arange(12).reshape(3, 4) > 5
        >>> metric = SaliencyMetric(metrics=["MAE"])
        >>> metric.process(None, [{"pred_map": mask, "gt_map": mask}])
        >>> metric.evaluate(size=1)
        {'sal/MAE': 0.0, 'sal/images': 1.0}
    """

    default_prefix = "sal"
    MEANINGS: ClassVar[Mapping[str, Meaning]] = {
        "images": Meaning(unit="images"),
        "*_undefined": Meaning(unit="images"),
        "MAE*": ERROR_SHARE,
        "*": SHARE,
    }

    def __init__(
        self,
        protocol: str = "pysod",
        metrics: str | Sequence[str] | None = None,
        per_image: bool = False,
        collect_device: str = "cpu",
        prefix: str | None = None,
    ):
        super().__init__(collect_device=collect_device, prefix=prefix)
        chosen = (metrics,) if isinstance(metrics, str) else metrics
        self.measures = find_protocol(protocol).chosen(None if chosen is None else tuple(chosen))
        self.protocol, self.wants_rows = protocol, per_image
        self.per_image: list[dict[str, Any]] = []
        self._has_warned = False

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Add a batch: one dict for each sample, with ground truth and predictions.

        Raises:
            DataError: a map is missing or invalid, or sizes differ under ``pysod``.
        """
        for sample in data_samples:
            # one entry per sample, because mmengine counts entries; the entry of a group holds all its images
            self.results.append([self._scored(image) for image in _images(sample)])

    def _scored(self, sample: Mapping[str, Any]) -> tuple[str, str, PairScores]:
        name = sample_name(sample, len(self.results))
        pred_map, gt_map = (required(sample, key, "SaliencyMetric", name) for key in ("pred_map", "gt_map"))
        pair = score_pair(pred_map, gt_map, self.protocol, self.measures, where=name)
        return name, str(sample.get("group") or ""), pair

    def possible_names(self) -> list[str]:
        """Return the names that an evaluation can measure, without the prefix; ``*`` stands for any text."""
        mask = np.eye(2, dtype=bool)
        scores = SaliencyScores()
        scores.add(score_pair(mask, mask, self.protocol, self.measures))
        return list(scores.summary())

    def compute_metrics(self, results: list[list[tuple[str, str, PairScores]]]) -> dict[str, float]:
        """Compute the numbers from the results of all processes.

        Raises:
            DataError: no mask has a foreground pixel.
        """
        images = [image for sample in results for image in sample]
        empty = [name for name, _, pair in images if pair.is_empty]
        report_empty_masks(type(self).__name__, empty, len(images), warn=not self._has_warned)
        self._has_warned |= bool(empty)
        scores = SaliencyScores()
        for pair in in_fixed_order(pair for _, _, pair in images):
            scores.add(pair)
        if self.wants_rows:
            self.per_image = [{"image": name, "group": group} | pair.summary() for name, group, pair in images]
        return scores.summary()


def _images(sample: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Split the sample of a group, whose ``pred_map`` is a list, into its images; keep the sample of one image."""
    maps = sample.get("pred_map")
    if not isinstance(maps, list):
        return [sample]
    lists = {key: sample.get(key) for key in ("gt_map", "img_path")}
    shared = {"group": sample.get("group")}
    return [
        {"pred_map": pred_map, **shared, **{key: None if each is None else each[index] for key, each in lists.items()}}
        for index, pred_map in enumerate(maps)
    ]
