"""Determinants of the Jacobian of a deformation, whose values <= 0 are folds."""

from __future__ import annotations

import torch
from torch import Tensor

from visionzoo.ops.warp.checks import check_field, type_of_positions

# Number of planes whose determinants are computed at a time.
_JACOBIAN_PLANES = 8


def jacobian_determinant(field: Tensor) -> Tensor:
    """Return the determinant of the Jacobian of the deformation (identity plus field) at every voxel.

    Derivatives are central differences, and one-sided at the borders of the grid, as ``numpy.gradient`` computes them.
    An axis of one voxel has no displacement gradient. Half precision is computed in float32.

    Args:
        field: (B, n, *S), in voxels.

    Returns:
        (B, *S), without a gradient. Values <= 0 are folds.

    Raises:
        DataError: the field does not have one component per axis.

    Example:
        >>> torch.unique(jacobian_determinant(torch.zeros(2, 3, 4, 5, 6)))
        tensor([1.])
    """
    check_field(field)
    with torch.no_grad():
        values = field.to(type_of_positions(field))
        result = values.new_empty((values.shape[0], *values.shape[2:]))
        for displacements, determinants in zip(values, result):
            _write_determinants(displacements, determinants)
        return result


def _write_determinants(field: Tensor, result: Tensor) -> None:
    """Write the determinants (*S) of one field (n, *S), slab by slab, in buffers that are allocated once."""
    axes, planes = field.shape[0], result.shape[0]
    some = min(planes, _JACOBIAN_PLANES)
    matrix = field.new_empty(axes, axes, some, *result.shape[1:])
    minor = torch.empty_like(matrix[0, 0])
    for start in range(0, planes, some):
        count = min(planes, start + some) - start
        for row in range(axes):
            _write_difference(field[row], matrix[row, 0, :count], 0, start)
            for axis in range(1, axes):
                _write_difference(field[row, start : start + count], matrix[row, axis, :count], axis)
            matrix[row, row, :count] += 2  # the identity
        _write_determinant(matrix[:, :, :count], result[start : start + count], minor[:count])
        result[start : start + count] *= 0.5**axes


def _write_difference(values: Tensor, target: Tensor, axis: int, start: int = 0) -> None:
    """Write the doubled derivative along an axis, for the places from ``start`` on that the target has."""
    side, stop = values.shape[axis], start + target.shape[axis]
    if side == 1:
        target.zero_()
        return
    first, last = max(start, 1), min(stop, side - 1)  # places with two neighbours
    if last > first:
        after, before = (values.narrow(axis, at, last - first) for at in (first + 1, first - 1))
        torch.sub(after, before, out=target.narrow(axis, first - start, last - first))
    for place, neighbours in ((0, (1, 0)), (side - 1, (side - 1, side - 2))):
        if start <= place < stop:
            after, before = (values.narrow(axis, at, 1) for at in neighbours)
            torch.sub(after, before, out=target.narrow(axis, place - start, 1)).mul_(2)


def _write_determinant(matrix: Tensor, result: Tensor, minor: Tensor) -> None:
    """Write the determinant of (n, n, ...); ``minor`` is memory of its shape."""
    if len(matrix) == 2:
        torch.mul(matrix[0, 0], matrix[1, 1], out=result).addcmul_(matrix[0, 1], matrix[1, 0], value=-1)
        return
    for column in range(3):
        right, left = (column + 1) % 3, (column + 2) % 3
        torch.mul(matrix[1, right], matrix[2, left], out=minor).addcmul_(matrix[1, left], matrix[2, right], value=-1)
        if column:
            result.addcmul_(matrix[0, column], minor)
        else:
            torch.mul(matrix[0, 0], minor, out=result)
