"""The result of a registration: an affine map and a deformation, composed so that an image is sampled once.

A voxel x of the fixed grid has its partner in the moving image at ``A (x + u(x))``: the deformation u acts on the fixed
grid, and the affine map A takes the result to the moving image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from visionzoo.errors import DataError
from visionzoo.ops.registration.axis_matrices import along_axes, interpolation, step_between
from visionzoo.ops.registration.sampling import Sampler
from visionzoo.ops.warp import damped_fixed_point, invert, warp


def identity_affine(axes: int, batch: int = 1) -> Tensor:
    """Return the affine map that changes nothing, (batch, axes, axes + 1) in float64.

    Example:
        >>> identity_affine(2)
        tensor([[[1., 0., 0.],
                 [0., 1., 0.]]], dtype=torch.float64)
    """
    return torch.eye(axes, axes + 1, dtype=torch.float64).repeat(batch, 1, 1)


def affine_field(affine: Tensor, size: Sequence[int]) -> Tensor:
    """Return the displacement field of an affine map, ``A x - x``.

    Args:
        affine: (B, n, n + 1), from voxels of the fixed grid to voxels of the moving grid.
        size: the n sides of the grid.

    Returns:
        (B, n, *size) in float32.

    Example:
        >>> affine_field(identity_affine(2), (2, 3)).abs().max()
        tensor(0.)
    """
    axes = len(size)
    change = (affine - identity_affine(axes).to(affine)).to(torch.float64)
    field = change[:, :, axes].reshape(-1, axes, *[1] * axes)
    for axis, side in enumerate(size):
        line = torch.arange(side, dtype=torch.float64, device=affine.device)
        line = line.reshape([-1 if at == axis else 1 for at in range(axes)])
        field = field + change[:, :, axis].reshape(-1, axes, *[1] * axes) * line
    return field.float()


def inverse_affine(affine: Tensor) -> Tensor:
    """Return the exact inverse of an affine map.

    Args:
        affine: (B, n, n + 1).

    Raises:
        DataError: the map cannot be inverted, because it maps the image onto a plane, a line or a point.

    Example:
        >>> shift = torch.tensor([[[1.0, 0.0, 3.0], [0.0, 2.0, 4.0]]])
        >>> inverse_affine(shift)
        tensor([[[ 1.0000,  0.0000, -3.0000],
                 [ 0.0000,  0.5000, -2.0000]]])
    """
    axes = affine.shape[1]
    linear, shift = affine[:, :, :axes], affine[:, :, axes:]
    if not bool((torch.linalg.det(linear).abs() > 1e-6).all()):
        raise DataError(
            "affine map",
            expected="a map that can be inverted",
            found="one of determinant 0",
            advice="use another start or the files' own alignment",
        )
    inverse = torch.linalg.inv(linear)
    return torch.cat([inverse, -inverse @ shift], 2) + 0.0


def transform_linear(linear: Tensor, field: Tensor) -> Tensor:
    """Multiply the displacement of each voxel by a matrix.

    Args:
        linear: (B, n, n).
        field: (B, n, *S).

    Example:
        >>> turn = torch.tensor([[[0.0, -1.0], [1.0, 0.0]]])
        >>> transform_linear(turn, torch.tensor([[[[1.0]], [[2.0]]]])).flatten()
        tensor([-2.,  1.])
    """
    return (linear.to(field) @ field.flatten(2)).reshape(field.shape)


def enlarged(deformation: Tensor, size: Sequence[int]) -> Tensor:
    """Return a deformation on a finer grid with the same corner voxels, by cubic interpolation.

    Args:
        deformation: (B, n, *S), in voxels of its grid.
        size: the n sides of the finer grid.

    Returns:
        (B, n, *size), in voxels of the finer grid.

    Example:
        >>> enlarged(torch.ones(1, 2, 3, 4), (5, 7)).unique()
        tensor([2.])
    """
    grid = deformation.shape[2:]
    if tuple(grid) == tuple(size):
        return deformation
    pairs = list(zip(grid, size, strict=True))
    spacing = deformation.new_tensor([step_between(many, few) for few, many in pairs])
    matrices = [interpolation(few, many).to(deformation) for few, many in pairs]
    return along_axes(deformation, matrices) * spacing.reshape(-1, *[1] * len(grid))


@dataclass(frozen=True)
class Transform:
    """An affine map and a deformation of one fixed grid.

    Attributes:
        size: the n sides of the fixed grid.
        affine: (B, n, n + 1), from voxels of the fixed grid to voxels of the moving one.
        deformation: (B, n, *S), displacements in voxels of its grid, which has the corner voxels of the fixed grid and
            may be coarser; None for an affine map only.

    Example:
        >>> shift = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]])
        >>> transform = Transform((2, 3), shift)
        >>> transform.field()[0, :, 0, 0]
        tensor([0., 1.])
        >>> transform.warp(torch.arange(6.0).reshape(1, 1, 2, 3))
        tensor([[[[1., 2., 0.],
                  [4., 5., 0.]]]])
    """

    size: tuple[int, ...]
    affine: Tensor
    deformation: Tensor | None = None

    def field(self) -> Tensor:
        """Return the displacement field of the whole map, (B, n, *size)."""
        field = affine_field(self.affine, self.size)
        if self.deformation is None:
            return field
        return field + transform_linear(self.affine[:, :, : len(self.size)], enlarged(self.deformation, self.size))

    def warp(self, image: Tensor, *, mode: str = "linear", padding: str = "zeros") -> Tensor:
        """Return the moving image (B, C, *size) on the fixed grid; modes and padding of :func:`ops.warp.warp`."""
        return warp(image, self.field(), mode=mode, padding=padding)

    def inverse_field(self, *, tolerance: float = 0.01, iterations: int = 40) -> Tensor:
        """Return the field of the inverse map, (B, n, *size): exact for the affine map, a fixed point for the rest.

        The inverse position p of a voxel y solves ``p + u(p) = A^-1 y``. The deformation is inverted on its own, coarse
        grid first. The steps on the fixed grid remove the error of the interpolation between the grids.

        Args:
            tolerance: error in voxels that 99.5 % of the voxels must reach.
            iterations: maximum number of steps on the fixed grid. A deformation with folds ends them early; see
                :func:`ops.warp.invert`.
        """
        target = affine_field(inverse_affine(self.affine), self.size)
        if self.deformation is None:
            return target
        coarse = invert(self.deformation, tolerance=tolerance / 2)
        deformation = enlarged(self.deformation, self.size)
        start = target + warp(enlarged(coarse, self.size), target, padding="border")
        return _solved(deformation, target, start, tolerance, iterations)


def _solved(deformation: Tensor, target: Tensor, inverse: Tensor, tolerance: float, iterations: int) -> Tensor:
    """Return the displacement v with ``v(y) + u(y + v(y)) = target(y)``, by a damped fixed point."""
    samplers = [Sampler(one) for one in deformation]

    def error_of(inverse: Tensor) -> Tensor:
        error = torch.stack([sampler(one) for sampler, one in zip(samplers, inverse, strict=True)])
        return error.add_(inverse).sub_(target)

    return damped_fixed_point(error_of, inverse, share=0.9, tolerance=tolerance, iterations=iterations)
