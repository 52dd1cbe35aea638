"""Grid average mean absolute error (Guerrero-Gomez-Olmedo et al., Extremely Overlapping Vehicle Counting, 2015)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from visionzoo.errors import DataError


def game(pred: np.ndarray, gt: np.ndarray, level: int) -> float:
    """Compute GAME(level) of one image: the sum of the absolute errors of the counts in 4^level cells.

    Both axes are halved ``level`` times; the first half of n pixels has ``n // 2`` pixels. GAME(0) is the absolute
    error of the count. The GAME of a data set is the mean over its images.

    Args:
        pred: (H, W) predicted people per pixel.
        gt: (H, W) true people per pixel: points or a density.
        level: number of halvings, >= 0.

    Raises:
        DataError: the maps differ in size, are not (H, W), or ``level`` is below 0.

    Example:
        >>> left, right = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
        >>> game(left, right, level=0), game(left, right, level=1)
        (0.0, 2.0)
    """
    if pred.shape != gt.shape or pred.ndim != 2 or level < 0:
        raise DataError(
            "GAME",
            expected="two maps (H, W) of one size and a level >= 0",
            found=f"{pred.shape}, {gt.shape} and level {level}",
            advice="resize the prediction without changing its sum",
        )
    errors = np.asarray(pred, dtype=np.float64) - gt
    for axis in (0, 1):
        errors = _cell_sums(errors, _borders(errors.shape[axis], level), axis)
    return float(np.abs(errors).sum())


def _borders(length: int, level: int) -> list[int]:
    """Return the 2^level + 1 borders of the cells on an axis. A cell of one pixel has an empty first half."""
    borders = [0, length]
    for _ in range(level):
        middles = [low + (high - low) // 2 for low, high in pairwise(borders)]
        borders = [0, *(border for pair in zip(middles, borders[1:], strict=True) for border in pair)]
    return borders


def _cell_sums(values: np.ndarray, borders: list[int], axis: int) -> np.ndarray:
    """Sum the values between borders. Unlike ``np.add.reduceat``, differences of a running sum allow empty cells."""
    running = np.insert(values.cumsum(axis), 0, 0.0, axis)
    return np.diff(running.take(borders, axis), axis=axis)
