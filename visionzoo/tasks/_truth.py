"""Ground truth of a sample: values that tasks share when they read it as a result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from visionzoo.structures.arrays import as_array


def true_map(values: Any, size: tuple[int, ...]) -> np.ndarray:
    """Return a true map as an array of a size; a map of another size is resized by the nearest pixel.

    Args:
        values: tensor or array, (H, W) or (1, H, W), of numbers or bool.
        size: (width, height) in pixels.

    Example:
        >>> true_map([[0, 3]], (4, 1)).tolist()
        [[0, 0, 3, 3]]
    """
    array = as_array(values)
    array = array[0] if array.ndim == 3 and len(array) == 1 else array
    if array.shape == (size[1], size[0]):
        return array
    plain = array.astype(np.uint8) if array.dtype == bool else array.astype(np.float64)
    return cv2.resize(plain, (size[0], size[1]), interpolation=cv2.INTER_NEAREST).astype(array.dtype)


def part_of(sample: Any, *path: str) -> Any:
    """Return a part of a data sample or of its dict; None if it is missing or empty on the way.

    Args:
        sample: data sample, or the dict that an evaluator receives.
        path: names, from the outside to the inside.

    Example:
        >>> part_of({"gt_instances": {"labels": [1]}}, "gt_instances", "labels")
        [1]
        >>> part_of({}, "gt_instances", "labels") is None
        True
    """
    for name in path:
        if sample is None:
            return None
        sample = sample.get(name) if isinstance(sample, Mapping) or hasattr(sample, "get") else None
    return sample


def true_mask(sample: Any, size: tuple[int, ...], threshold: float) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the map in [0, 1] and the mask of the ``gt_map`` or ``gt_ids`` of a sample; None without both.

    Args:
        sample: ``gt_map``, (H, W) or (K, H, W), has numbers from 0 to 255 or bool; ``gt_ids`` has whole numbers, 0 for
            the background.
        size: (width, height) of the result.
        threshold: numbers above it belong to the mask.

    Example:
        >>> true_mask({"gt_map": np.array([[0, 255]], np.uint8)}, (2, 1), 127)[1].tolist()
        [[False, True]]
    """
    ids, values = part_of(sample, "gt_ids"), part_of(sample, "gt_map")
    if ids is None and values is None:
        return None
    grey = as_array(values) if ids is None else np.where(as_array(ids) > 0, 255, 0).astype(np.uint8)
    grey = np.where(grey, 255, 0).astype(np.uint8) if grey.dtype == bool else grey
    grey = true_map(grey.max(axis=0) if grey.ndim == 3 else grey, size)
    return (grey / np.float32(255)).astype(np.float32), grey > threshold


def true_semantic(sample: Any) -> Any:
    """Return the class of each pixel in a sample: of mmseg's or mmdet's ``gt_sem_seg``, else of ``gt_semantic``.

    Example:
        >>> true_semantic({"gt_semantic": [[0, 1]]})
        [[0, 1]]
    """
    values = (part_of(sample, "gt_sem_seg", name) for name in ("data", "sem_seg"))
    return next((each for each in values if each is not None), part_of(sample, "gt_semantic"))


def plain_masks(masks: Any) -> np.ndarray:
    """Return masks as (N, H, W): tensors and arrays, or mmdet's ``BitmapMasks`` and ``PolygonMasks``.

    Example:
        >>> plain_masks(np.ones((1, 2, 3))).shape
        (1, 2, 3)
    """
    return as_array(masks.to_ndarray() if hasattr(masks, "to_ndarray") else masks)
