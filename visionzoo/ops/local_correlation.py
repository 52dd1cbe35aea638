"""Squared local correlation of two images in a sliding window, with the gradients of both in closed form.

For each window, with n voxels and the sums ``sI``, ``sJ``, ``sII``, ``sJJ`` and ``sIJ``::

    cross = sIJ - sI sJ / n      vI = sII - sI sI / n      vJ = sJJ - sJ sJ / n
    cc = cross^2 / (vI vJ + eps)

Voxels outside the image are zero and count, as in VoxelMorph (arXiv 1809.05231), whose loss is the negative mean. A
centred window sum is its own adjoint. With ``a = 2 cross / (vI vJ + eps)`` and ``b = 2 cross^2 vI / (vI vJ + eps)^2``,
the gradient of the sum of cc with respect to J is::

    I sum(a) - J sum(b) + sum(b sJ / n - a sI / n)

and the same with I and J exchanged. Sums of 2, 4 and 8 neighbours come from additions of shifted arrays; 9 is 8 and
one. The arrays are padded and flat, so that every shift is an offset in memory, and small enough for the processor's
cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from visionzoo.errors import ConfigError, DataError

# Number of voxels that are summed at a time: five arrays of this size fit the cache of a core, or occupy a GPU.
_CPU_VOXELS, _OTHER_VOXELS = 2**17, 2**24


def local_correlation(fixed: Tensor, moving: Tensor, window: int = 9, eps: float = 1e-5) -> Tensor:
    """Return the mean squared local correlation of each sample.

    The gradients are computed together with the value, and are all that is kept for the backward pass. Half precision
    is computed in float32.

    Args:
        fixed, moving: (B, C, *S), 2-D or 3-D, with values of about 0 to 1: the product of the variances is compared
            with ``eps``.
        window: side of the window in voxels, odd and at least 3.
        eps: added to the product of the sums of squares of the deviations.

    Returns:
        (B,), about 0 for independent images, 1 for images that are multiples of each other in every window.

    Raises:
        ConfigError: the window is even or below 3.
        DataError: the images have different shapes, or are neither 2-D nor 3-D.

    Example:
        >>> image = torch.rand(2, 1, 12, 15, generator=torch.Generator().manual_seed(0))
        >>> local_correlation(image, 2 * image).round(decimals=2)
        tensor([1., 1.])
    """
    _check(fixed, moving, window)
    kind = torch.float64 if torch.float64 in (fixed.dtype, moving.dtype) else torch.float32
    return _LocalCorrelation.apply(fixed.to(kind), moving.to(kind), window, eps)


class _LocalCorrelation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, fixed: Tensor, moving: Tensor, window: int, eps: float) -> Tensor:
        wanted = ctx.needs_input_grad[:2]
        gradients = [torch.empty_like(image) if want else None for image, want in zip((fixed, moving), wanted)]
        values = fixed.new_empty(len(fixed))
        for at in range(len(fixed)):
            targets = [None if gradient is None else gradient[at] for gradient in gradients]
            values[at] = _of_sample(fixed[at], moving[at], window, eps, targets)
        ctx.save_for_backward(*gradients)
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        saved = (each if each is None else each * _like(gradient, each) for each in ctx.saved_tensors)
        return *saved, None, None  # type: ignore[return-value]


def _like(per_sample: Tensor, images: Tensor) -> Tensor:
    return per_sample.reshape(-1, *[1] * (images.ndim - 1))


def _of_sample(fixed: Tensor, moving: Tensor, window: int, eps: float, targets: list[Tensor | None]) -> Tensor:
    """Return the mean over a sample (C, *S), and write its gradients to the targets that are not None."""
    count = window ** (fixed.ndim - 1)
    product = fixed * moving
    cross = box_sum(product, window)
    sums = [box_sum(image, window) for image in (fixed, moving)]
    deviations = [box_sum(torch.mul(image, image, out=product), window) for image in (fixed, moving)]
    cross.addcmul_(*sums, value=-1 / count)
    for deviation, total in zip(deviations, sums):
        deviation.addcmul_(total, total, value=-1 / count).clamp_(min=0)
    slope = cross / torch.mul(*deviations, out=product).add_(eps)
    mean = torch.dot(cross.flatten(), slope.flatten()) / cross.numel()
    slope.mul_(2 / cross.numel())
    if any(target is not None for target in targets):
        curve = cross  # the same memory: cross is not needed any more
        torch.mul(slope, slope, out=curve).mul_(cross.numel() / 2)
        _gradients((fixed, moving), sums, deviations, slope, curve, window, targets)
    return mean


def _gradients(
    images: tuple[Tensor, Tensor],
    sums: list[Tensor],
    deviations: list[Tensor],
    slope: Tensor,
    curve: Tensor,
    window: int,
    targets: list[Tensor | None],
) -> None:
    """Write the gradients. ``slope`` is a, and ``curve`` times the deviation of the other image is b."""
    count = window ** (slope.ndim - 1)
    slopes = box_sum(slope, window)
    for at, target in enumerate(targets):
        if target is None:
            continue
        other = 1 - at
        own = torch.mul(curve, deviations[other])
        torch.mul(images[other], slopes, out=target)
        target.addcmul_(images[at], box_sum(own, window), value=-1)
        own.mul_(sums[at]).addcmul_(slope, sums[other], value=-1).mul_(1 / count)
        target.add_(box_sum(own, window))


# --------------------------------------------------------------------------- window sums


def box_sum(values: Tensor, window: int) -> Tensor:
    """Return the sum over a centred window at each voxel; voxels outside are zero. It records no gradient.

    Args:
        values: (C, H, W) or (C, D, H, W), float32 or float64.
        window: side of the window, odd.

    Returns:
        The sums, of the shape of the values.

    Example:
        >>> box_sum(torch.ones(1, 3, 4), 3)
        tensor([[[4., 6., 6., 4.],
                 [6., 9., 9., 6.],
                 [4., 6., 6., 4.]]])
    """
    with torch.no_grad():
        volumes = (values if values.ndim == 4 else values.unsqueeze(1)).contiguous()
        if values.ndim == 3:
            result = torch.empty_like(volumes)
            _sum_planes(volumes.flatten(0, 1), window, result.flatten(0, 1))
            return result.view_as(values)
        half, (depth, height, width) = window // 2, volumes.shape[1:]
        tall = volumes.new_zeros(depth + 2 * half, height, width)
        result = torch.empty_like(volumes)
        for volume, target in zip(volumes, result):
            _sum_planes(volume, window, tall[half : half + depth])
            _sum_columns(tall.flatten(1), window, target.flatten(1))
        return result


def _sum_planes(planes: Tensor, window: int, target: Tensor) -> None:
    """Write the sums over the last two axes of (P, H, W)."""
    half, (height, width) = window // 2, planes.shape[1:]
    tall, wide = height + 2 * half, width + 2 * half
    some = min(len(planes), max(1, _voxels_at_a_time(planes) // (tall * wide)))
    padded = planes.new_zeros(some, tall, wide)
    *scratch, rows, both = planes.new_empty(4, padded.numel())
    for start, stop in _parts(len(planes), some):
        part = padded[: stop - start]
        part[:, half : half + height, half : half + width] = planes[start:stop]
        summed = _sum_shifted(part.flatten(), window, 1, scratch, rows)
        _sum_shifted(summed, window, wide, scratch, both)
        target[start:stop] = both[: part.numel()].view_as(part)[:, :height, :width]


def _sum_columns(columns: Tensor, window: int, target: Tensor) -> None:
    """Write the sums over the first axis of (D + window - 1, N) to (D, N)."""
    depth, count = columns.shape
    some = min(count, max(1, _voxels_at_a_time(columns) // depth))
    *scratch, part, sums = columns.new_empty(4, depth * some)
    for start, stop in _parts(count, some):
        flat = part[: depth * (stop - start)]
        flat.view(depth, -1).copy_(columns[:, start:stop])
        target[:, start:stop] = _sum_shifted(flat, window, stop - start, scratch, sums).view(len(target), -1)


def _sum_shifted(flat: Tensor, window: int, stride: int, scratch: Sequence[Tensor], result: Tensor) -> Tensor:
    """Write ``flat[i] + flat[i + stride] + ... + flat[i + (window - 1) * stride]`` to the beginning of ``result``."""
    total = result[: len(flat) - (window - 1) * stride]
    power, partial, done = 1, flat, 0  # partial[i] is the sum of `power` values; `done` values are in the total
    while True:
        if window & power:
            part = partial[done * stride :][: len(total)]
            torch.add(total, part, out=total) if done else total.copy_(part)
            done += power
        if 2 * power > window:
            return total
        length = len(partial) - power * stride
        unused = scratch[0] if partial.data_ptr() != scratch[0].data_ptr() else scratch[1]
        partial = torch.add(partial[:length], partial[power * stride :], out=unused[:length])
        power *= 2


def _parts(count: int, some: int) -> Iterator[tuple[int, int]]:
    for start in range(0, count, some):
        yield start, min(count, start + some)


def _voxels_at_a_time(values: Tensor) -> int:
    return _CPU_VOXELS if values.device.type == "cpu" else _OTHER_VOXELS


# --------------------------------------------------------------------------- checks


def _check(fixed: Tensor, moving: Tensor, window: int) -> None:
    if window < 3 or window % 2 == 0:
        raise ConfigError("local correlation", expected="an odd window >= 3", found=f"{window}", advice="use 9")
    if fixed.shape != moving.shape or fixed.ndim not in (4, 5):
        raise DataError(
            "local correlation",
            expected="two images of one shape, (B, C, H, W) or (B, C, D, H, W)",
            found=f"{tuple(fixed.shape)} and {tuple(moving.shape)}",
            advice="bring both images to one grid",
        )
