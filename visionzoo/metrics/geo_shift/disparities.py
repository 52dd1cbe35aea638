"""Geographic disparity: how much better one region is than another, by both definitions in use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from visionzoo.metrics.geo_shift.groups import Group


@dataclass(frozen=True)
class Disparity:
    """Difference of the accuracies of two groups.

    Attributes:
        value: accuracy of ``high`` minus that of ``low``; nan if one of them has no images.
        high, low: names of the groups; empty if the value is nan.
    """

    value: float
    high: str = ""
    low: str = ""


NO_DISPARITY = Disparity(float("nan"))


def best_worst(groups: Sequence[Group]) -> Disparity:
    """Return the accuracy of the best minus that of the worst group. Groups without images are left out.

    Of equal accuracies the first group is named. With fewer than two groups with images, the value is nan.

    Example:
        >>> best_worst([Group("africa", 10, 4), Group("asia", 0, 0), Group("europe", 10, 9)])
        Disparity(value=0.5, high='europe', low='africa')
    """
    there = [group for group in groups if group.images]
    if len(there) < 2:
        return NO_DISPARITY
    high = max(there, key=lambda group: group.accuracy)
    low = min(there, key=lambda group: group.accuracy)
    return Disparity(high.accuracy - low.accuracy, high.name, low.name)


def europe_africa(groups: Sequence[Group]) -> Disparity:
    """Return the accuracy of Europe minus that of Africa; nan if one of them has no images.

    Names are compared without upper and lower case.

    Example:
        >>> europe_africa([Group("Africa", 4, 1), Group("Asia", 4, 4), Group("Europe", 4, 2)]).value
        0.25
    """
    named = {group.name.lower(): group for group in groups if group.images}
    if not {"europe", "africa"} <= named.keys():
        return NO_DISPARITY
    high, low = named["europe"], named["africa"]
    return Disparity(high.accuracy - low.accuracy, high.name, low.name)


def spread(accuracies: np.ndarray) -> np.ndarray:
    """Return best minus worst accuracy of each row of (R, groups); nan values are left out, as in :func:`best_worst`.

    Returns:
        (R,); nan for a row with fewer than two numbers.

    Example:
        >>> spread(np.array([[0.5, np.nan, 0.75], [np.nan, np.nan, 0.5]])).tolist()
        [0.25, nan]
    """
    is_there = ~np.isnan(accuracies)
    values = np.where(is_there, accuracies, -np.inf).max(1) - np.where(is_there, accuracies, np.inf).min(1)
    return np.where(is_there.sum(1) >= 2, values, np.nan)
