"""The numbers of CULane and TuSimple as metrics of mmengine."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from visionzoo.allowed import Count, Part, Positive, Sides
from visionzoo.errors import DataError
from visionzoo.metrics.lanes.culane import LANE_WIDTH, SIZE, THRESHOLD, LaneCounts, count_matches
from visionzoo.metrics.lanes.scenarios import numbers_of, scenario_sums, scenario_table
from visionzoo.metrics.lanes.tusimple import PIXELS, OneToOne, TuSimpleScores, one_to_one, tusimple_scores
from visionzoo.metrics.meaning import ERROR_SHARE, SHARE, Meaning
from visionzoo.metrics.means import exact_mean
from visionzoo.metrics.required import required, sample_name
from visionzoo.registry import METRICS
from visionzoo.structures.arrays import as_array
from visionzoo.structures.lanes import lanes_of


@METRICS.register_module()
class CULaneMetric(BaseMetric):
    """CULane's F1 of samples with ``pred_lanes`` and ``gt_lanes``, lists of (n, 2) points in the original image.

    The numbers are ``culane/F1``, ``culane/precision`` (-1 without detections), ``culane/recall`` (-1 without
    annotations), ``culane/TP``, ``culane/FP`` and ``culane/FN``. Samples with a ``scenario`` add
    ``culane/F1/<scenario>``; the scenario ``cross`` has no annotated lanes and adds ``culane/FP/cross`` instead. A
    table of scenarios is logged.

    Three counts of each sample are stored until the evaluation ends. Samplers assign a few samples to two processes,
    and these duplicates are removed before the counts are summed.

    Args:
        image_size: (width, height) of the image on which lanes are drawn. The official program supports only 1640x590.
            Images of another size raise an error, because ``lane_width`` would not be in proportion to them.
        lane_width: width of a drawn lane in pixels, >= 1. It must be scaled with ``image_size``.
        iou_thr: a lane is found if its IoU is above this value in [0, 1): 0.5, or 0.3 as the paper also reports.
        collect_device: device on which results of several processes are collected, ``cpu`` or ``gpu``.
        prefix: replaces ``culane`` in the names.

    Raises:
        ConfigError: the size, width or threshold is out of range.

    Example:
        >>> import numpy as np
        >>> lane = np.array([[20.0, 90.0], [60.0, 10.0]])
        >>> metric = CULaneMetric(image_size=(100, 100), lane_width=5)
        >>> metric.process(None, [{"pred_lanes": [lane], "gt_lanes": [lane]}])
        >>> metric.evaluate(size=1)["culane/F1"]
        1.0
    """

    default_prefix = "culane"
    MEANINGS: ClassVar[Mapping[str, Meaning]] = {
        "TP": Meaning("higher", "lanes"),
        "F[PN]": Meaning("lower", "lanes"),
        "FP/*": Meaning("lower", "lanes"),
        "*": SHARE,
    }

    def __init__(
        self,
        image_size: Sides = SIZE,
        lane_width: Count = LANE_WIDTH,
        iou_thr: Part = THRESHOLD,
        collect_device: str = "cpu",
        prefix: str | None = None,
    ):
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.image_size = (int(image_size[0]), int(image_size[1]))
        self.lane_width, self.iou_thr = lane_width, iou_thr

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Add a batch: one dict for each sample, with ground truth and predictions.

        Raises:
            DataError: lanes are missing, or the image has another size.
        """
        for sample in data_samples:
            name = sample_name(sample, len(self.results))
            for key in ("pred_lanes", "gt_lanes"):
                required(sample, key, "CULaneMetric", name)
            self._require_size(sample, name)
            matches = count_matches(
                [as_array(lane) for lane in sample["gt_lanes"]],
                lanes_of(sample).points,
                size=self.image_size,
                width=self.lane_width,
                threshold=self.iou_thr,
            )
            self.results.append((sample.get("scenario"), matches.counts))

    def _require_size(self, sample: Mapping[str, Any], name: str) -> None:
        shape = sample.get("ori_shape")
        if shape is not None and tuple(shape[:2]) != self.image_size[::-1]:
            width, height = self.image_size
            raise DataError(
                "CULaneMetric",
                expected=f"images of {width}x{height} pixels",
                found=f"{shape[1]}x{shape[0]} in {name}",
                advice=(
                    f"set image_size=({shape[1]}, {shape[0]}) and lane_width in proportion, "
                    f"{max(1, round(self.lane_width * shape[1] / width))}"
                ),
            )

    def possible_names(self) -> list[str]:
        """Return the names that an evaluation can measure, without the prefix; ``*`` stands for any text."""
        return [*numbers_of(LaneCounts(), {}), "F1/*", "FP/cross"]

    def compute_metrics(self, results: list[tuple[str | None, LaneCounts]]) -> dict[str, float]:
        """Compute the numbers from the results of all processes."""
        total = sum((counts for _, counts in results), LaneCounts())
        scenarios = scenario_sums(results)
        if scenarios:
            print_log(scenario_table(total, scenarios), "current", logging.INFO)
        return numbers_of(total, scenarios)


