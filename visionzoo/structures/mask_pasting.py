"""Masks of boxes, pasted into an image by numpy as mmdet pastes them by torch; this module does not import torch."""

from __future__ import annotations

import numpy as np


def pasted(masks: np.ndarray, boxes: np.ndarray, size: tuple[int, int], threshold: float) -> np.ndarray:
    """Resize the mask of each box to the box, and return the pixels of the image that reach a threshold.

    Args:
        masks: (N, h, w), probabilities over the box.
        boxes: (N, 4) xyxy in pixels of the image.
        size: (H, W) of the image.
        threshold: least probability of a pixel of the mask.

    Returns:
        (N, H, W) bool.

    Example:
        >>> pasted(np.ones((1, 2, 2)), np.array([[1.0, 0.0, 3.0, 1.0]]), (2, 4), 0.5)[0].astype(int).tolist()
        [[0, 1, 1, 0], [0, 0, 0, 0]]
    """
    found = np.zeros((len(masks), *size), bool)
    for index, (mask, (left, top, right, bottom)) in enumerate(zip(masks, boxes, strict=True)):
        rows = _weights(top, bottom, size[0], mask.shape[0])
        columns = _weights(left, right, size[1], mask.shape[1])
        found[index] = rows @ mask.astype(np.float32) @ columns.T >= threshold
    return found


def _weights(low: float, high: float, pixels: int, cells: int) -> np.ndarray:
    """Return the bilinear weights of the cells for each pixel of an axis, (pixels, cells) float32; 0 outside."""
    side = np.float32(high) - np.float32(low)
    with np.errstate(divide="ignore", invalid="ignore"):
        place = (np.arange(pixels, dtype=np.float32) + np.float32(0.5) - np.float32(low)) / side
    place = np.where(np.isfinite(place), place, np.float32(0.5)) * cells - np.float32(0.5)
    return np.clip(1 - np.abs(place[:, None] - np.arange(cells, dtype=np.float32)), 0, None)
