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


def match_histogram(image: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Replace the intensities of an image by those of the same ranks in a reference, as ICNet requires.

    Only the foregrounds, what is above the smallest value of each image, are matched, because the background is most of
    a scan. The background becomes that of the reference.

    Args:
        image, reference: finite numbers, any shapes.

    Returns:
        float32, of the shape of the image; the image itself if one of both is constant.

    Example:
        >>> match_histogram(np.array([1.0, 1, 2, 3]), np.array([0.0, 10, 20])).tolist()
        [0.0, 0.0, 10.0, 20.0]
    """
    inside, values = image > image.min(), np.sort(reference[reference > reference.min()], axis=None)
    if not len(values) or not inside.any():
        return image.astype(np.float32)
    _, index, counts = np.unique(image[inside], return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts + 1) / 2) / max(inside.sum() - 1, 1)  # 0 to 1, the mean of equal values
    matched = np.full(image.shape, reference.min(), np.float32)
    matched[inside] = np.interp(ranks, np.linspace(0, 1, len(values)), values)[index.reshape(-1)]
    return matched
