"""The field of the inverse deformation."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from visionzoo.ops.warp.checks import check_field, type_of_positions
from visionzoo.ops.warp.fields import resize_field_to
from visionzoo.ops.warp.sampling import sample

# Share of the voxels that may have an error above the tolerance. The iteration also ends if neither their number nor
# the mean square of all errors falls to a part of itself in a number of steps.
_LARGE_ERRORS, _PROGRESS, _PATIENCE = 0.005, 0.75, 5
# A field is inverted on a coarser grid first if each of its sides has this number of voxels.
_COARSE_SIDE = 32


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
    check_field(field)
    with torch.no_grad():
        values = field.to(type_of_positions(field))
        return _inverse(values, tolerance, iterations).to(field.dtype)


def _inverse(field: Tensor, tolerance: float, iterations: int) -> Tensor:
    sides = tuple(field.shape[2:])
    if min(sides) < _COARSE_SIDE:
        start, iterations = -field, 2 * iterations
    else:
        coarse = resize_field_to(field, [(side + 1) // 2 for side in sides])
        start = resize_field_to(_inverse(coarse, tolerance / 2, iterations), sides)
    return damped_fixed_point(
        lambda inverse: inverse + sample(field, inverse, "linear", "border"),
        start,
        share=0.7,
        tolerance=tolerance,
        iterations=iterations,
    )


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