@METRICS.register_module()
class TuSimpleMetric(BaseMetric):
    """TuSimple's numbers of samples with ``pred_lanes`` and with ``gt_x`` at the rows ``h_samples``.

    ``tusimple/accuracy``, ``tusimple/FP`` and ``tusimple/FN`` are those of the benchmark, including its quirks (FP may
    be negative). ``tusimple/F1`` matches lanes one to one. Run time is not used, so no image is rejected as too slow.

    Args:
        pixels: horizontal tolerance of a point of a vertical lane in pixels, > 0. The benchmark uses 20 for images that
            are 1280 wide; scale it in proportion to the width.
        collect_device: device on which results of several processes are collected, ``cpu`` or ``gpu``.
        prefix: replaces ``tusimple`` in the names.

    Raises:
        ConfigError: ``pixels`` is not above 0.

    Example:
        >>> import numpy as np
        >>> truth = {"gt_x": [[10.0, 20.0]], "h_samples": [40, 50]}
        >>> metric = TuSimpleMetric()
        >>> metric.process(None, [{"pred_lanes": [np.array([[20.0, 50.0], [10.0, 40.0]])], **truth}])
        >>> metric.evaluate(size=1)["tusimple/accuracy"]
        1.0
    """

    default_prefix = "tusimple"
    MEANINGS: ClassVar[Mapping[str, Meaning]] = {"F[PN]": ERROR_SHARE, "*": SHARE}

    def __init__(self, pixels: Positive = PIXELS, collect_device: str = "cpu", prefix: str | None = None):
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.pixels = pixels

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Add a batch: one dict for each sample, with ground truth and predictions.

        Raises:
            DataError: lanes or rows are missing.
        """
        for sample in data_samples:
            for key in ("pred_lanes", "gt_x", "h_samples"):
                required(sample, key, "TuSimpleMetric", sample_name(sample, len(self.results)))
            rows = list(sample["h_samples"])
            lanes, truth = lanes_of(sample).to_tusimple(rows), as_array(sample["gt_x"]).tolist()
            scores = tusimple_scores(lanes, truth, rows, pixels=self.pixels)
            self.results.append((scores, one_to_one(lanes, truth, rows, pixels=self.pixels)))

    def possible_names(self) -> list[str]:
        """Return the names that an evaluation can measure, without the prefix; ``*`` stands for any text."""
        return ["accuracy", "FP", "FN", "F1"]

    def compute_metrics(self, results: list[tuple[TuSimpleScores, OneToOne]]) -> dict[str, float]:
        """Compute the numbers from the results of all processes."""
        means = [exact_mean(column) for column in zip(*(scores for scores, _ in results), strict=True)]
        pairs = sum((counts for _, counts in results), OneToOne())
        return dict(zip(("accuracy", "FP", "FN"), means, strict=True)) | {"F1": pairs.f1}
