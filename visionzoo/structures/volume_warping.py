"""Values of a volume at given places: of an image by linear mixing, of a label map without new labels."""

from __future__ import annotations

import numpy as np

from visionzoo.errors import DataError
from visionzoo.structures.volume_grids import are_inside, sample

_FEW_LABELS = 64


def is_label_map(values: np.ndarray) -> bool:
    """Return True if values are probably labels: whole numbers, at most 64 different ones or in regions of equal ones.

    Example:
        >>> is_label_map(np.eye(4, dtype=np.uint8)), is_label_map(np.arange(100)), is_label_map(np.array([0.5, 1]))
        (True, False, False)
    """
    if values.dtype.kind == "f" and not np.array_equal(values, np.round(values)):
        return False
    if len(np.unique(values)) <= _FEW_LABELS:
        return True
    first, second = values[:-1], values[1:]
    content = (first != 0) | (second != 0)
    return bool((first == second)[content].mean() > 0.5)


def interpolation_for(values: np.ndarray, interpolation: str) -> str:
    """Return the interpolation itself, or for ``auto`` the one that fits the values.

    Example:
        >>> interpolation_for(np.eye(4), "auto"), interpolation_for(np.eye(4), "linear")
        ('nearest', 'linear')
    """
    if interpolation != "auto":
        return interpolation
    return "nearest" if is_label_map(values) else "linear"


def values_at(values: np.ndarray, positions: np.ndarray, interpolation: str) -> np.ndarray:
    """Return the values at positions; 0 outside the volume.

    Args:
        values: (*S).
        positions: (n, ...), indices of voxels.
        interpolation: ``linear``; ``nearest``; or ``onehot``: each label is sampled linearly as a map of 0 and 1, and
            the largest value decides, for labels with smooth borders.

    Returns:
        The values: float32 for ``linear``, else of the type of the volume.

    Example:
        >>> labels, places = np.array([1, 1, 5, 5]), np.array([[1.4, 1.6, 9.0]])
        >>> [values_at(labels, places, name).tolist() for name in ("linear", "nearest", "onehot")]
        [[2.5999999046325684, 3.4000000953674316, 0.0], [1, 5, 0], [1, 5, 0]]
    """
    if interpolation == "onehot":
        return _largest_share(values, positions)
    return sample(values, positions, nearest=interpolation == "nearest")


def _largest_share(values: np.ndarray, positions: np.ndarray) -> np.ndarray:
    result = np.zeros(positions.shape[1:], values.dtype)
    best = np.zeros(positions.shape[1:], np.float32)
    outside = 1 - sample(np.ones(values.shape, np.float32), positions)
    for label in np.unique(np.append(values, 0)):
        share = sample((values == label).astype(np.float32), positions) + (outside if label == 0 else 0)
        larger = share > best
        result[larger], best = label, np.maximum(best, share)
    return result


def require_inside(positions: np.ndarray, shape: tuple[int, ...]) -> None:
    """Raise an error if no position is inside a volume.

    Args:
        positions: (n, ...), indices of voxels.
        shape: sides of the volume.

    Raises:
        DataError: all positions are outside.
    """
    if not are_inside(positions, shape).any():
        raise DataError(
            "space",
            expected="a file in the space that the transform leads to",
            found="no voxel at the places that the transform gives",
            advice="check that file and transform belong together, and the direction (--inverse)",
        )
