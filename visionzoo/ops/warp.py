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

from collections.abc import Callable, Sequence
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
# Share of the voxels that may have an error above the tolerance. The iteration also ends if neither their number nor
# the mean square of all errors falls to a part of itself in a number of steps.
_LARGE_ERRORS, _PROGRESS, _PATIENCE = 0.005, 0.75, 5
# A field is inverted on a coarser grid first if each of its sides has this number of voxels.
_COARSE_SIDE = 32
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


def invert(field: Tensor, *, tolerance: float = 0.01, iterations: int = 16) -> Tensor:
    """Return the field of the inverse deformation, by a damped fixed point that starts on grids of half the size.

    The error of the inverse v at x is ``v(x) + field(x + v(x))``. Each step subtracts a share of it. The share halves
    where the error has grown, and rises to 1 where it shrinks, because a plain fixed point (share 1) diverges where the
    deformation stretches by a factor of 2 or more. The iteration ends when 99.5 % of the errors are below the
    tolerance, or when neither the number of larger errors nor the mean square falls by a quarter in 5 steps. The latter
    is the case for a deformation with folds, which has no inverse. The result is then the field of the last step: exact
    for other voxels, and an approximation at and near folds. ``compose(field, invert(field))`` shows the errors.

    Args:
        field: (B, n, *S). Its displacements continue outside the grid as at the border.
        tolerance: in voxels, > 0.
        iterations: maximum number of steps on each grid; twice as many on the coarsest one.

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
        return _inverse(values, tolerance, iterations).to(field.dtype)


def _inverse(field: Tensor, tolerance: float, iterations: int) -> Tensor:
    sides = tuple(field.shape[2:])
    if min(sides) < _COARSE_SIDE:
        start, iterations = -field, 2 * iterations
    else:
        coarse = resize_field_to(field, [(side + 1) // 2 for side in sides])
        start = resize_field_to(_inverse(coarse, tolerance / 2, iterations), sides)
    return damped_fixed_point(
        lambda inverse: inverse + _warp(field, inverse, "linear", "border"),
        start,
        share=0.7,
        tolerance=tolerance,
        iterations=iterations,
    )


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
    _check_field(field)
    with torch.no_grad():
        values = field.to(_type_of_positions(field))
        result = values.new_empty((values.shape[0], *values.shape[2:]))
        for displacements, determinants in zip(values, result):
            _write_determinants(displacements, determinants)
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
    if field.shape[2] <= planes or torch.compiler.is_exporting():
        return F.grid_sample(image, _positions(field, 0, field.shape[2]), **options)
    warped = torch.empty_like(image)
    for start in range(0, field.shape[2], planes):
        slab = slice(start, min(field.shape[2], start + planes))
        warped[:, :, slab] = F.grid_sample(image, _positions(field, slab.start, slab.stop), **options)
    return warped


def _positions(field: Tensor, start: int, stop: int) -> Tensor:
    """Return positions of some planes for ``grid_sample``, (B, stop - start, ..., n) in [-1, 1], last axis first."""
    slab, axes = field[:, :, start:stop], field.shape[1]
    if torch.compiler.is_exporting():  # a graph does not write into parts of a tensor
        lines = [torch.linspace(-1, 1, side, dtype=field.dtype) for side in slab.shape[2:]]
        grid = torch.stack(torch.meshgrid(*lines, indexing="ij"))
        scales = field.new_tensor([_per_voxel(side) for side in slab.shape[2:]]).reshape(-1, *[1] * axes)
        return (grid + scales * slab).flip(1).movedim(1, -1)
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


def damped_fixed_point(
    error_of: Callable[[Tensor], Tensor], inverse: Tensor, *, share: float, tolerance: float, iterations: int
) -> Tensor:
    """Subtract a share of the error from a field until the error is small; see :func:`invert`.

    Args:
        error_of: function that returns the error of a field (B, n, *S), in voxels.
        inverse: the start, (B, n, *S).
        share: the first share, the same for all voxels.
        tolerance: error in voxels that 99.5 % of the voxels must reach.
        iterations: maximum number of steps.

    Example:
        >>> start = torch.zeros(1, 2, 3, 4)
        >>> found = damped_fixed_point(lambda v: v - 1, start, share=0.9, tolerance=0.01, iterations=9)
        >>> float(found.min()) > 0.99
        True
    """
    shares, before = torch.full_like(inverse[:, :1], share), None
    history: list[tuple[float, float]] = []
    for _ in range(iterations):
        error = error_of(inverse)
        size = error.square().sum(1, keepdim=True)
        inverse = torch.addcmul(inverse, error, shares, value=-1)
        history.append((float((size > tolerance**2).float().mean()), float(size.mean())))
        if history[-1][0] <= _LARGE_ERRORS or _has_stalled(history):
            break
        if before is not None:
            shares = torch.where(size > before, shares * 0.5, (shares * 1.2).clamp(max=1))
        before = size
    return inverse


def _has_stalled(history: list[tuple[float, float]]) -> bool:
    if len(history) <= _PATIENCE:
        return False
    return all(last > _PROGRESS * earlier for last, earlier in zip(history[-1], history[-1 - _PATIENCE]))


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
