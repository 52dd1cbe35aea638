"""Affine and rigid registration of two images by Gauss-Newton steps on a pyramid of resolutions.

Each level maximises a similarity of :mod:`ops.registration.similarities`. A step multiplies the map by the exponential
of a small generator, so that a rigid map stays rigid and every map can be inverted. Coarse levels use the correlation
of the whole image, which is the squared difference after the best line between the two intensities; the last level
uses local correlation, which ignores slow changes of intensity.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from visionzoo.errors import ConfigError, DataError, require_known
from visionzoo.ops.registration.pyramid import Level, checked_pair, image_gradients, level_of, require_overlap
from visionzoo.ops.registration.sampling import Sampler
from visionzoo.ops.registration.similarities import SIMILARITIES, Match, similarity_of
from visionzoo.ops.registration.transform import affine_field, identity_affine

KINDS = ("affine", "rigid")

# A step is small enough to end a level if no corner of the image moves by more voxels of that level.
_SMALLEST_MOVE = 0.01
_VOXELS_PER_PARAMETER = 20
_FIRST_DAMPING, _LARGEST_DAMPING = 1e-3, 1e4
# Turns in degrees to start from, and the number of the best ones from which steps are taken. A turn is used if its
# similarity is that much higher, so that symmetric objects are not turned.
_TURNS, _CLIMBED_TURNS, _CLEARLY = (-70, -35, 35, 70), 3, 1.05
_SMALLEST_PLANE = 8
# Least spread of the warped image at a start, as a share of that of the moving image.
_SMALLEST_SPREAD = 0.5


def register_affine(
    fixed: Tensor,
    moving: Tensor,
    *,
    mask: Tensor | None = None,
    kind: str = "affine",
    similarity: str = "correlation",
    spacing: Sequence[float] | None = None,
    start: Tensor | None = None,
    levels: Sequence[float] = (8, 4, 2),
    iterations: Sequence[int] = (40, 30, 12),
) -> Tensor:
    """Find the affine or rigid map from the fixed image to the moving one.

    It starts from the shift between the centres of mass, or from the identity where that fits better. On the coarsest
    level it also starts from turns of 35 and 70 degrees in each plane, and takes one that fits clearly better.

    Args:
        fixed, moving: (B, 1, *S), 2-D or 3-D, of one grid. Each pair is registered separately.
        mask: (B, 1, *S) on the fixed grid; voxels of value 0 have no influence.
        kind: ``affine`` (12 parameters, 6 in 2-D) or ``rigid`` (6, 3 in 2-D).
        similarity: ``correlation``, or ``mutual_information`` for images of different contrasts.
        spacing: size of a voxel along each axis, for ``rigid`` (default: equal).
        start: (B, n, n + 1) in voxels, instead of the centres of mass.
        levels: factors by which the images are reduced, coarse first. Coarse levels with fewer than 20 voxels per
            parameter, in the mask if there is one, are left out.
        iterations: maximum number of steps on each level.

    Returns:
        (B, n, n + 1) in float64: a voxel x of the fixed image has its partner at ``A (x, 1)`` in the moving image.

    Raises:
        DataError: see :func:`checked_pair`; the images do not overlap; or the mask has too few voxels.
        ConfigError: levels and iterations differ in number, or are empty.
        UnknownName: an unknown kind or similarity.

    Example:
        >>> rows, columns = torch.meshgrid(torch.arange(24.0), torch.arange(30.0), indexing="ij")
        >>> fixed = torch.exp(-((rows - 11) / 4) ** 2 - ((columns - 14) / 7) ** 2)[None, None]
        >>> affine = register_affine(fixed, fixed.roll((2, -3), dims=(2, 3)), kind="rigid")
        >>> affine[0, :, 2].round().tolist()
        [2.0, -3.0]
    """
    require_known(kind, KINDS, "kind of affine map")
    require_known(similarity, SIMILARITIES, "similarity")
    _require_levels(levels, iterations)
    fixed, moving, mask = checked_pair(fixed, moving, mask)
    spacing = spacing or [1.0] * (fixed.ndim - 2)
    basis, turns = generators(kind, spacing).to(fixed.device), _turns(spacing, fixed.shape[2:]).to(fixed.device)
    found = []
    with torch.no_grad():
        for index in range(len(fixed)):
            pair = fixed[index, 0], moving[index, 0], None if mask is None else mask[index, 0]
            first = None if start is None else start[index].double()
            found.append(_register_one(pair, basis, turns, similarity, first, levels, iterations))
    return torch.stack(found)


def generators(kind: str, spacing: Sequence[float]) -> Tensor:
    """Return the directions in which a map may change, (P, n, n + 1) in voxels: shifts first.

    Args:
        kind: ``affine`` or ``rigid``.
        spacing: size of a voxel along each of the n axes.

    Example:
        >>> len(generators("affine", [1, 1, 1])), len(generators("rigid", [1, 1, 1])), len(generators("rigid", [1, 1]))
        (12, 6, 3)
    """
    axes = len(spacing)
    directions = [_unit(axes, axis, axes) for axis in range(axes)]
    if kind == "affine":
        directions += [_unit(axes, row, column) for row in range(axes) for column in range(axes)]
    else:
        for a, b in combinations(range(axes), 2):
            ratio = spacing[b] / spacing[a]
            directions.append(_unit(axes, a, b) * ratio - _unit(axes, b, a) / ratio)
    return torch.stack(directions)


def _unit(axes: int, row: int, column: int) -> Tensor:
    matrix = torch.zeros(axes, axes + 1, dtype=torch.float64)
    matrix[row, column] = 1
    return matrix


def _register_one(
    pair: tuple[Tensor, Tensor, Tensor | None],
    basis: Tensor,
    turns: Tensor,
    similarity: str,
    start: Tensor | None,
    levels: Sequence[float],
    iterations: Sequence[int],
) -> Tensor:
    identity = identity_affine(pair[0].ndim)[0].to(pair[0].device)
    affine = identity if start is None else start
    first, last = _first_level(pair, levels, len(basis)), len(levels) - 1
    for number in range(first, len(levels)):
        level, steps, whole = level_of(*pair, levels[number]), iterations[number], number < last
        match = similarity_of(similarity, level.fixed, level.moving, level.mask, window=None if whole else 9)
        problem = _Problem(level, match, basis)
        if start is None and number == first:
            affine = _best_start(pair, problem, turns, steps)
        elif start is None:  # coarse levels of small or repetitive images mislead
            affine = max(affine, identity, key=problem.value)
        require_overlap(problem.warped(affine))
        affine = _climb(problem, affine, steps)
    return affine


def _first_level(pair: tuple[Tensor, Tensor, Tensor | None], levels: Sequence[float], parameters: int) -> int:
    """Return the number of the first level with enough voxels; with too few, a map fits their noise."""
    fixed, _, mask = pair
    least = _VOXELS_PER_PARAMETER * parameters
    voxels = fixed.numel() if mask is None else int((mask > 0).sum())
    if mask is not None and voxels < least * levels[-1] ** fixed.ndim:
        raise DataError(
            "mask of the fixed image",
            expected=f"at least {least * levels[-1] ** fixed.ndim:,.0f} voxels for a map of {parameters} parameters",
            found=f"{voxels:,}",
            advice="enlarge the mask, or leave it out",
        )
    enough = (voxels / factor**fixed.ndim >= least for factor in levels)
    return next((number for number, is_enough in enumerate(enough) if is_enough), len(levels) - 1)


def _require_levels(levels: Sequence[float], iterations: Sequence[int]) -> None:
    if not levels or len(levels) != len(iterations):
        raise ConfigError(
            "register_affine",
            expected="one number of iterations for each level, and at least one level",
            found=f"{len(levels)} levels and {len(iterations)} numbers of iterations",
            advice="give levels=(8, 4, 2) and iterations=(20, 20, 10), for example",
        )


def _climb(problem: _Problem, affine: Tensor, steps: int) -> Tensor:
    """Take Gauss-Newton steps with Levenberg's damping: more where a step does not raise the similarity."""
    damping = _FIRST_DAMPING
    warped = problem.warped(affine)
    match = problem.match(warped)
    gradient, curvature = problem.terms(warped, match)
    for _ in range(steps):
        step = torch.linalg.solve(curvature + damping * _diagonal(curvature), gradient)
        candidate, move = problem.moved(affine, step)
        warped = problem.warped(candidate)
        other = problem.match(warped)
        if bool(other.value > match.value):
            affine, match, damping = candidate, other, damping / 5
            gradient, curvature = problem.terms(warped, match)
        else:
            damping *= 5
        if move < _SMALLEST_MOVE or damping > _LARGEST_DAMPING:
            break
    return affine


