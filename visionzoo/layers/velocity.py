"""Velocities to displacement fields, and warps, for 1 to 3 spatial axes.

:mod:`visionzoo.ops.warp` has two or three axes. One axis is computed as an image of one row.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from visionzoo.ops.warp import integrate, resize_field, resize_field_to, warp


def displacement_of(velocity: Tensor, steps: int, downsize: int = 1) -> Tensor:
    """Integrate a velocity on a coarser grid, and return the displacement field on the velocity's grid.

    Args:
        velocity: (N, n, *S), in voxels per unit of time, 1 <= n <= 3.
        steps: number of squarings, >= 0; with 0 the result is the velocity.
        downsize: factor by which the grid is coarser during the integration, >= 1. It is 1 where a side would have no
            voxel.

    Returns:
        (N, n, *S), in voxels. Sides that ``downsize`` does not divide are restored by interpolation.

    Example:
        >>> displacement_of(torch.ones(1, 2, 5, 6), steps=0).shape
        torch.Size([1, 2, 5, 6])
    """
    if steps == 0:
        return velocity
    if downsize == 1 or min(velocity.shape[2:]) < downsize:
        return integrated(velocity, steps)
    coarse = integrated(resized(velocity, 1 / downsize), steps)
    return resized_to(resized(coarse, downsize), velocity)


def integrated(velocity: Tensor, steps: int) -> Tensor:
    """Integrate by scaling and squaring; see :func:`visionzoo.ops.warp.integrate`."""
    if velocity.shape[1] > 1:
        return integrate(velocity, steps)
    return integrate(_with_row(velocity), steps)[:, 1:, 0]


def resized(field: Tensor, scale: float) -> Tensor:
    """Resize a field in space and in value; see :func:`visionzoo.ops.warp.resize_field`."""
    if field.shape[1] > 1:
        return resize_field(field, scale)
    return F.interpolate(field, scale_factor=scale, mode="linear", align_corners=True) * scale


def resized_to(field: Tensor, like: Tensor) -> Tensor:
    """Resize a field to the grid of another tensor; see :func:`visionzoo.ops.warp.resize_field_to`."""
    if field.shape[1] > 1:
        return resize_field_to(field, like.shape[2:])
    return resize_field_to(_with_row(field), (1, like.shape[2]))[:, 1:, 0]


def warped(image: Tensor, field: Tensor) -> Tensor:
    """Warp linearly, with zeros outside the image; see :func:`visionzoo.ops.warp.warp`."""
    if field.shape[1] > 1:
        return warp(image, field)
    return warp(image[:, :, None], _with_row(field))[:, :, 0]


def _with_row(field: Tensor) -> Tensor:
    """Return a field (N, 1, L) as (N, 2, 1, L), without a displacement along the new axis."""
    return torch.cat([torch.zeros_like(field), field], 1)[:, :, None]
