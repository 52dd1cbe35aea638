"""Regularity of a deformation, from its Jacobian determinants (see :func:`visionzoo.ops.warp.jacobian_determinant`)."""

from __future__ import annotations

import numpy as np


def count_folds(determinants: np.ndarray, *, interior: bool = False) -> int:
    """Return the number of folded voxels.

    Args:
        determinants: (*S).
        interior: True to count determinants < 0 without the voxels at the border; otherwise <= 0 at every voxel.

    Example:
        >>> values = np.array([[-1.0, 0.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
        >>> count_folds(values), count_folds(values, interior=True)
        (3, 0)
    """
    return int(np.count_nonzero(cropped(determinants, 1) < 0 if interior else determinants <= 0))


def log_spread(determinants: np.ndarray) -> float:
    """Return ``sdlogj``, the standard deviation of the log determinant; determinants are at least 1e-9.

    Example:
        >>> round(log_spread(np.array([1.0, np.e**2])), 6)
        1.0
    """
    return float(np.log(np.maximum(determinants, 1e-9), dtype=np.float64).std())


def log_spread_l2r(determinants: np.ndarray) -> float:
    """Return ``sdlogj_l2r``, Learn2Reg's spread: 2 voxels are cropped at each side, and 3 is added to a determinant.

    Example:
        >>> log_spread_l2r(np.ones((6, 7)))
        0.0
    """
    return float(np.log(np.clip(cropped(determinants, 2) + 3, 1e-9, 1e9), dtype=np.float64).std())


def cropped(values: np.ndarray, border: int) -> np.ndarray:
    """Return the values without some voxels at each side; an axis that would be empty is whole."""
    return values[tuple(slice(border, -border) if side > 2 * border else slice(None) for side in values.shape)]
