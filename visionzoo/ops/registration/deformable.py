"""Deformable registration of two images by small smooth steps that are composed, on a pyramid of resolutions.

The method is greedy and uses no autograd: at each step the gradient of the similarity, in closed form, is brought to a
grid of half the resolution, smoothed, scaled voxel by voxel as Adam does, smoothed again and composed with the
deformation so far: ``phi <- phi o (id + v)``. A step is small and smooth, so the composition has no folds. Relatives:
greedy SyN (Avants et al., Medical Image Analysis 2008) and FireANTs (arXiv 2404.01249).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from visionzoo.errors import ConfigError, DataError, require_known
from visionzoo.ops.registration.axis_matrices import along_axes, gaussian, interpolation, step_between
from visionzoo.ops.registration.pyramid import Level, checked_pair, image_gradients, level_of, require_overlap
from visionzoo.ops.registration.sampling import Sampler
from visionzoo.ops.registration.similarities import SIMILARITIES, similarity_of
from visionzoo.ops.registration.transform import (
    Transform,
    affine_field,
    identity_affine,
    inverse_affine,
    transform_linear,
)
from visionzoo.ops.warp import invert, resize_field_to, warp

# Decay of Adam's two running means, and the share of the largest root mean square that damps small gradients.
_FIRST, _SECOND, _DAMPING = 0.7, 0.99, 0.05
# Gradient of a voxel that counts as rounding, if the similarity of the whole image is at most about 1.
_ROUNDING = 1e-3


@dataclass(frozen=True)
class Schedule:
    """How many steps the optimiser takes, and of which kind.

    Attributes:
        levels: factors by which the images are reduced, coarse first.
        iterations: maximum number of steps on each level.
        step: largest move of a voxel in one step, in voxels of the level.
        sigma: standard deviation of the two smoothings of a step, in voxels of the field's grid.
        field_sigma: standard deviation of a smoothing of the whole deformation after each step, in the same voxels.
            A positive value gives smoother fields and a lower similarity.
        tolerance: a level ends early if the similarity rises by less than this share of its value in 10 steps; 0 takes
            all steps.
        symmetric: the fixed image is registered to the moving one too, and the deformation is the mean of the first
            result and the inverse of the second. It takes about twice the time, and labels overlap more.

    Example:
        >>> Schedule().iterations
        (80, 60, 25)
    """

    levels: tuple[float, ...] = (4, 2, 1)
    iterations: tuple[int, ...] = (80, 60, 25)
    step: float = 0.3
    sigma: float = 2.0
    field_sigma: float = 0.0
    tolerance: float = 0.0
    symmetric: bool = False


SCHEDULES = {
    "default": Schedule(),
    "short": Schedule(iterations=(60, 40, 6)),
    "shortest": Schedule(iterations=(40, 30, 0)),
    # Volumes change less and labels overlap less, for images of different people.
    "smooth": Schedule(field_sigma=0.7),
    # Labels overlap more, for images of one person; twice the time.
    "symmetric": Schedule(sigma=1.75, symmetric=True),
    # For sides of about 200 voxels: a step at the full resolution costs as much as 8 at the half.
    "large": Schedule(levels=(8, 4, 2, 1), iterations=(80, 60, 25, 1)),
}


def refine(
    fixed: Tensor,
    moving: Tensor,
    field: Tensor,
    *,
    steps: int,
    mask: Tensor | None = None,
    similarity: str = "correlation",
) -> Tensor:
    """Improve a displacement field, such as that of a network, by steps at the full resolution.

    Args:
        fixed, moving: (B, 1, *S), 2-D or 3-D, of one grid.
        field: (B, n, *S), in voxels.
        steps: number of steps, >= 0; 0 returns the field.
        mask: (B, 1, *S) on the fixed grid; voxels of value 0 have no influence.
        similarity: ``correlation`` or ``mutual_information``.

    Returns:
        (B, n, *S), in voxels. Details of the field that half the resolution cannot hold are lost.

    Raises:
        DataError, UnknownName: see :func:`register_deformable`.

    Example:
        >>> image = torch.rand(1, 1, 12, 17)
        >>> float(refine(image, image, torch.zeros(1, 2, 12, 17), steps=3).abs().max())
        0.0
    """
    schedule = Schedule(levels=(1,), iterations=(steps,))
    return register_deformable(fixed, moving, mask=mask, start=field, similarity=similarity, schedule=schedule).field()


def schedule_of(schedule: str | Schedule) -> Schedule:
    """Return a schedule by name, or the given one after a check of its levels.

    Raises:
        ConfigError: the numbers of levels and of iterations differ.
        UnknownName: an unknown name.

    Example:
        >>> schedule_of("short").iterations
        (60, 40, 6)
    """
    if isinstance(schedule, str):
        require_known(schedule, list(SCHEDULES), "schedule")
        return SCHEDULES[schedule]
    if len(schedule.levels) != len(schedule.iterations) or not schedule.levels:
        raise ConfigError(
            "schedule",
            expected="one number of iterations for each level",
            found=f"{len(schedule.levels)} levels and {len(schedule.iterations)} numbers",
            advice="give levels=(4, 2, 1), iterations=(80, 60, 25)",
        )
    return schedule


def register_deformable(
    fixed: Tensor,
    moving: Tensor,
    *,
    mask: Tensor | None = None,
    affine: Tensor | None = None,
    start: Tensor | None = None,
    similarity: str = "correlation",
    schedule: str | Schedule = "default",
) -> Transform:
    """Find the deformation that aligns the moving image with the fixed one.

    Args:
        fixed, moving: (B, 1, *S), 2-D or 3-D, of one grid. Each pair is registered separately.
        mask: (B, 1, *S) on the fixed grid; voxels of value 0 have no influence.
        affine: (B, n, n + 1), the map of :func:`register_affine`; it stays as it is and is never smoothed.
        start: (B, n, *S), a displacement field to begin with, such as that of a network.
        similarity: ``correlation`` (local), or ``mutual_information`` for images of different contrasts.
        schedule: ``default``, ``short``, ``shortest``, ``smooth``, ``symmetric``, ``large`` or a
            :class:`Schedule`.

    Returns:
        The affine map and the deformation, which are applied in one sampling.

    Raises:
        ConfigError, UnknownName: a wrong schedule or an unknown similarity.
        DataError: see :func:`checked_pair`; or a start of another grid.

    Example:
        >>> from visionzoo.ops.warp import warp
        >>> rows, columns = torch.meshgrid(torch.arange(24.0), torch.arange(30.0), indexing="ij")
        >>> fixed = (torch.sin(rows / 2) * torch.cos(columns / 3) + rows / 20)[None, None]
        >>> known = 1.5 * torch.stack([torch.sin(columns / 9), torch.cos(rows / 8)])[None]
        >>> moving = warp(fixed, known, padding="border")
        >>> warped = register_deformable(fixed, moving).warp(moving, padding="border")
        >>> bool((warped - fixed).square().mean() < 0.2 * (moving - fixed).square().mean())
        True
    """
    require_known(similarity, SIMILARITIES, "similarity")
    schedule = schedule_of(schedule)
    fixed, moving, mask = checked_pair(fixed, moving, mask)
    size = tuple(fixed.shape[2:])
    if start is not None and start.shape != (len(fixed), len(size), *size):
        raise DataError(
            "start field",
            expected=f"{(len(fixed), len(size), *size)}",
            found=f"{tuple(start.shape)}",
            advice="resize the field to the grid of the fixed image",
        )
    affine = identity_affine(len(size), len(fixed)).to(fixed.device) if affine is None else affine
    found = []
    with torch.no_grad():
        for index in range(len(fixed)):
            pair = fixed[index, 0], moving[index, 0], None if mask is None else mask[index, 0]
            first = None if start is None else start[index : index + 1].float()
            method = _register_both_ways if schedule.symmetric else _register_one
            found.append(method(pair, affine[index : index + 1], first, similarity, schedule))
    return Transform(size, affine, torch.cat(found))


def _register_both_ways(
    pair: tuple[Tensor, Tensor, Tensor | None],
    affine: Tensor,
    start: Tensor | None,
    similarity: str,
    schedule: Schedule,
) -> Tensor:
    """Return the mean of the deformation and the inverse of the one from the moving image to the fixed one.

    The errors of the two are nearly independent.
    """
    fixed, moving, mask = pair
    size, inverse = tuple(fixed.shape), inverse_affine(affine)
    forward = _register_one(pair, affine, start, similarity, schedule)
    if mask is not None:
        back = Transform(size, affine, forward).inverse_field()
        mask = warp(mask[None, None].float(), back, mode="nearest")[0, 0]
    if start is not None:
        start = _on_other_side(invert(start), inverse, size)
    backward = _register_one((moving, fixed, mask), inverse, start, similarity, schedule)
    return (forward + _on_other_side(invert(backward), affine, size)) / 2


def _on_other_side(deformation: Tensor, affine: Tensor, size: Sequence[int]) -> Tensor:
    """Return the deformation u with ``A (x + u(x)) = A x + d(A x)``, for a deformation d of the other image's grid.

    Args:
        deformation: d, (1, n, *S), in voxels of its grid, which has the corner voxels of the image.
        affine: A, (1, n, n + 1), in voxels of the image.
        size: the n sides of the image.
    """
    grid = deformation.shape[2:]
    steps = [step_between(many, few) for few, many in zip(grid, size, strict=True)]
    field, linear = _at_level(affine, grid, steps, deformation)
    moved = deformation if field is None else warp(deformation, field, padding="border")
    return transform_linear(torch.linalg.inv(linear), moved)


def _register_one(
    pair: tuple[Tensor, Tensor, Tensor | None],
    affine: Tensor,
    deformation: Tensor | None,
    similarity: str,
    schedule: Schedule,
) -> Tensor:
    for factor, iterations in zip(schedule.levels, schedule.iterations, strict=True):
        if iterations > 0:
            climber = _Climber(level_of(*pair, factor), affine, similarity, schedule)
            deformation = climber.run(deformation, iterations)
    size = pair[0].shape
    return pair[0].new_zeros(1, len(size), *size) if deformation is None else deformation


class _Climber:
    """The steps on one level. The deformation has half of the level's voxels along each axis."""

    def __init__(self, level: Level, affine: Tensor, similarity: str, schedule: Schedule):
        self._level, self._schedule = level, schedule
        self._moving = Sampler(level.moving[None])
        self._similarity = similarity_of(similarity, level.fixed, level.moving, level.mask)
        size = level.size
        self.grid = tuple(min(side, max(4, -(-side // 2))) for side in size)
        pairs = list(zip(self.grid, size, strict=True))
        self._up = [interpolation(few, many).to(level.fixed) for few, many in pairs]
        self._smooth = [gaussian(few, schedule.sigma).to(level.fixed) for few in self.grid]
        self._smooth_field = [gaussian(few, schedule.field_sigma).to(level.fixed) for few in self.grid]
        # Voxels of the level per voxel of the field's grid.
        self._spacing = level.fixed.new_tensor([step_between(many, few) for few, many in pairs])
        self._affine_field, self._linear = _at_level(affine, level.size, level.steps, level.fixed)

    def run(self, deformation: Tensor | None, iterations: int) -> Tensor:
        """Return the deformation (1, n, *grid) after the steps, in voxels of its grid."""
        axes = len(self.grid)
        field = self._level.fixed.new_zeros(1, axes, *self.grid)
        field = start = field if deformation is None else resize_field_to(deformation, self.grid)
        require_overlap(self._moving(self._total(field)[0]))
        adam = _Adam(self._schedule.step / self._spacing)
        values: list[float] = []
        for _ in range(iterations):
            value, gradient = self._slope(field)
            values.append(value)
            if _has_settled(values, self._schedule.tolerance):
                break
            step = along_axes(adam(along_axes(gradient, self._smooth)), self._smooth)
            field = Sampler(field[0])(step).add_(step)[None]
            if self._schedule.field_sigma:
                field = along_axes(field, self._smooth_field)
        # Steps have a fixed length: where the start is the best, as for equal images, they only move around it.
        return field if max(values[1:], default=float("inf")) > values[0] else start

    def _slope(self, field: Tensor) -> tuple[float, Tensor]:
        """Return the similarity, and its gradient with respect to a step, (n, *grid)."""
        warped = self._moving(self._total(field)[0])[0]
        match = self._similarity(warped)
        force = image_gradients(warped).mul_(match.gradient)
        gradient = along_axes(force, self._up, adjoint=True)
        return float(match.value), gradient * self._spacing.reshape(-1, *[1] * len(self.grid))

    def _total(self, field: Tensor) -> Tensor:
        """Return the field of the affine map and the deformation on the level, in its voxels."""
        full = along_axes(transform_linear(self._linear * self._spacing, field), self._up)
        return full if self._affine_field is None else full.add_(self._affine_field)


def _at_level(
    affine: Tensor, size: Sequence[int], steps: Sequence[float], like: Tensor
) -> tuple[Tensor | None, Tensor]:
    """Return the field of the affine map (None for the identity) and its matrix, in voxels of a level."""
    axes = len(size)
    step = affine.new_tensor(steps)
    linear = affine[:, :, :axes] * step / step[:, None]
    at_level = torch.cat([linear, affine[:, :, axes:] / step[:, None]], 2)
    unchanged = bool((affine == identity_affine(axes).to(affine)).all())
    return None if unchanged else affine_field(at_level, size), linear.to(like)


class _Adam:
    """Steps of Adam, with one second moment for the components of a voxel, so that directions stay as they are."""

    def __init__(self, length: Tensor):
        self._length, self._count = length, 0
        self._mean: Any = 0
        self._square: Any = 0

    def __call__(self, gradient: Tensor) -> Tensor:
        """Return the step (n, *S) for a gradient (n, *S)."""
        self._count += 1
        self._mean = _FIRST * self._mean + (1 - _FIRST) * gradient
        self._square = _SECOND * self._square + (1 - _SECOND) * gradient.square().sum(0)
        size = (self._square / (1 - _SECOND**self._count)).sqrt()
        size = size + (_DAMPING * size.max()).clamp(min=_ROUNDING / size.numel())
        scale = self._length.reshape(-1, *[1] * (gradient.ndim - 1)) / (1 - _FIRST**self._count)
        return self._mean * scale / size


def _has_settled(values: list[float], tolerance: float) -> bool:
    return tolerance > 0 and len(values) > 10 and values[-1] - values[-11] < tolerance * abs(values[-1])
