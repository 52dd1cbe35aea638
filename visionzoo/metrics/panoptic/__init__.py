"""Panoptic quality and boundary panoptic quality: counting, numbers and the metric of mmengine."""

from visionzoo.metrics.panoptic.adapter import PanopticQualityMetric
from visionzoo.metrics.panoptic.areas import AreaDifferences
from visionzoo.metrics.panoptic.overlaps import Overlaps
from visionzoo.metrics.panoptic.quality import (
    AREAS,
    Matches,
    PanopticScores,
    match_boundaries,
    match_segments,
    panoptic_quality,
)
from visionzoo.metrics.panoptic.scoring import ImageMatches, match_image, panoptic_numbers

__all__ = [
    "AREAS",
    "AreaDifferences",
    "ImageMatches",
    "Matches",
    "Overlaps",
    "PanopticQualityMetric",
    "PanopticScores",
    "match_boundaries",
    "match_image",
    "match_segments",
    "panoptic_numbers",
    "panoptic_quality",
]
