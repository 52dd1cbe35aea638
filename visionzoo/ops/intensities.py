"""Intensities of medical images, which have no fixed range."""

from __future__ import annotations

import numpy as np


def scale_intensities(image: np.ndarray, share: float = 1e-4) -> np.ndarray:
    """Clip an image at its order statistics, and scale it to 0 to 1, as MICDIR does.

    The bounds are ``sorted[k]`` and ``sorted[-k]``, with k the share of the voxels, at least 1: all images lose their
    smallest value.

    Args:
        image: finite numbers, any shape.
        share: share of the voxels to clip at each end, 0 to 0.5.

    Returns:
        float32, of the shape of the image; 0 where the bounds are equal.

    Example:
        >>> scale_intensities(np.array([0.0, 1.0, 2.0, 3.0])).tolist()
        [0.0, 0.0, 0.5, 1.0]
    """
    values = np.asarray(image)
    rank = min(max(1, int(share * values.size)), values.size - 1)
    ordered = np.partition(values, (rank, values.size - max(1, rank)), axis=None)
    low, high = (float(ordered[at]) for at in (rank, values.size - max(1, rank)))
    if high <= low:
        return np.zeros(values.shape, np.float32)
    return ((values.clip(low, high) - low) / (high - low)).astype(np.float32)
