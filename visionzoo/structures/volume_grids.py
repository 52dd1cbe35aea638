"""Grids of volumes: from the voxels of one image to those of another, resampling, and changes of the grid.

A map (n, n + 1) takes a voxel index x of one grid to the index ``M[:, :n] x + M[:, n]`` of another. Indices are those
of voxel centres. Values outside an image are 0, and are mixed linearly with those of its border.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import ndimage

from visionzoo.errors import DataError
from visionzoo.structures.volumes import Volume, orientation_of, plane_affine

# Distance in voxels below which two grids are the same.
_SAME = 1e-3


def identity_map(axes: int) -> np.ndarray:
    """Return the map of a grid to itself, (axes, axes + 1)."""
    return np.eye(axes, axes + 1)


def map_between(fixed: Volume, moving: Volume, note: Callable[[str], object]) -> np.ndarray:
    """Return the map from the voxels of the fixed image to those of the moving image, by their affines.

    If the images have no voxel in common, the map takes the centre of one to the centre of the other. Without one of
    the affines, images of one shape are compared voxel by voxel.

    Args:
        fixed, moving: the images.
        note: takes a sentence about each difference of the two grids.

    Returns:
        (n, n + 1) float64.

    Raises:
        DataError: the images have different numbers of axes, or different shapes and not both have an affine.

    Example:
        >>> fixed = Volume(np.zeros((4, 4, 4)), np.diag([2.0, 2.0, 2.0, 1.0]))
        >>> moving = Volume(np.zeros((8, 8, 8)), np.eye(4))
        >>> notes = []
        >>> map_between(fixed, moving, notes.append)[0].tolist(), notes
        ([2.0, 0.0, 0.0, 0.0], ['the moving image (8x8x8, 1x1x1 mm, RAS) is resampled to the grid of the fixed one \
(4x4x4, 2x2x2 mm, RAS)'])
    """
    if fixed.axes != moving.axes:
        raise DataError(
            "pair",
            expected=f"a moving image of {fixed.axes} axes like the fixed one",
            found=f"{moving.axes} axes, {_sides(moving.shape)}",
            advice="give two slices or two volumes",
        )
    if fixed.affine is None or moving.affine is None:
        return _map_without_affine(fixed, moving, note)
    axes = fixed.axes
    matrix = np.linalg.solve(plane_affine(moving.affine, axes), plane_affine(fixed.affine, axes))[:axes]
    if not _overlaps(matrix, fixed.shape, moving.shape):
        note("the two images have no common place by their affines, so their centres are matched")
        matrix = centred_map(matrix, fixed.shape, moving.shape)
    if fixed.shape == moving.shape and is_identity_map(matrix, fixed.shape):
        return identity_map(axes)
    note(f"the moving image ({grid_text(moving)}) is resampled to the grid of the fixed one ({grid_text(fixed)})")
    return matrix


def _map_without_affine(fixed: Volume, moving: Volume, note: Callable[[str], object]) -> np.ndarray:
    if fixed.shape != moving.shape:
        raise DataError(
            "pair",
            expected="images of one shape, or an affine in both files",
            found=f"{_sides(fixed.shape)} and {_sides(moving.shape)} without both affines",
            advice="resample one of them, or save both as NIfTI with their affines",
        )
    if (fixed.affine is None) != (moving.affine is None):
        which = "fixed" if fixed.affine is None else "moving"
        note(f"the {which} image has no affine, so the images are compared voxel by voxel")
    return identity_map(fixed.axes)


def _overlaps(matrix: np.ndarray, shape: Sequence[int], other: Sequence[int]) -> bool:
    """Return True if a voxel of a coarse grid in the first image is inside the other one."""
    lines = [np.linspace(0, side - 1, 9) for side in shape]
    points = np.stack(np.meshgrid(*lines, indexing="ij")).reshape(len(shape), -1)
    return bool(are_inside(moved_points(matrix, points), other).any())


def are_inside(positions: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Return whether each position is in a voxel of a grid.

    Args:
        positions: (n, ...), indices of voxels.
        shape: sides of the grid.

    Returns:
        (...) bool.

    Example:
        >>> are_inside(np.array([[-0.5, 1.0, 3.6]]), (4,)).tolist()
        [True, True, False]
    """
    sides = np.array(shape, float).reshape(-1, *[1] * (positions.ndim - 1))
    return np.all((positions >= -0.5) & (positions <= sides - 0.5), axis=0)


def centred_map(matrix: np.ndarray, shape: Sequence[int], other: Sequence[int]) -> np.ndarray:
    """Return the map with another shift, which takes the centre of one grid to the centre of the other.

    Example:
        >>> centred_map(np.array([[2.0, 0.0, 90.0], [0.0, 1.0, 0.0]]), (5, 5), (9, 7)).tolist()
        [[2.0, 0.0, 0.0], [0.0, 1.0, 1.0]]
    """
    axes = len(shape)
    centre, there = (np.array(sides, float) / 2 - 0.5 for sides in (shape, other))
    return np.column_stack([matrix[:, :axes], there - matrix[:, :axes] @ centre])


def is_identity_map(matrix: np.ndarray, shape: Sequence[int]) -> bool:
    """Return True if no voxel of the grid moves by 0.001 voxel or more."""
    change = np.abs(matrix - np.eye(*matrix.shape))
    return bool((change[:, :-1] @ np.array(shape, float) + change[:, -1]).max() < _SAME)


