"""Errors of landmarks: points that are marked in the fixed and in the moving image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from visionzoo.errors import DataError
from visionzoo.structures.arrays import as_array


def landmark_errors(fixed: Any, moving: Any, field: Any = None, spacing: Sequence[float] | None = None) -> np.ndarray:
    """Return the distance of each moved landmark from its partner, the target registration error.

    A landmark x of the fixed image moves to ``x + field(x)`` in the moving image. Fields are interpolated linearly, and
    continue outside the grid as at the border.

    Args:
        fixed, moving: (N, n) points in voxels, in the order of the axes. Point i of both is the same place.
        field: (n, *S), in voxels; None for the errors before registration.
        spacing: length of a voxel along each axis; default 1.

    Returns:
        (N,) float64, in the unit of ``spacing``.

    Raises:
        DataError: the points do not form pairs, or have another number of axes than the field.

    Example:
        >>> landmark_errors([[1, 2]], [[1, 5]]), landmark_errors([[1, 2]], [[1, 5]], np.full((2, 4, 6), 3.0))
        (array([3.]), array([3.]))
    """
    first, second = (as_array(each, np.float64) for each in (fixed, moving))
    if first.ndim != 2 or first.shape != second.shape:
        raise DataError(
            "landmarks",
            expected="one list of points per image, (N, axes), in the same order",
            found=f"{first.shape} and {second.shape}",
            advice="list the partner of every point",
        )
    moved = first if field is None else first + _displacements(as_array(field, np.float64), first)
    lengths = np.ones(first.shape[1]) if spacing is None else as_array(spacing, np.float64)
    return np.linalg.norm((moved - second) * lengths, axis=1)


def _displacements(field: np.ndarray, points: np.ndarray) -> np.ndarray:
    if len(field) != points.shape[1]:
        raise DataError(
            "landmarks",
            expected=f"points with {len(field)} coordinates, as the field has axes",
            found=f"{points.shape[1]}",
            advice="give points in voxels of the fixed image",
        )
    sampled = [ndimage.map_coordinates(component, points.T, order=1, mode="nearest") for component in field]
    return np.stack(sampled, axis=1)
