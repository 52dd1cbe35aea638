"""Maps of points of space in millimetres RAS: affine ones, and those of displacement fields.

A registration maps a point of the fixed image's space to the point of the moving image's space with the same content.
An image is brought to a grid by the values at the mapped voxels of this grid, sampled once after the last map.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from visionzoo.errors import DataError
from visionzoo.structures.volume_grids import grid_text, inverted, moved_points, voxel_positions
from visionzoo.structures.volumes import Volume, plane_affine


@dataclass(frozen=True)
class AffineMap:
    """An affine map of points.

    Attributes:
        matrix: (n, n + 1), millimetres RAS.

    Example:
        >>> AffineMap(np.array([[2.0, 1.0]]))(np.array([[3.0, 4.0]])).tolist()
        [[7.0, 9.0]]
    """

    matrix: np.ndarray

    @property
    def axes(self) -> int:
        """Number of axes n."""
        return len(self.matrix)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Return the mapped points (n, ...)."""
        return moved_points(self.matrix, points)

    def inverse(self) -> AffineMap:
        """Return the inverse map."""
        return AffineMap(inverted(self.matrix))


@dataclass(frozen=True)
class FieldMap:
    """The map of a displacement field. Outside its grid the displacements continue as at the border.

    Attributes:
        field: (n, *S), in voxels of the grid.
        grid: a volume with the grid, whose data are not used.

    Example:
        >>> grid = Volume(np.zeros((3, 4)), np.diag([2.0, 2.0, 1.0, 1.0]))
        >>> FieldMap(np.ones((2, 3, 4)), grid)(np.zeros((2, 1))).ravel().tolist()
        [2.0, 2.0]
    """

    field: np.ndarray
    grid: Volume

    @property
    def axes(self) -> int:
        """Number of axes n."""
        return len(self.field)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Return the mapped points (n, ...)."""
        to_world = plane_affine(self.grid.affine, self.axes)[: self.axes]
        places = moved_points(inverted(to_world), points)
        options = {"order": 1, "mode": "nearest"}
        moved = [ndimage.map_coordinates(part, places, output=np.float64, **options) for part in self.field]
        return moved_points(to_world, places + np.stack(moved))


PointMap = AffineMap | FieldMap


def positions_in(
    volume: Volume, maps: Sequence[PointMap], reference: Volume, note: Callable[[str], object]
) -> np.ndarray:
    """Return where the voxels of a reference grid are in a volume after maps, in the order of the maps.

    Grids are compared by their affines. If one of two grids has none, they must have one shape and are compared voxel
    by voxel.

    Args:
        volume: the volume to be sampled.
        maps: from the space of the reference to that of the volume.
        reference: the grid.
        note: takes a sentence about grids without an affine.

    Returns:
        (n, *S) float64, voxels of ``volume``.

    Raises:
        DataError: the numbers of axes differ, or a grid has no affine and another shape.

    Example:
        >>> volume = Volume(np.zeros((4, 4)), np.eye(4))
        >>> positions_in(volume, [AffineMap(np.array([[1.0, 0, 5], [0, 1, 0]]))], volume, print)[:, 0, 0].tolist()
        [5.0, 0.0]
    """
    known = reference
    points = moved_points(_to_world(known), voxel_positions(np.zeros((reference.axes, *reference.shape))))
    for each in maps:
        if each.axes != reference.axes:
            raise _other_axes("transform", each.axes, reference.axes)
        if isinstance(each, FieldMap):
            known = _placed(each.grid, known, "field", note)
            each = replace(each, grid=known)
        points = each(points)
    if volume.axes != reference.axes:
        raise _other_axes("file", volume.axes, reference.axes)
    return moved_points(inverted(_to_world(_placed(volume, known, "file", note))), points)


def _to_world(volume: Volume) -> np.ndarray:
    return plane_affine(volume.affine, volume.axes)[: volume.axes]


def _placed(volume: Volume, known: Volume, what: str, note: Callable[[str], object]) -> Volume:
    """Return a volume with the affine of the grid before it, if one of both has none."""
    if volume.affine is not None and known.affine is not None:
        return volume
    if volume.shape != known.shape:
        raise DataError(
            what,
            expected=f"the shape of {grid_text(known)}, or an affine in both files",
            found=grid_text(volume),
            advice="save the files as NIfTI with their affines",
        )
    if volume.affine is not known.affine:
        note(f"one of the files has no affine, so the {what} is placed voxel by voxel")
    return replace(volume, affine=known.affine)


def _other_axes(what: str, found: int, expected: int) -> DataError:
    return DataError(what, expected=f"{expected} axes", found=f"{found}", advice="give slices or volumes, not both")
