"""Fields from velocities, on other grids, and of two deformations in succession."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from visionzoo.errors import ConfigError, DataError
from visionzoo.ops.warp.checks import check_field, type_of_positions
from visionzoo.ops.warp.sampling import sample, warp


def integrate(velocity: Tensor, steps: int) -> Tensor:
    """Integrate a stationary velocity over unit time by scaling and squaring.

    Args:
        velocity: (B, n, *S), in voxels per unit of time.
        steps: number of squarings, >= 0. The first step covers ``2 ** -steps`` of the time. With 0 steps the result is
            the velocity.

    Returns:
        (B, n, *S), the displacement field. Outside the grid the velocity is zero.

    Raises:
        ConfigError: ``steps`` is negative.
        DataError: the velocity does not have one component per axis.

    Example:
        >>> import torch
        >>> integrate(torch.zeros(1, 2, 4, 5), steps=7).abs().max()
        tensor(0.)
    """
    if steps < 0:
        raise ConfigError("integrate", expected="steps >= 0", found=f"{steps}", advice="use 7")
    check_field(velocity)
    kind = type_of_positions(velocity)
    field = velocity.to(kind) * 0.5**steps
    for _ in range(steps):
        field = field + sample(field, field, "linear", "zeros")
    return field.to(velocity.dtype)


def resize_field(field: Tensor, scale: float) -> Tensor:
    """Resize a field by one factor, in space and in value, as the published networks do.

    A side of n voxels becomes ``floor(n * scale)`` voxels. A field is enlarged after its values are multiplied, and
    reduced before.

    Args:
        field: (B, n, *S).
        scale: factor of the sides and of the displacements, > 0.

    Returns:
        (B, n, *floor(S * scale)).

    Raises:
        ConfigError: ``scale`` is not positive, or no voxel remains along an axis.
        DataError: the field does not have one component per axis.

    Example:
        >>> import torch
        >>> half = resize_field(torch.ones(1, 2, 4, 6), 0.5)
        >>> half.shape, float(half.max())
        (torch.Size([1, 2, 2, 3]), 0.5)
    """
    check_field(field)
    if scale <= 0 or min(field.shape[2:]) * scale < 1:
        raise ConfigError(
            "resize_field",
            expected=f"a scale > 0 that leaves a voxel of {_sides(field)}",
            found=f"{scale:g}",
            advice="use a larger scale",
        )
    if scale == 1:
        return field
    options: dict[str, Any] = dict(scale_factor=scale, mode=_linear(field), align_corners=True)
    if scale < 1:
        return F.interpolate(field, **options) * scale
    return F.interpolate(field * scale, **options)


def resize_field_to(field: Tensor, size: Sequence[int]) -> Tensor:
    """Resize a field to a grid with the same corner voxels, in space and in value.

    The distance of two voxels changes by ``(new - 1) / (old - 1)`` along an axis, and so do the displacements. Thus the
    deformation is the same. :func:`resize_field` multiplies by its scale instead.

    Args:
        field: (B, n, *S).
        size: the n sides of the new grid, >= 1.

    Returns:
        (B, n, *size).

    Raises:
        DataError: the field does not have one component per axis, or ``size`` has another number of axes.

    Example:
        >>> import torch
        >>> resize_field_to(torch.ones(1, 2, 3, 5), (5, 3))[0, :, 0, 0]
        tensor([2.0000, 0.5000])
    """
    check_field(field)
    old, new = tuple(field.shape[2:]), tuple(size)
    if len(new) != len(old) or min(new) < 1:
        raise DataError(
            "resize_field_to",
            expected=f"{len(old)} sides >= 1",
            found=f"{list(new)}",
            advice="give the sides of the new grid in voxels",
        )
    if new == old:
        return field
    factors = [(b - 1) / (a - 1) if a > 1 and b > 1 else 1.0 for a, b in zip(old, new, strict=True)]
    resized = F.interpolate(field, size=new, mode=_linear(field), align_corners=True)
    return resized * resized.new_tensor(factors).reshape(1, -1, *[1] * len(new))


def compose(outer: Tensor, inner: Tensor, *, padding: str = "border") -> Tensor:
    """Return the field whose deformation is ``(id + outer) o (id + inner)``: ``inner(x) + outer(x + inner(x))``.

    An image is warped by ``outer`` and the result by ``inner`` in one sampling: ``warp(warp(image, outer), inner)`` is
    ``warp(image, compose(outer, inner))`` without its second interpolation.

    Args:
        outer, inner: (B, n, *S) each.
        padding: displacement of ``outer`` outside its grid: that of the nearest voxel (``border``) or ``zeros``.

    Returns:
        (B, n, *S), of the type of ``inner``.

    Raises:
        DataError: the fields have different grids.
        UnknownName: an unknown padding.

    Example:
        >>> import torch
        >>> one = torch.ones(1, 2, 4, 5)
        >>> float(compose(one, 2 * one).max())
        3.0
    """
    return inner + warp(outer, inner, padding=padding).to(inner.dtype)


def _linear(field: Tensor) -> str:
    return {4: "bilinear", 5: "trilinear"}[field.ndim]


def _sides(field: Tensor) -> str:
    return "x".join(str(side) for side in field.shape[2:])
