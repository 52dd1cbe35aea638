"""What the numbers of a metric mean: the better direction and the unit.

A metric states them by ``MEANINGS``, from patterns of names without the prefix, such as ``MAE*``, to a
:class:`Meaning`. The first pattern that matches counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any, NamedTuple


class Meaning(NamedTuple):
    """``better`` is ``higher``, ``lower``, or empty for a number that is neither good nor bad; ``unit`` is a word."""

    better: str = ""
    unit: str = ""


SHARE, ERROR_SHARE = Meaning("higher", "share"), Meaning("lower", "share")


def meaning_of(name: str, metrics: Iterable[Any]) -> Meaning:
    """Return the meaning of a number.

    Args:
        name: name with its prefix, ``coco/bbox_mAP``.
        metrics: the metrics of an evaluator.

    Returns:
        An empty meaning if no metric states one.

    Example:
        >>> from visionzoo.metrics.counting import CountMetric
        >>> meaning_of("count/NAE", [CountMetric()])
        Meaning(better='lower', unit='share')
        >>> meaning_of("toy/score", [CountMetric()])
        Meaning(better='', unit='')
    """
    for metric in metrics:
        start = f"{metric.prefix}/" if getattr(metric, "prefix", None) else ""
        for pattern, meaning in getattr(metric, "MEANINGS", {}).items():
            if fnmatchcase(name, f"{start}{pattern}"):
                return meaning
    return Meaning()
