"""The judge of NWPU-Crowd: errors in all, by how many people an image shows, and by how bright it is."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmengine.logging import print_log

from visionzoo.errors import DataError
from visionzoo.metrics.counting.errors import CountErrors, count_errors

# Nobody; 1 to 100; 101 to 500; 501 to 5000; more. Which level an image has, the lists of the data set say.
LEVELS = ("S0", "S1", "S2", "S3", "S4")
LUMINANCES = ("L0", "L1", "L2", "L3")


@dataclass(frozen=True)
class NWPUErrors:
    """What NWPU-Crowd's leader board shows.

    Attributes:
        overall: of all images.
        level: by level of the scene, ``LEVELS``.
        luminance: ``LUMINANCES``.
    """

    overall: CountErrors
    level: tuple[CountErrors, ...]
    luminance: tuple[CountErrors, ...]

    @property
    def mean_mae(self) -> tuple[float, float]:
        """MAE averaged over levels and over luminances; a category without images enters with -1, as published."""
        return mean_mae(self.level), mean_mae(self.luminance)


def nwpu_errors(pred: Any, gt: Any, level: Any, luminance: Any) -> NWPUErrors:
    """The judge's numbers; an empty category has -1 throughout, with a warning.

    Args:
        pred, gt: (N,) counts.
        level: (N,) int, 0 to 4.
        luminance: (N,) int, 0 to 3.

    Raises:
        DataError: arrays differ in length, or a category is not one of these.
    """
    by_level = errors_by_category(pred, gt, level, LEVELS, "level")
    by_luminance = errors_by_category(pred, gt, luminance, LUMINANCES, "luminance")
    return NWPUErrors(count_errors(pred, gt), by_level, by_luminance)


def errors_by_category(pred: Any, gt: Any, category: Any, names: Sequence[str], kind: str) -> tuple[CountErrors, ...]:
    """Errors of each category, numbers from 0 on that ``names`` calls; one without images is warned of."""
    found, true, index = (np.asarray(values).reshape(-1) for values in (pred, gt, category))
    if not len(found) == len(true) == len(index) or not np.isin(index, np.arange(len(names))).all():
        raise DataError(
            kind,
            expected=f"a number from 0 to {len(names) - 1} for each of {len(true)} images",
            found=f"{index[:10].tolist()}{', ...' if len(index) > 10 else ''}",
            advice="correct the lists of the data set",
        )
    errors = tuple(count_errors(found[index == number], true[index == number]) for number in range(len(names)))
    empty = [name for name, each in zip(names, errors, strict=True) if not each.images]
    if empty:
        print_log(
            f"{kind}: no image of {', '.join(empty)}: its numbers are -1 and enter the mean over {kind}s as such, as "
            "NWPU-Crowd's judge has it",
            "current",
            logging.WARNING,
        )
    return errors


def mean_mae(errors: Sequence[CountErrors]) -> float:
    """MAE averaged over categories, -1 of empty ones included."""
    return float(np.mean([each.mae for each in errors]))
