"""Quality of a rating: correlation of the scores of networks with their accuracies after separate training.

Low scores are good, so a good rating has a negative correlation. Published values are magnitudes.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from visionzoo.algorithms.bossnas.paths import path_name
from visionzoo.errors import DataError

# Losses are in [-4, 4]. The shift makes good scores small positive numbers.
_SHIFT = 4.0


class Correlations(NamedTuple):
    """Kendall's tau-b, Spearman's rho (ties share their mean rank) and Pearson's r. Undefined values are nan."""

    kendall: float
    spearman: float
    pearson: float


def architecture_score(architecture: Sequence[Sequence[int]], rankings: Sequence[Mapping[str, float]]) -> float:
    """Compute the sum over blocks of the path's loss + 4, rounded to 4 decimals as in the authors' scripts.

    Args:
        architecture: one path per block.
        rankings: loss by path (``"0312"``), one mapping per block; see :func:`read_ranking`.

    Raises:
        DataError: the numbers of paths and rankings differ, or a ranking does not contain the path.

    Example:
        >>> architecture_score([(0, 1), (1,)], [{"01": -3.5, "11": -3.0}, {"1": -3.75}])
        0.75
    """
    if len(architecture) != len(rankings):
        raise DataError(
            "architecture",
            expected=f"a path for each of the {len(rankings)} blocks",
            found=f"{len(architecture)}",
            advice="give one per ranking",
        )
    total = 0.0
    for block, (path, losses) in enumerate(zip(architecture, rankings)):
        if (name := path_name(path)) not in losses:
            raise DataError(
                "architecture",
                expected=f"a path that block {block}'s ranking has ({len(losses)} of them)",
                found=f"{name!r}",
                advice="check the op ids",
            )
        total += losses[name] + _SHIFT
    return round(total, 4)


def nats_architecture(name: str) -> tuple[tuple[int, ...], ...]:
    """Convert a NATS-Bench size to its CIFAR-10 paths.

    Raises:
        DataError: ``name`` is not five widths from 8 to 64 in steps of 8.

    Example:
        >>> nats_architecture("8:64:16:24:32")
        ((0, 7), (1, 2), (3,))
    """
    widths = name.split(":")
    known = [str(width) for width in range(8, 65, 8)]
    if len(widths) != 5 or not set(widths) <= set(known):
        raise DataError(
            "architecture",
            expected=f"five widths of {', '.join(known)}",
            found=f"{name!r}",
            advice="as in 8:64:16:24:32",
        )
    ids = tuple(known.index(width) for width in widths)
    return ids[:2], ids[2:4], ids[4:]


def rating_correlations(scores: Sequence[float], accuracies: Sequence[float]) -> Correlations:
    """Compute the correlations of scores with accuracies.

    Args:
        scores, accuracies: one number each per network, for at least two networks.

    Raises:
        DataError: the lengths differ, or are below two.
    """
    if len(scores) != len(accuracies) or len(scores) < 2:
        raise DataError(
            "rating",
            expected="equal numbers of scores and accuracies, at least two",
            found=f"{len(scores)} and {len(accuracies)}",
            advice="give one of each per network",
        )
    from scipy import stats

    x, y = np.asarray(scores, float), np.asarray(accuracies, float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the result for constant input is nan
        values = (measure(x, y).statistic for measure in (stats.kendalltau, stats.spearmanr, stats.pearsonr))
        return Correlations(*map(float, values))