def _diagonal(matrix: Tensor) -> Tensor:
    # A direction without any effect keeps a positive entry, so that the system can be solved.
    diagonal = matrix.diagonal()
    return torch.diag(diagonal + 1e-9 * diagonal.max() + 1e-30)


def _best_start(pair: tuple[Tensor, Tensor, Tensor | None], problem: _Problem, turns: Tensor, steps: int) -> Tensor:
    """Return the best map of the level that is reached from the identity, the centres of mass or a few turns."""
    fixed, moving, mask = pair
    centres = [centre_of_mass(image, weights) for image, weights in ((fixed, mask), (moving, None))]
    shifts = centres[1] - turns @ centres[0]
    identity = identity_affine(fixed.ndim)[0].to(fixed.device)
    shifted, *turned = torch.cat([turns, shifts[:, :, None]], 2)
    first = max(shifted, identity, key=problem.value)
    best = max(_climb(problem, first, steps), first, key=problem.value)
    highest = problem.value(best)
    for start in sorted(turned, key=problem.value, reverse=True)[:_CLIMBED_TURNS]:
        found = _climb(problem, start, steps)
        value = problem.value(found)
        if value > max(_CLEARLY * highest, highest):
            best, highest = found, value
    return best


def _turns(spacing: Sequence[float], size: Sequence[int]) -> Tensor:
    """Return matrices of rotations (T, n, n) in voxels: none first, then some in each plane that is not thin."""
    axes = len(spacing)
    planes = generators("rigid", spacing)[axes:, :, :axes]
    wide = [min(size[a], size[b]) >= _SMALLEST_PLANE for a, b in combinations(range(axes), 2)]
    angles = torch.deg2rad(torch.tensor(_TURNS, dtype=torch.float64))
    turned = [torch.linalg.matrix_exp(angle * plane) for plane, use in zip(planes, wide) if use for angle in angles]
    return torch.stack([torch.eye(axes, dtype=torch.float64), *turned])


