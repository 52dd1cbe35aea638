"""Geographic shift: accuracy of regions, incomes and countries, disparities, and progress over many models."""

from visionzoo.metrics.geo_shift.adapter import GeoShiftMetric
from visionzoo.metrics.geo_shift.bootstrap import Interval, Resamples, interval_of, paired_difference
from visionzoo.metrics.geo_shift.correctness import correct_at, padded_labels, top_k
from visionzoo.metrics.geo_shift.disparities import Disparity, best_worst, europe_africa
from visionzoo.metrics.geo_shift.groups import CountryGap, Group, country_gap, crossed, groups_of, note_on_empty
from visionzoo.metrics.geo_shift.progress import (
    Line,
    baseline_line,
    effective_robustness,
    fit_line,
    progress_gap,
    progress_ratio,
)

__all__ = [
    "CountryGap",
    "Disparity",
    "GeoShiftMetric",
    "Group",
    "Interval",
    "Line",
    "Resamples",
    "baseline_line",
    "best_worst",
    "correct_at",
    "country_gap",
    "crossed",
    "effective_robustness",
    "europe_africa",
    "fit_line",
    "groups_of",
    "interval_of",
    "note_on_empty",
    "padded_labels",
    "paired_difference",
    "progress_gap",
    "progress_ratio",
    "top_k",
]
