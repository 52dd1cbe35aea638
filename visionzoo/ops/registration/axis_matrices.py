"""Linear maps of an image that act on each axis separately: box sums, resampling and smoothing as dense matrices.

A map of an image of n axes is one matrix per axis, and its adjoint is the transpose of each matrix. On a CPU these
products are faster than convolutions and cumulative sums, and a stride costs nothing: the matrix has fewer rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from visionzoo.errors import DataError

# Half width of a Gaussian in standard deviations; the weights beyond it are below 0.2 % of the centre.
_GAUSSIAN_REACH = 3.5


def along_axes(values: Tensor, matrices: Sequence[Tensor], *, adjoint: bool = False) -> Tensor:
    """Multiply each spatial axis by its matrix.

    Args:
        values: (*, n_1, ..., n_k), with k matrices; the axes before the last k are a batch.
        matrices: k matrices (m_i, n_i).
        adjoint: multiply by the transposes: axes m_i become n_i.

    Returns:
        (*, m_1, ..., m_k).

    Raises:
        DataError: the sides of the values and of the matrices differ.

    Example:
        >>> sums = [box_sums(3, window=3), box_sums(4, window=3)]
        >>> along_axes(torch.ones(3, 4), sums)
        tensor([[4., 6., 6., 4.],
                [6., 9., 9., 6.],
                [4., 6., 6., 4.]])
    """
    matrices = [matrix.mT for matrix in matrices] if adjoint else list(matrices)
    batch = values.shape[: values.ndim - len(matrices)]
    sides = [matrix.shape[1] for matrix in matrices]
    if list(values.shape[len(batch) :]) != sides:
        raise DataError(
            "along_axes",
            expected=f"values whose last axes are {sides}",
            found=f"{list(values.shape)}",
            advice="make the matrices for the sides of the values",
        )
    size = [matrix.shape[0] for matrix in matrices]
    # An axis that shrinks comes first and one that grows last, so that the tensors between are small.
    order = range(len(sides)) if size <= sides else reversed(range(len(sides)))
    result, shape = values, [*sides]
    for axis in order:
        result = _along(result, matrices[axis], shape, axis)
        shape[axis] = size[axis]
    return result.reshape(*batch, *size)


def _along(values: Tensor, matrix: Tensor, shape: list[int], axis: int) -> Tensor:
    if axis == len(shape) - 1:
        return values.reshape(-1, shape[axis]) @ matrix.mT
    after = int(torch.Size(shape[axis + 1 :]).numel())
    stacks = values.reshape(-1, shape[axis], after)
    return torch.bmm(matrix.expand(len(stacks), -1, -1), stacks)


def box_sums(side: int, *, window: int | None, stride: int = 1) -> Tensor:
    """Return the matrix of sums over windows of one axis; a window is cut at the border.

    Args:
        side: number of voxels.
        window: odd number of voxels of a window, or None for one window of the whole axis.
        stride: distance of two window centres in voxels; the first centre is voxel 0.

    Returns:
        (ceil(side / stride), side) of 0 and 1; (1, side) for the whole axis.

    Example:
        >>> box_sums(5, window=3, stride=2)
        tensor([[1., 1., 0., 0., 0.],
                [0., 1., 1., 1., 0.],
                [0., 0., 0., 1., 1.]])
    """
    if window is None:
        return torch.ones(1, side)
    centres = torch.arange(0, side, stride)[:, None]
    return ((torch.arange(side) - centres).abs() <= window // 2).float()


def interpolation(side: int, size: int) -> Tensor:
    """Return the matrix of cubic interpolation of one axis, with the first and last voxels of both grids aligned.

    The kernel is that of Keys (a = -0.5): the result passes through the values and has no kinks, and lines stay lines.

    Args:
        side: voxels before, >= 1.
        size: voxels after. One voxel is taken at the middle.

    Returns:
        (size, side), each row of sum 1.

    Example:
        >>> interpolation(3, 5)[1]
        tensor([ 0.4375,  0.6250, -0.0625])
    """
    if side < 2:
        return torch.ones(size, side)
    distance = (_positions(side, size)[:, None] - torch.arange(-1, side + 1)).abs()
    near = 1 - 2.5 * distance**2 + 1.5 * distance**3
    far = 2 - 4 * distance + 2.5 * distance**2 - 0.5 * distance**3
    weights = torch.where(distance <= 1, near, torch.where(distance < 2, far, torch.zeros(())))
    # One voxel more on each side continues the line through the last two.
    inner = weights[:, 1:-1].clone()
    for end, first, second in ((0, 0, 1), (-1, -1, -2)):
        inner[:, first] += 2 * weights[:, end]
        inner[:, second] -= weights[:, end]
    return inner


def reduction(side: int, size: int) -> Tensor:
    """Return the matrix that reduces one axis, with aligned first and last voxels, and means as wide as the step.

    Args:
        side: voxels before.
        size: voxels after, at most ``side``.

    Returns:
        (size, side), each row of sum 1.

    Example:
        >>> reduction(5, 3)[1]
        tensor([0.0000, 0.2500, 0.5000, 0.2500, 0.0000])
    """
    width = max(1.0, step_between(side, size))
    weights = (1 - (_positions(side, size)[:, None] - torch.arange(side)).abs() / width).clamp(min=0)
    return weights / weights.sum(1, keepdim=True)


def step_between(side: int, size: int) -> float:
    """Return the distance of two voxels of the grid of ``size`` voxels, in voxels of the grid of ``side``.

    Example:
        >>> step_between(9, 5)
        2.0
    """
    return (side - 1) / (size - 1) if size > 1 and side > 1 else float(side) / size


def _positions(side: int, size: int) -> Tensor:
    return torch.linspace(0, side - 1, size) if size > 1 else torch.tensor([(side - 1) / 2])


def gaussian(side: int, sigma: float) -> Tensor:
    """Return the matrix of Gaussian smoothing of one axis, zero outside the image; it is its own adjoint.

    Args:
        side: number of voxels.
        sigma: standard deviation in voxels, >= 0; 0 returns the identity.

    Returns:
        (side, side), symmetric; rows away from the border have sum 1.

    Example:
        >>> gaussian(3, 0.0)
        tensor([[1., 0., 0.],
                [0., 1., 0.],
                [0., 0., 1.]])
    """
    if sigma == 0:
        return torch.eye(side)
    reach = int(_GAUSSIAN_REACH * sigma + 0.5)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    kernel = kernel / kernel.sum()
    offsets = torch.arange(side) - torch.arange(side)[:, None]
    inside = offsets.abs() <= reach
    return torch.where(inside, kernel[(offsets + reach).clamp(0, 2 * reach)], torch.zeros(()))