def moved_points(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the points (n, ...) after a map (n, n + 1)."""
    axes = len(points)
    shift = matrix[:, axes].reshape(axes, *[1] * (points.ndim - 1))
    return np.tensordot(matrix[:, :axes], points, axes=1) + shift


def voxel_positions(field: np.ndarray) -> np.ndarray:
    """Return ``x + u(x)`` for a displacement field u (n, *S), in float64."""
    positions = np.array(field, np.float64)
    for axis, side in enumerate(field.shape[1:]):
        positions[axis] += np.arange(side).reshape([-1 if at == axis else 1 for at in range(len(field))])
    return positions


def sample(values: np.ndarray, positions: np.ndarray, *, nearest: bool = False) -> np.ndarray:
    """Sample an image at positions.

    Args:
        values: (*S).
        positions: (n, ...), indices of voxels.
        nearest: True to take the value of the nearest voxel, as for labels.

    Returns:
        The values at the positions: of the type of the image with ``nearest``, else float32.
    """
    options = {"order": 0 if nearest else 1, "mode": "grid-constant", "cval": 0}
    source = values if nearest else np.asarray(values, np.float32)
    return ndimage.map_coordinates(source, positions, **options)


def resample(values: np.ndarray, matrix: np.ndarray, shape: Sequence[int], *, nearest: bool = False) -> np.ndarray:
    """Resample an image to another grid.

    Args:
        values: (*S).
        matrix: map (n, n + 1) from the voxels of the new grid to those of the image.
        shape: sides of the new grid.
        nearest: True to take the value of the nearest voxel, as for labels.

    Returns:
        (*shape): of the type of the image with ``nearest`` or an unchanged grid, else float32.

    Example:
        >>> resample(np.arange(4.0), np.array([[2.0, 0.5]]), (2,)).tolist()
        [0.5, 2.5]
    """
    axes = values.ndim
    if tuple(shape) == values.shape and is_identity_map(matrix, shape):
        return values
    options = {"order": 0 if nearest else 1, "mode": "grid-constant", "cval": 0, "output_shape": tuple(shape)}
    source = values if nearest else np.asarray(values, np.float32)
    return ndimage.affine_transform(source, matrix[:, :axes], matrix[:, axes], **options)


def chained(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Return the map that applies ``inner`` first, then ``outer``.

    Example:
        >>> chained(np.array([[2.0, 1.0]]), np.array([[1.0, 3.0]])).tolist()
        [[2.0, 7.0]]
    """
    return outer @ _square(inner)


def inverted(matrix: np.ndarray) -> np.ndarray:
    """Return the inverse of a map (n, n + 1)."""
    return np.linalg.inv(_square(matrix))[:-1]


def _square(matrix: np.ndarray) -> np.ndarray:
    return np.vstack([matrix, [0.0] * (matrix.shape[1] - 1) + [1.0]])


def crop_map(shape: Sequence[int], size: Sequence[int]) -> np.ndarray:
    """Return the map from a grid of ``size`` to the grid of ``shape`` around the same centre, in whole voxels.

    Example:
        >>> crop_map((7, 5), (4, 8))[:, 2].tolist()
        [1.0, -2.0]
    """
    shifts = [(side - new) // 2 for side, new in zip(shape, size, strict=True)]
    return np.column_stack([np.eye(len(shifts)), np.array(shifts, float)])


def resize_map(shape: Sequence[int], size: Sequence[int]) -> np.ndarray:
    """Return the map from a grid of ``size`` to the grid of ``shape``, with the same outer edges of the voxels.

    Example:
        >>> resize_map((8, 6), (4, 6)).tolist()
        [[2.0, 0.0, 0.5], [0.0, 1.0, 0.0]]
    """
    factors = np.array(shape, float) / np.array(size, float)
    return np.column_stack([np.diag(factors), factors / 2 - 0.5])


def field_on_grid(field: np.ndarray, matrix: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Bring a displacement field from a working grid to the grid of the fixed image.

    Outside the working grid the field continues as at its border.

    Args:
        field: (n, *s), in voxels of the working grid.
        matrix: map (n, n + 1) from the working grid to that of the fixed image.
        shape: sides of the grid of the fixed image.

    Returns:
        (n, *shape) float32, in voxels of the fixed image.

    Example:
        >>> field_on_grid(np.ones((1, 4)), np.array([[2.0, 0.5]]), (8,)).tolist()
        [[2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0]]
    """
    axes = len(field)
    if tuple(shape) == field.shape[1:] and is_identity_map(matrix, shape):
        return np.asarray(field, np.float32)
    back = inverted(matrix)
    options = {"order": 1, "mode": "nearest", "output_shape": tuple(shape)}
    parts = [ndimage.affine_transform(part, back[:, :axes], back[:, axes], **options) for part in field]
    return np.tensordot(matrix[:, :axes], np.stack(parts), axes=1).astype(np.float32)


def grid_text(volume: Volume) -> str:
    """Return the shape, spacing and orientation of a volume as text.

    Example:
        >>> grid_text(Volume(np.zeros((4, 5)), np.diag([1.0, 0.5, 1.0, 1.0])))
        '4x5, 1x0.5 mm, RA'
    """
    if volume.affine is None:
        return f"{_sides(volume.shape)}, no affine"
    spacing = "x".join(f"{length:.3g}" for length in volume.spacing)
    return f"{_sides(volume.shape)}, {spacing} mm, {orientation_of(volume.affine)[: volume.axes]}"


def _sides(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
