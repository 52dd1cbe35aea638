"""MAE, RMSE and NAE of counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

from visionzoo.errors import DataError
from visionzoo.metrics.means import exact_mean

NONE = -1.0  # value of an error that is undefined without images, as in NWPU-Crowd's evaluation code


@dataclass(frozen=True)
class CountErrors:
    """Counting errors over a set of images.

    Attributes:
        mae: mean absolute error in people; -1 without images.
        rmse: root of the mean squared error in people, which papers on crowds call MSE; -1 without images.
        nae: mean of the absolute error divided by the true count. Images without people are excluded; -1 if no image
            has people.
        images: number of images.
    """

    mae: float
    rmse: float
    nae: float
    images: int

    def row(self) -> tuple[float, float, float]:
        """Return MAE, RMSE and NAE, in the order of NWPU-Crowd's tables."""
        return self.mae, self.rmse, self.nae


def count_errors(pred: Any, gt: Any) -> CountErrors:
    """Compute the errors of predicted counts.

    Args:
        pred: (N,) predicted counts, fractions allowed.
        gt: (N,) true counts.

    Raises:
        DataError: ``pred`` and ``gt`` differ in length, or a number is not finite.

    Example:
        >>> count_errors([12.0, 3.0, 1.0], [10, 4, 0])
        CountErrors(mae=1.3333333333333333, rmse=1.4142135623730951, nae=0.225, images=3)
    """
    predicted, true = _counts(pred), _counts(gt)
    if len(predicted) != len(true):
        raise DataError(
            "counts", expected="as many predictions as true counts", found=f"{len(predicted)} and {len(true)}"
        )
    if not len(true):
        return CountErrors(NONE, NONE, NONE, 0)
    errors = np.abs(predicted - true)
    has_people = true > 0
    nae = exact_mean(errors[has_people] / true[has_people]) if has_people.any() else NONE
    return CountErrors(exact_mean(errors), sqrt(exact_mean(errors**2)), nae, len(true))


def mean_over_folds(folds: Sequence[CountErrors]) -> CountErrors:
    """Average each error over the folds of a cross-validation, as papers report UCF_CC_50.

    Args:
        folds: errors of each fold, at least one.

    Returns:
        The mean errors. ``images`` is the sum over the folds.

    Raises:
        DataError: there is no fold, or a fold has no image.

    Example:
        >>> mean_over_folds([CountErrors(2.0, 3.0, 0.5, 10), CountErrors(4.0, 5.0, 0.5, 10)])
        CountErrors(mae=3.0, rmse=4.0, nae=0.5, images=20)
    """
    if not folds or not all(fold.images for fold in folds):
        raise DataError(
            "folds",
            expected="one or more, each with images",
            found=f"{[fold.images for fold in folds]} images",
            advice="measure every fold first",
        )
    mae, rmse, nae = (exact_mean(column) for column in zip(*(fold.row() for fold in folds), strict=True))
    return CountErrors(mae, rmse, nae, sum(fold.images for fold in folds))


def _counts(values: Any) -> np.ndarray:
    counts = np.asarray(values, dtype=np.float64).reshape(-1)
    if not np.isfinite(counts).all():
        raise DataError(
            "counts",
            expected="finite numbers",
            found=f"{np.count_nonzero(~np.isfinite(counts))} that are not finite",
            advice="check the model and the annotations",
        )
    return counts
