"""Sampling of an image at the positions of a deformation.

Positions are computed slab by slab, so that no tensor of positions of the whole image exists. The backward pass
computes them again instead of keeping them. The identity is one line of numbers per axis; a displacement is scaled,
added and stored in the order of ``grid_sample`` in one step.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from visionzoo.errors import DataError, UnknownName
from visionzoo.ops.warp.checks import check_field, type_of_positions

MODES = ("linear", "nearest")
PADDINGS = ("zeros", "border")

# Number of voxels whose positions are computed at a time.
_SLAB_VOXELS = 2**19
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
    kind = type_of_positions(image, field)
    values, displacements = image.to(kind), field.to(kind)
    warped = sample(values, displacements, mode, padding)
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


def sample(image: Tensor, field: Tensor, mode: str, padding: str) -> Tensor:
    """Sample an image whose type, batch and grid are those of the field."""
    if torch.is_grad_enabled() and (image.requires_grad or field.requires_grad):
        return _Warp.apply(image, field, mode, padding)
    return _in_slabs(image, field, mode, padding)


class _Warp(torch.autograd.Function):
    """Sampling that saves the image and the field, and computes the positions again in its backward pass."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, field: Tensor, mode: str, padding: str) -> Tensor:
        ctx.save_for_backward(image, field)
        ctx.mode, ctx.padding = mode, padding
        return _in_slabs(image, field, mode, padding)

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


def _in_slabs(image: Tensor, field: Tensor, mode: str, padding: str) -> Tensor:
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


def _check_warp(image: Tensor, field: Tensor, mode: str, padding: str) -> None:
    for name, kind, known in ((mode, "mode of warp", MODES), (padding, "padding of warp", PADDINGS)):
        if name not in known:
            raise UnknownName(name, kind=kind, known=known)
    check_field(field)
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