def centre_of_mass(image: Tensor, mask: Tensor | None) -> Tensor:
    """Return the centre of the intensities above the smallest one, (n,) in voxels in float64.

    Args:
        image: (*S).
        mask: (*S), weights of the voxels, or None.

    Example:
        >>> centre_of_mass(torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.0, 1.0]]), None)
        tensor([1.0000, 1.5000], dtype=torch.float64)
    """
    mass = (image - image.min()).double()
    mass = mass if mask is None else mass * mask
    sums = [mass.sum([other for other in range(mass.ndim) if other != axis]) for axis in range(mass.ndim)]
    return torch.stack([(line * torch.arange(len(line)).to(line)).sum() / line.sum() for line in sums])


class _Problem:
    """The similarity of one level as a function of the affine map, with its Gauss-Newton terms."""

    def __init__(self, level: Level, match: Any, basis: Tensor):
        self.match, self._basis, self._level = match, basis, level
        self._moving = Sampler(level.moving[None])
        size, steps = level.size, level.steps
        self.corner = torch.tensor([(side - 1) * step / 2 for side, step in zip(size, steps, strict=True)])
        self.corner = self.corner.to(basis)
        self._steps = torch.tensor(steps, dtype=torch.float64, device=basis.device)
        lines = [torch.linspace(-1, 1, side).to(level.fixed) * float(half) for side, half in zip(size, self.corner)]
        self._points = [
            line.reshape([-1 if at == axis else 1 for at in range(len(size))]) for axis, line in enumerate(lines)
        ]

    def value(self, affine: Tensor) -> float:
        """Return the similarity under a map in voxels of the full resolution, -inf if the images hardly overlap."""
        warped = self.warped(affine)
        # A constant image is a part of the background, and correlates with everything.
        apart = warped.std() < _SMALLEST_SPREAD * self._level.moving.std()
        return float("-inf") if bool(apart) else float(self.match(warped).value)

    def warped(self, affine: Tensor) -> Tensor:
        """Return the moving image of the level under a map in voxels of the full resolution."""
        axes = len(self._level.size)
        linear = affine[:, :axes] * self._steps / self._steps[:, None]
        at_level = torch.cat([linear, affine[:, axes:] / self._steps[:, None]], 1)
        field = affine_field(at_level[None], self._level.size)
        return self._moving(field[0])[0]

    def terms(self, warped: Tensor, match: Match) -> tuple[Tensor, Tensor]:
        """Return the gradient (P,) and the curvature (P, P) with respect to the generators around the centre."""
        slopes = image_gradients(warped) / self._steps.to(warped).reshape(-1, *[1] * warped.ndim)
        products = [slopes, *(slopes * point for point in self._points)]
        directions = torch.stack(products, 1).reshape(-1, warped.numel())
        gradient = directions @ match.gradient.reshape(-1)
        curvature = (directions * match.curvature.reshape(-1)) @ directions.mT
        basis = torch.cat([self._basis[:, :, -1:], self._basis[:, :, :-1]], 2).reshape(len(self._basis), -1)
        return basis @ gradient.double(), basis @ curvature.double() @ basis.mT

    def moved(self, affine: Tensor, step: Tensor) -> tuple[Tensor, float]:
        """Return the map after a step (P,), and the largest move of a corner in voxels of the level."""
        axes = len(self.corner)
        generator = torch.einsum("p,pij->ij", step, self._basis)
        # The generator acts around the centre of the image.
        shift = generator[:, axes] - generator[:, :axes] @ self.corner
        square = generator.new_zeros(axes + 1, axes + 1)
        square[:axes] = torch.cat([generator[:, :axes], shift[:, None]], 1)
        move = generator[:, axes].abs() + generator[:, :axes].abs() @ self.corner
        return affine @ torch.linalg.matrix_exp(square), float((move / self._steps).max())
