"""Grid average mean absolute error (Guerrero-Gomez-Olmedo et al., Extremely Overlapping Vehicle Counting, 2015)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from visionzoo.errors import DataError


def game(pred: np.ndarray, gt: np.ndarray, level: int) -> float:
    """GAME(level) of one image: absolute errors of the counts in 4^level cells, added up.

    Both axes are halved ``level`` times, the first half of n pixels having ``n // 2``. GAME(0) is the absolute error
    of the count; a data set's GAME is the mean over its images.

    Args:
        pred: (H, W) people per pixel.
        gt: (H, W) people per pixel: points, or a density.
        level: from 0 on.

    Raises:
        DataError: the maps differ in size, are not (H, W), or ``level`` is below 0.
    """
    if pred.shape != gt.shape or pred.ndim != 2 or level < 0:
        raise DataError(
            "GAME",
            expected="two maps (H, W) of one size and a level from 0 on",
            found=f"{pred.shape}, {gt.shape} and level {level}",
            advice="resize the prediction so that its sum stays",
        )
    errors = np.asarray(pred, dtype=np.float64) - gt
    for axis in (0, 1):
        errors = _cell_sums(errors, _borders(errors.shape[axis], level), axis)
    return float(np.abs(errors).sum())


def _borders(length: int, level: int) -> list[int]:
    """2^level + 1 borders of the cells on an axis; a cell of one pixel has an empty first half."""
    borders = [0, length]
    for _ in range(level):
        middles = [low + (high - low) // 2 for low, high in pairwise(borders)]
        borders = [0, *(border for pair in zip(middles, borders[1:], strict=True) for border in pair)]
    return borders


def _cell_sums(values: np.ndarray, borders: list[int], axis: int) -> np.ndarray:
    """Sums between borders; differences of a running sum know empty cells, which ``np.add.reduceat`` does not."""
    running = np.insert(values.cumsum(axis), 0, 0.0, axis)
    return np.diff(running.take(borders, axis), axis=axis)
