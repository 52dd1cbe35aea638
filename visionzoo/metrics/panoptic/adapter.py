"""Panoptic quality as a metric of mmengine."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from visionzoo.allowed import Fraction
from visionzoo.errors import ConfigError
from visionzoo.metrics.boundaries import RATIO
from visionzoo.metrics.meaning import SHARE, Meaning
from visionzoo.metrics.panoptic.areas import AreaDifferences
from visionzoo.metrics.panoptic.quality import panoptic_quality
from visionzoo.metrics.panoptic.scoring import ImageMatches, match_image, panoptic_numbers
from visionzoo.metrics.required import required, sample_name
from visionzoo.registry import METRICS

_NAME = "PanopticQualityMetric"


@METRICS.register_module()
class PanopticQualityMetric(BaseMetric):
    """Panoptic quality of samples with ``gt_panoptic`` and ``pred_panoptic``, :class:`PanopticMap` of the same size.

    Categories of segments are class indices: positions in ``classes`` of the data set's metainfo, things first. The
    numbers, from 0 to 1, are ``pq/PQ``, ``pq/SQ``, ``pq/RQ``, ``pq/PQ_things``, ``pq/PQ_stuff`` and so on, see
    :class:`PanopticScores`; with ``boundary`` also ``pq/boundary_PQ`` and so on. A group without a class has nan, which
    is printed as ``-``. After each evaluation ``per_class`` holds ``pq`` and ``boundary_pq``, rows for reports.

    Only the IoUs of matches and numbers of segments are stored until the evaluation ends.

    Args:
        boundary: True to measure boundary PQ too.
        area: ``png`` to count areas of the truth from its pixels; ``json`` for those that its segments state, as in
            panopticapi. Segments whose two areas differ are reported in one warning.
        boundary_ratio: width of boundaries as a share of the image's diagonal.
        collect_device: device on which results of several processes are collected, ``cpu`` or ``gpu``.
        prefix: replaces ``pq`` in the names.

    Attributes:
        protocol_text: what the numbers depend on; written with them.

    Example:
        >>> from visionzoo.structures.panoptic import PanopticMap
        >>> metric = PanopticQualityMetric()
        >>> metric.dataset_meta = {"classes": ("cat", "sky"), "thing_classes": ("cat",), "stuff_classes": ("sky",)}
        >>> image = PanopticMap.of_ids([[5, 5, 8]], {5: (0, False), 8: (1, False)})
        >>> metric.process(None, [{"gt_panoptic": image, "pred_panoptic": image}])
        >>> metric.evaluate(size=1)["pq/PQ"]
        1.0
    """

    default_prefix = "pq"
    MEANINGS: ClassVar[Mapping[str, Meaning]] = {"*classes*": Meaning(unit="classes"), "*": SHARE}

    def __init__(
        self,
        boundary: bool = False,
        area: Literal["png", "json"] = "png",
        boundary_ratio: Fraction = RATIO,
        collect_device: str = "cpu",
        prefix: str | None = None,
    ):
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.boundary, self.area, self.boundary_ratio = boundary, area, boundary_ratio
        self.per_class: dict[str, list[dict[str, Any]]] = {}
        counted = "counted from the pixels" if area == "png" else "as the annotations state"
        self.protocol_text = f"areas of the truth {counted}" + (
            f", boundaries of {boundary_ratio:g} of the diagonal" if boundary else ""
        )

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Add a batch: one dict for each image.

        Raises:
            DataError: a map is missing, or the maps of an image differ in size.
        """
        for sample in data_samples:
            name = sample_name(sample, len(self.results))
            truth, found = (required(sample, f"{kind}_panoptic", _NAME, name) for kind in ("gt", "pred"))
            matches = match_image(
                truth, found, area=self.area, boundary=self.boundary, ratio=self.boundary_ratio, where=name
            )
            self.results.append(matches)

    def possible_names(self) -> list[str]:
        """Return the names that an evaluation can measure, without the prefix."""
        names = list(panoptic_quality([], [], 0).numbers)
        return names + [f"boundary_{name}" for name in names if self.boundary]

    def compute_metrics(self, results: list[ImageMatches]) -> dict[str, float]:
        """Compute the numbers from the results of all processes."""
        differences = AreaDifferences()
        for image in results:
            differences.add(image.areas)
        if text := differences.said(self.area):
            print_log(f"PanopticQualityMetric: {text}", "current", logging.WARNING)
        numbers, self.per_class = panoptic_numbers(results, *classes_of(self.dataset_meta))
        return numbers


def classes_of(meta: Mapping[str, Any] | None) -> tuple[list[str], int]:
    """Return all class names, things first, and the number of things.

    Args:
        meta: metainfo of a data set.

    Raises:
        ConfigError: it does not state things and stuff, or ``classes`` is not both of them in this order.

    Example:
        >>> classes_of({"thing_classes": ("cat",), "stuff_classes": ("sky", "sea")})
        (['cat', 'sky', 'sea'], 1)
    """
    stated = meta or {}
    if "thing_classes" not in stated or "stuff_classes" not in stated:
        raise ConfigError(
            _NAME,
            expected="thing_classes and stuff_classes in the data set's metainfo",
            found=f"{', '.join(sorted(map(str, stated))) or 'none'}",
            advice="use a data set of panoptic maps",
        )
    things, stuff = list(stated["thing_classes"]), list(stated["stuff_classes"])
    if "classes" in stated and list(stated["classes"]) != things + stuff:
        raise ConfigError(
            _NAME,
            expected="classes of the data set to be its thing_classes and then its stuff_classes",
            found="another order or other names",
            advice="correct metainfo of the data set",
        )
    return things + stuff, len(things)
