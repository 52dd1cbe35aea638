"""Numbers of NWPU-Crowd's evaluation code: errors over all images, by number of people, and by brightness."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmengine.logging import print_log

from visionzoo.errors import DataError
from visionzoo.metrics.counting.errors import CountErrors, count_errors
from visionzoo.metrics.means import exact_mean

# People: 0; 1 to 100; 101 to 500; 501 to 5000; more. The lists of the data set state the level of each image.
LEVELS = ("S0", "S1", "S2", "S3", "S4")
LUMINANCES = ("L0", "L1", "L2", "L3")


@dataclass(frozen=True)
class NWPUErrors:
    """The numbers of NWPU-Crowd's leader board.

    Attributes:
        overall: errors over all images.
        level: errors by level of the scene, in the order of ``LEVELS``.
        luminance: errors by luminance, in the order of ``LUMINANCES``.
    """

    overall: CountErrors
    level: tuple[CountErrors, ...]
    luminance: tuple[CountErrors, ...]

    @property
    def mean_mae(self) -> tuple[float, float]:
        """MAE averaged over levels and over luminances. A category without images adds -1, as in the official code."""
        return mean_mae(self.level), mean_mae(self.luminance)


def nwpu_errors(pred: Any, gt: Any, level: Any, luminance: Any) -> NWPUErrors:
    """Compute the numbers of NWPU-Crowd. An empty category has -1 for every error, and a warning is logged.

    Args:
        pred: (N,) predicted counts.
        gt: (N,) true counts.
        level: (N,) int, 0 to 4.
        luminance: (N,) int, 0 to 3.

    Raises:
        DataError: the arrays differ in length, or a level or luminance is out of range.

    Example:
        >>> errors = nwpu_errors([0, 5, 10, 20, 9], [0, 4, 10, 20, 9], range(5), [0, 1, 2, 3, 3])
        >>> errors.level[1].mae, errors.mean_mae
        (1.0, (0.2, 0.25))
    """
    by_level = errors_by_category(pred, gt, level, LEVELS, "level")
    by_luminance = errors_by_category(pred, gt, luminance, LUMINANCES, "luminance")
    return NWPUErrors(count_errors(pred, gt), by_level, by_luminance)


def errors_by_category(pred: Any, gt: Any, category: Any, names: Sequence[str], kind: str) -> tuple[CountErrors, ...]:
    """Compute the errors of each category, and warn if a category has no image.

    Args:
        pred: (N,) predicted counts.
        gt: (N,) true counts.
        category: (N,) int, index into ``names``.
        names: names of the categories.
        kind: name of the kind of category in messages, such as ``level``.

    Raises:
        DataError: the arrays differ in length, or a category is out of range.
    """
    predicted, true, index = (np.asarray(values).reshape(-1) for values in (pred, gt, category))
    if not len(predicted) == len(true) == len(index) or not np.isin(index, np.arange(len(names))).all():
        raise DataError(
            kind,
            expected=f"a number from 0 to {len(names) - 1} for each of {len(true)} images",
            found=f"{index[:10].tolist()}{', ...' if len(index) > 10 else ''}",
            advice="correct the lists of the data set",
        )
    errors = tuple(count_errors(predicted[index == number], true[index == number]) for number in range(len(names)))
    empty = [name for name, each in zip(names, errors, strict=True) if not each.images]
    if empty:
        print_log(
            f"{kind}: no image of {', '.join(empty)}: its numbers are -1 and are included in the mean over {kind}s, "
            "as in NWPU-Crowd's evaluation code",
            "current",
            logging.WARNING,
        )
    return errors


def mean_mae(errors: Sequence[CountErrors]) -> float:
    """Average the MAE over categories, including the -1 of empty ones."""
    return exact_mean(each.mae for each in errors)
