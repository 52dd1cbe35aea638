"""Displacement fields and the images that they warp, in 2-D and 3-D.

A field ``(B, n, *S)`` has n = 2 or 3 spatial axes and one component per axis, in voxels of the same grid. Component i
displaces along axis i. Its deformation is the identity plus the field: ``warped(x) = image(x + field(x))``. Sources:
spatial transformer, Jaderberg et al., arXiv 1506.02025; scaling and squaring, Arsigny et al., MICCAI 2006; VoxelMorph,
arXiv 1809.05231.

Positions are computed slab by slab, so that no tensor of positions of the whole image exists. The backward pass
computes them again instead of keeping them. The identity is one line of numbers per axis; a displacement is scaled,
added and stored in the order of ``grid_sample`` in one step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from visionzoo.errors import ConfigError, DataError, UnknownName

MODES = ("linear", "nearest")
PADDINGS = ("zeros", "border")

# Number of voxels whose positions are computed at a time.
_SLAB_VOXELS = 2**19
# Number of planes whose determinants are computed at a time.
_JACOBIAN_PLANES = 8
# Codes of torch's operator for the backward pass of grid_sample.
_TORCH_MODES, _TORCH_PADDINGS = {"linear": 0, "nearest": 1}, {"zeros": 0, "border": 1}


def warp(image: Tensor, field: Tensor, *, mode: str = "linear", padding: str = "zeros") -> Tensor:
    """Sample an image at the positions of a deformation: ``warped(x) = image(x + field(x))``.

    Positions are computed in float32 or float64, also for images and fields of half precision. An axis of one voxel has
    no displacement.

    Args:
        image: (B, C, *S). Integers, such as label maps, require ``nearest``.
        field: (B, n, *S), displacements in voxels.
        mode: ``linear`` or ``nearest``. The latter has no gradient with respect to the field.
        padding: value outside the image: ``zeros``, or ``border`` for the value of the nearest voxel of the image.

    Returns:
        (B, C, *S), of the type of the image. It equals the image if the field is zero everywhere.

    Raises:
        DataError: the image and the field have different grids, or an image of integers is sampled linearly.
        UnknownName: an unknown mode or padding.

    Example:
        >>> image = torch.arange(6.0).reshape(1, 1, 2, 3)
        >>> right = torch.tensor([0.0, 0.5]).reshape(1, 2, 1, 1).expand(1, 2, 2, 3)
        >>> warp(image, right, padding="border")
        tensor([[[[0.5000, 1.5000, 2.0000],
                  [3.5000, 4.5000, 5.0000]]]])
    """
    _check_warp(image, field, mode, padding)
    kind = _type_of_positions(image, field)
    values, displacements = image.to(kind), field.to(kind)
    warped = _warp(values, displacements, mode, padding)
    if not torch.compiler.is_compiling() and is_identity(field):
        warped.detach().copy_(values)  # the sampled values differ from the image by rounding
    return warped.to(image.dtype)


def is_identity(field: Tensor) -> bool:
    """Return whether every displacement is zero.

    Example:
        >>> is_identity(torch.zeros(1, 2, 4, 5))
        True
    """
    middle = field[:, :, field.shape[2] // 2]  # most fields are decided by one plane
    return not bool(middle.any()) and not bool(field.any())


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
        >>> integrate(torch.zeros(1, 2, 4, 5), steps=7).abs().max()
        tensor(0.)
    """
    if steps < 0:
        raise ConfigError("integrate", expected="steps >= 0", found=f"{steps}", advice="use 7")
    _check_field(velocity)
    kind = _type_of_positions(velocity)
    field = velocity.to(kind) * 0.5**steps
    for _ in range(steps):
        field = field + _warp(field, field, "linear", "zeros")
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
        >>> half = resize_field(torch.ones(1, 2, 4, 6), 0.5)
        >>> half.shape, float(half.max())
        (torch.Size([1, 2, 2, 3]), 0.5)
    """
    _check_field(field)
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
        >>> resize_field_to(torch.ones(1, 2, 3, 5), (5, 3))[0, :, 0, 0]
        tensor([2.0000, 0.5000])
    """
    _check_field(field)
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
        >>> one = torch.ones(1, 2, 4, 5)
        >>> float(compose(one, 2 * one).max())
        3.0
    """
    return inner + warp(outer, inner, padding=padding).to(inner.dtype)


def invert(field: Tensor, *, tolerance: float = 0.01, iterations: int = 60) -> Tensor:
    """Return the field of the inverse deformation, by a damped fixed point.

    The error of the inverse v at x is ``v(x) + field(x + v(x))``. Each step subtracts a share of it. The share halves
    where the error has grown, and rises to 1 where it shrinks, because a plain fixed point (share 1) diverges where the
    deformation stretches by a factor of 2 or more. The iteration ends when 99.5 % of the errors are below the
    tolerance.

    Args:
        field: (B, n, *S), of a deformation without folds. Its displacements continue outside the grid as at the border.
        tolerance: in voxels, > 0.
        iterations: maximum number of steps.

    Returns:
        (B, n, *S), of the type of the field, without a gradient.

    Raises:
        DataError: the field does not have one component per axis.

    Example:
        >>> shift = torch.full((1, 2, 4, 5), 0.5)
        >>> float(invert(shift).max())
        -0.5
    """
    _check_field(field)
    with torch.no_grad():
        values = field.to(_type_of_positions(field))
        return _fixed_point(values, tolerance, iterations).to(field.dtype)


def jacobian_determinant(field: Tensor) -> Tensor:
    """Return the determinant of the Jacobian of the deformation (identity plus field) at every voxel.

    Derivatives are central differences, and one-sided at the borders of the grid, as ``numpy.gradient`` computes them.
    An axis of one voxel has no displacement gradient. Half precision is computed in float32.

    Args:
        field: (B, n, *S), in voxels.

    Returns:
        (B, *S). Values <= 0 are folds.

    Raises:
        DataError: the field does not have one component per axis.

    Example:
        >>> torch.unique(jacobian_determinant(torch.zeros(2, 3, 4, 5, 6)))
        tensor([1.])
    """
    _check_field(field)
    values = field.to(_type_of_positions(field))
    planes = values.shape[2]
    result = values.new_empty((values.shape[0], *values.shape[2:]))
    for start in range(0, planes, _JACOBIAN_PLANES):
        stop = min(planes, start + _JACOBIAN_PLANES)
        result[:, start:stop] = _determinant(_gradients(values, start, stop))
    return result


# --------------------------------------------------------------------------- sampling


def _warp(image: Tensor, field: Tensor, mode: str, padding: str) -> Tensor:
    """Sample an image whose type, batch and grid are those of the field."""
    if torch.is_grad_enabled() and (image.requires_grad or field.requires_grad):
        return _Warp.apply(image, field, mode, padding)
    return _sample(image, field, mode, padding)


class _Warp(torch.autograd.Function):
    """Sampling that saves the image and the field, and computes the positions again in its backward pass."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, field: Tensor, mode: str, padding: str) -> Tensor:
        ctx.save_for_backward(image, field)
        ctx.mode, ctx.padding = mode, padding
        return _sample(image, field, mode, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        image, field = ctx.saved_tensors
        of_image, of_field = ctx.needs_input_grad[:2]
        of_field &= ctx.mode == "linear"
        grid = _positions(field, 0, field.shape[2])
        axes = field.shape[1]
        backward = getattr(torch.ops.aten, f"grid_sampler_{axes}d_backward")
        codes = _TORCH_MODES[ctx.mode], _TORCH_PADDINGS[ctx.padding]
        to_image, to_grid = backward(gradient.contiguous(), image, grid, *codes, True, (of_image, True))
        return to_image if of_image else None, _in_voxels(to_grid, field) if of_field else None, None, None


def _sample(image: Tensor, field: Tensor, mode: str, padding: str) -> Tensor:
    options: dict[str, Any] = dict(
        mode="bilinear" if mode == "linear" else mode, padding_mode=padding, align_corners=True
    )
    planes = max(1, _SLAB_VOXELS // field[0, 0, 0].numel())
    if field.shape[2] <= planes:
        return F.grid_sample(image, _positions(field, 0, field.shape[2]), **options)
    warped = torch.empty_like(image)
    for start in range(0, field.shape[2], planes):
        slab = slice(start, min(field.shape[2], start + planes))
        warped[:, :, slab] = F.grid_sample(image, _positions(field, slab.start, slab.stop), **options)
    return warped


def _positions(field: Tensor, start: int, stop: int) -> Tensor:
    """Return positions of some planes for ``grid_sample``, (B, stop - start, ..., n) in [-1, 1], last axis first."""
    slab, axes = field[:, :, start:stop], field.shape[1]
    grid = field.new_empty((len(slab), *slab.shape[2:], axes))
    for axis, side in enumerate(field.shape[2:]):
        line = torch.linspace(-1, 1, side, dtype=field.dtype, device=field.device) if side > 1 else field.new_zeros(1)
        line = (line[start:stop] if axis == 0 else line).reshape([-1 if at == axis else 1 for at in range(axes)])
        torch.add(line, slab[:, axis].detach(), alpha=_per_voxel(side), out=grid[..., axes - 1 - axis])
    return grid


def _in_voxels(gradient: Tensor, field: Tensor) -> Tensor:
    """Return the gradient of a field from that of its positions."""
    result, axes = torch.empty_like(field), field.shape[1]
    for axis, side in enumerate(field.shape[2:]):
        torch.mul(gradient[..., axes - 1 - axis], _per_voxel(side), out=result[:, axis])
    return result


def _per_voxel(side: int) -> float:
    """Return the length of one voxel where the whole axis has length 2."""
    return 2 / (side - 1) if side > 1 else 0.0


# --------------------------------------------------------------------------- inverse, Jacobian


def _fixed_point(field: Tensor, tolerance: float, iterations: int) -> Tensor:
    inverse = -field
    share = torch.full_like(field[:, :1], 0.7)
    before = None
    for _ in range(iterations):
        error = inverse + _warp(field, inverse, "linear", "border")
        size = error.square().sum(1, keepdim=True)
        inverse = torch.addcmul(inverse, error, share, value=-1)
        if bool((size > tolerance**2).float().mean() <= 0.005):
            break
        if before is not None:
            share = torch.where(size > before, share * 0.5, (share * 1.2).clamp(max=1))
        before = size
    return inverse


def _gradients(field: Tensor, start: int, stop: int) -> list[list[Tensor]]:
    """Return row i, column j of the Jacobian of the deformation, (B, planes, ...) each, for some planes."""
    axes = field.shape[1]
    rows = []
    for row in range(axes):
        columns = [_planes_difference(field[:, row], start, stop)]
        columns += [_difference(field[:, row, start:stop], 1 + axis) for axis in range(1, axes)]
        columns[row] = columns[row] + 1
        rows.append(columns)
    return rows


def _planes_difference(values: Tensor, start: int, stop: int) -> Tensor:
    """Return the difference along the first spatial axis for some planes, from one more plane on each side."""
    first, last = max(0, start - 1), min(values.shape[1], stop + 1)
    return _difference(values[:, first:last], 1)[:, start - first : stop - first]


def _difference(values: Tensor, dim: int) -> Tensor:
    side = values.shape[dim]
    if side == 1:
        return torch.zeros_like(values)
    first = values.narrow(dim, 1, 1) - values.narrow(dim, 0, 1)
    last = values.narrow(dim, side - 1, 1) - values.narrow(dim, side - 2, 1)
    inner = (values.narrow(dim, 2, side - 2) - values.narrow(dim, 0, side - 2)) * 0.5
    return torch.cat([first, inner, last], dim)


def _determinant(rows: list[list[Tensor]]) -> Tensor:
    if len(rows) == 2:
        (a, b), (c, d) = rows
        return a * d - b * c
    (a, b, c), (d, e, f), (g, h, i) = rows
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)


# --------------------------------------------------------------------------- checks


def _check_warp(image: Tensor, field: Tensor, mode: str, padding: str) -> None:
    for name, kind, known in ((mode, "mode of warp", MODES), (padding, "padding of warp", PADDINGS)):
        if name not in known:
            raise UnknownName(name, kind=kind, known=known)
    _check_field(field)
    if len(image) != len(field) or image.shape[2:] != field.shape[2:]:
        raise DataError(
            "warp",
            expected=f"an image and a field of one batch and one grid, (B, C, *S) and {tuple(field.shape)}",
            found=f"an image {tuple(image.shape)}",
            advice="resize the field to the grid of the image",
        )
    if mode == "linear" and not image.is_floating_point():
        raise DataError(
            "warp",
            expected="an image of floating-point numbers for mode linear",
            found=f"{image.dtype}".removeprefix("torch."),
            advice="use mode nearest for labels, or convert the image",
        )


def _check_field(field: Tensor) -> None:
    if field.ndim not in (4, 5) or field.shape[1] != field.ndim - 2:
        raise DataError(
            "field",
            expected="(B, 2, H, W) or (B, 3, D, H, W), one component per axis",
            found=f"{tuple(field.shape)}",
            advice="give displacements in voxels, components before the axes",
        )


def _type_of_positions(*tensors: Tensor) -> torch.dtype:
    """Return float64 if a tensor needs it: float64, or integers of which float32 rounds some."""
    wide = any(tensor.dtype in (torch.float64, torch.int32, torch.int64) for tensor in tensors)
    return torch.float64 if wide else torch.float32


def _linear(field: Tensor) -> str:
    return {4: "bilinear", 5: "trilinear"}[field.ndim]


def _sides(field: Tensor) -> str:
    return "x".join(str(side) for side in field.shape[2:])
