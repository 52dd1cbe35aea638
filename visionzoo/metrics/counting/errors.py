"""MAE, RMSE and NAE of counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from visionzoo.errors import DataError

NONE = -1.0  # a number that no image defines, as NWPU-Crowd's judge has it


@dataclass(frozen=True)
class CountErrors:
    """Errors over some images, in people.

    Attributes:
        mae: mean absolute error.
        rmse: root of the mean squared error, which papers on crowds call MSE.
        nae: mean of absolute error over true count, a share; images without people are left out.
        images: how many images there are.

    ``mae`` and ``rmse`` are -1 where there is no image, ``nae`` where none has people.
    """

    mae: float
    rmse: float
    nae: float
    images: int

    def row(self) -> tuple[float, float, float]:
        """MAE, RMSE, NAE, in the order of NWPU-Crowd's tables."""
        return self.mae, self.rmse, self.nae


def count_errors(pred: Any, gt: Any) -> CountErrors:
    """Errors of predicted counts.

    Args:
        pred: (N,) predicted counts, fractions allowed.
        gt: (N,) true counts.

    Raises:
        DataError: the two differ in length, or a number is not finite.

    >>> count_errors([12.0, 3.0, 1.0], [10, 4, 0])
    CountErrors(mae=1.3333333333333333, rmse=1.4142135623730951, nae=0.225, images=3)
    """
    found, true = _counts(pred), _counts(gt)
    if len(found) != len(true):
        raise DataError("counts", expected="as many predictions as true counts", found=f"{len(found)} and {len(true)}")
    if not len(true):
        return CountErrors(NONE, NONE, NONE, 0)
    errors = np.abs(found - true)
    has_people = true > 0
    nae = float((errors[has_people] / true[has_people]).mean()) if has_people.any() else NONE
    return CountErrors(float(errors.mean()), float(np.sqrt((errors**2).mean())), nae, len(true))


def mean_over_folds(folds: Sequence[CountErrors]) -> CountErrors:
    """The mean of each error over the folds, as UCF_CC_50 is reported; ``images`` is their sum.

    Raises:
        DataError: there is no fold, or one has no image.
    """
    if not folds or not all(fold.images for fold in folds):
        raise DataError(
            "folds",
            expected="one or more, each with images",
            found=f"{[fold.images for fold in folds]} images",
            advice="measure every fold first",
        )
    mae, rmse, nae = np.mean([fold.row() for fold in folds], axis=0).tolist()
    return CountErrors(mae, rmse, nae, sum(fold.images for fold in folds))


def _counts(values: Any) -> np.ndarray:
    counts = np.asarray(values, dtype=np.float64).reshape(-1)
    if not np.isfinite(counts).all():
        raise DataError(
            "counts",
            expected="finite numbers",
            found=f"{np.count_nonzero(~np.isfinite(counts))} that are not",
            advice="check the model and the annotations",
        )
    return counts
