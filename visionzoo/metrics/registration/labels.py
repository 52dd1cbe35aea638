"""Overlap and distance of two label maps, and label maps that a field warps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from visionzoo.errors import DataError, require_known
from visionzoo.ops.warp import warp
from visionzoo.structures.arrays import as_array

INTERPOLATIONS = ("nearest", "onehot")

# Range of labels up to which a table of counts is faster than sorting.
_TABLE = 2**16


def labels_of(*maps: np.ndarray) -> list[int]:
    """Return the labels other than 0 that occur in any of the maps, ascending.

    Example:
        >>> labels_of(np.array([0, 3, 3]), np.array([1, 0, 3]))
        [1, 3]
    """
    return sorted({label for each in maps for label in _counts(each)} - {0})


def dice_of_labels(first: np.ndarray, second: np.ndarray, labels: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return the Dice overlap of each label, twice the common voxels over the voxels of both.

    Args:
        first, second: whole numbers, of one shape.
        labels: the labels.

    Returns:
        float64, one value from 0 to 1 per label; 0 for a label that both maps lack.

    Raises:
        DataError: the maps have different shapes, or hold fractions.

    Example:
        >>> dice_of_labels(np.array([1, 1, 2, 0]), np.array([1, 0, 2, 0]), [1, 2, 9]).round(3)
        array([0.667, 1.   , 0.   ])
    """
    first, second = (whole_labels(each) for each in (first, second))
    require_one_shape(first, second)
    common, *both = (_counts(each) for each in (first[first == second], first, second))
    total = [sum(each.get(int(label), 0) for each in both) for label in labels]
    shared = [common.get(int(label), 0) for label in labels]
    return 2 * np.array(shared, np.float64) / np.maximum(total, np.finfo(np.float64).eps)


def hausdorff_95(
    first: np.ndarray, second: np.ndarray, labels: Sequence[int], spacing: Sequence[float] | None = None
) -> np.ndarray:
    """Return the 95th percentile of the distances between the surfaces of each label.

    A surface is the voxels of a label with a neighbour along an axis that has another label. Of both directions, from
    one surface to the nearest voxel of the other, the larger percentile counts.

    Args:
        first, second: whole numbers, of one shape.
        labels: the labels.
        spacing: length of a voxel along each axis; default 1.

    Returns:
        float64, one distance per label, in the unit of ``spacing``; NaN for a label that one of the maps lacks.

    Raises:
        DataError: the maps have different shapes, or hold fractions.

    Example:
        >>> line = np.zeros((5, 20), int)
        >>> first, second = line.copy(), line.copy()
        >>> first[2, 3], second[2, 7] = 1, 1
        >>> hausdorff_95(first, second, [1], spacing=(1, 0.5))
        array([2.])
    """
    first, second = (whole_labels(each) for each in (first, second))
    require_one_shape(first, second)
    return np.array([_surface_distance(first == label, second == label, spacing) for label in labels])


def warp_labels(labels: Any, field: Any, interpolation: str = "nearest") -> np.ndarray:
    """Warp a label map of the moving image by a field.

    Args:
        labels: (*S), whole numbers. Positions outside the map have label 0.
        field: (n, *S), in voxels.
        interpolation: ``nearest``, or ``onehot``: each label is warped linearly as a map of 0 and 1, and a voxel gets
            the label with the largest value, the smallest one in case of a tie.

    Returns:
        (*S), of the type of the labels.

    Raises:
        DataError: the field has another grid, or the labels hold fractions.
        UnknownName: an unknown interpolation.

    Example:
        >>> shift = np.zeros((2, 1, 4))
        >>> shift[1] = 1.6
        >>> warp_labels(np.array([[1, 2, 3, 4]]), shift, "onehot")
        array([[3, 4, 4, 0]])
    """
    require_known(interpolation, INTERPOLATIONS, "interpolation of labels")
    whole = whole_labels(labels)
    field = torch.from_numpy(np.ascontiguousarray(as_array(field)))[None]
    known = np.array(sorted({0} | set(_counts(whole))))
    ranks = torch.from_numpy(np.searchsorted(known, whole).astype(np.int16))[None, None]
    if interpolation == "nearest":
        warped = warp(ranks - int(np.searchsorted(known, 0)), field, mode="nearest") + int(np.searchsorted(known, 0))
    else:
        warped = _largest_share(ranks, field, known)
    return known[warped[0, 0].numpy()].astype(whole.dtype)


def _largest_share(ranks: Tensor, field: Tensor, known: np.ndarray) -> Tensor:
    warped = torch.full_like(ranks, int(np.searchsorted(known, 0)))
    best = torch.zeros(ranks.shape, dtype=field.dtype)
    for rank in range(len(known)):
        share = warp((ranks == rank).to(field.dtype), field)
        larger = share > best
        warped[larger], best = rank, torch.maximum(best, share)
    return warped


def whole_labels(labels: Any) -> np.ndarray:
    """Return labels as integers; labels stored as floating-point numbers are converted.

    Raises:
        DataError: a label is not a whole number.

    Example:
        >>> whole_labels([0.0, 2.0])
        array([0, 2])
    """
    values = as_array(labels)
    if values.dtype.kind in "iu":
        return values
    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    whole = values.astype(np.int64)
    if not np.array_equal(whole, values):
        fraction = values[whole != values].flat[0]
        raise DataError(
            "labels", expected="whole numbers", found=f"{fraction:g}", advice="resample label maps by nearest neighbour"
        )
    return whole


def require_one_shape(first: np.ndarray, second: np.ndarray, what: str = "labels") -> None:
    """Raise an error if two maps have different shapes.

    Raises:
        DataError: the shapes differ.
    """
    if first.shape != second.shape:
        raise DataError(
            what,
            expected="the grid of the fixed image for both",
            found=f"{first.shape} and {second.shape}",
            advice="resample the moving map to the fixed image",
        )


def _counts(values: np.ndarray) -> dict[int, int]:
    """Return the number of voxels by label."""
    if not values.size:
        return {}
    values = values.ravel()
    low, high = int(values.min()), int(values.max())
    if high - low < _TABLE:
        table = np.bincount(values if low == 0 else values.astype(np.int64) - low)
        return {low + int(at): int(table[at]) for at in np.flatnonzero(table)}
    return {int(label): int(count) for label, count in zip(*np.unique(values, return_counts=True))}


def _surface_distance(first: np.ndarray, second: np.ndarray, spacing: Sequence[float] | None) -> float:
    if not first.any() or not second.any():
        return float("nan")
    box = ndimage.find_objects((first | second).view(np.uint8))[0]
    surfaces = [_surface(each[box]) for each in (first, second)]
    percentiles = []
    for surface, other in (surfaces, surfaces[::-1]):
        distances = ndimage.distance_transform_edt(~other, sampling=spacing)
        percentiles.append(np.percentile(distances[surface], 95))
    return float(max(percentiles))


def _surface(mask: np.ndarray) -> np.ndarray:
    """Return the voxels of a mask with a neighbour outside; the outside of the array counts as outside."""
    return mask & ~ndimage.binary_erosion(mask)
