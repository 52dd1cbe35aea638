"""Images of two or three axes with their place in space, as plain arrays; this module does not import torch.

An affine (4, 4) maps a voxel index (i, j, k, 1) to millimetres in RAS: x grows to the right, y to the front, z to the
top of a patient. It is that of NIfTI. A 2-D image is the plane k = 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from visionzoo.errors import DataError

_ENDS = ("LR", "PA", "IS")  # the low and the high end of x, y and z


@dataclass(frozen=True)
class Volume:
    """An image with its place in space.

    Attributes:
        data: (*S) with two or three axes, as stored.
        affine: (4, 4) float64; None if the file states none.
        labels: (*S) whole numbers, the label map in the same file; None without one.
        header: header of the file, which a written result repeats; None if its format has none.
        ending: ending of the file, such as ``.nii.gz``, in lower case.

    Raises:
        DataError: the affine cannot be inverted.

    Example:
        >>> volume = Volume(np.zeros((4, 5, 6)), np.diag([-2.0, 2.0, 3.0, 1.0]))
        >>> volume.axes, volume.spacing, orientation_of(volume.affine)
        (3, (2.0, 2.0, 3.0), 'LAS')
    """

    data: np.ndarray
    affine: np.ndarray | None = None
    labels: np.ndarray | None = None
    header: Any = None
    ending: str = ".nii.gz"

    def __post_init__(self) -> None:
        if self.affine is not None and not is_invertible(self.affine):
            raise DataError(
                "affine",
                expected="a matrix that can be inverted",
                found=f"{np.asarray(self.affine)[:3, :3].round(4).tolist()}",
                advice="correct the header of the file",
            )

    @property
    def axes(self) -> int:
        """Number of axes, 2 or 3."""
        return self.data.ndim

    @property
    def shape(self) -> tuple[int, ...]:
        """Sides in voxels."""
        return tuple(int(side) for side in self.data.shape)

    @property
    def spacing(self) -> tuple[float, ...]:
        """Length of a voxel along each axis in millimetres; 1 without an affine."""
        if self.affine is None:
            return (1.0,) * self.axes
        return tuple(float(length) for length in np.linalg.norm(self.affine[:3, : self.axes], axis=0))

    def with_data(self, data: np.ndarray) -> Volume:
        """Return a volume of the same place with other values, without labels."""
        return replace(self, data=data, labels=None)


def is_invertible(affine: np.ndarray) -> bool:
    """Return whether an affine (n + 1, n + 1) or a map (n, n + 1) is finite and has an inverse, in any unit of length.

    Example:
        >>> is_invertible(np.diag([1e-6, 1e-6, 1e-6, 1])), is_invertible(np.ones((2, 3)))
        (True, False)
    """
    values = np.asarray(affine, np.float64)
    axes = values.shape[1] - 1
    block = values[:axes, :axes]
    lengths = np.linalg.norm(block, axis=0)
    return bool(np.isfinite(values).all() and lengths.min() > 0 and abs(np.linalg.det(block / lengths)) > 1e-6)


def has_shear(affine: np.ndarray | None, axes: int) -> bool:
    """Return whether two of the first ``axes`` axes are not at a right angle, as ITK requires, within 0.006 degrees.

    Example:
        >>> has_shear(np.diag([2.0, 3.0, 1.0, 1.0]), 3), has_shear(np.eye(4) + np.eye(4, k=1), 3)
        (False, True)
    """
    block = plane_affine(affine, axes)[:axes, :axes]
    directions = block / np.linalg.norm(block, axis=0)
    return bool(np.abs(directions.T @ directions - np.eye(axes)).max() > 1e-4)


def plane_affine(affine: np.ndarray | None, axes: int) -> np.ndarray:
    """Return the affine of the first ``axes`` axes, (axes + 1, axes + 1); the identity for None.

    The place of a 2-D image along z does not count.

    Example:
        >>> plane_affine(np.diag([2.0, 3.0, 4.0, 1.0]), 2).tolist()
        [[2.0, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 1.0]]
    """
    if affine is None:
        return np.eye(axes + 1)
    kept = [*range(axes), 3]
    return np.asarray(affine, np.float64)[np.ix_(kept, kept)]


def orientation_of(affine: np.ndarray) -> str:
    """Return the direction in which each axis grows, one letter of ``LRPAIS`` each.

    Example:
        >>> orientation_of(np.diag([-1.0, -1.0, 1.0, 1.0]))
        'LPS'
    """
    block = np.asarray(affine)[:3, :3]
    nearest = np.abs(block).argmax(axis=0)
    return "".join(_ENDS[row][int(block[row, column] > 0)] for column, row in enumerate(nearest))
