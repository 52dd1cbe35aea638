"""Inputs of a model as images for people."""

from __future__ import annotations

import numpy as np


def rgb_of(image: np.ndarray) -> np.ndarray:
    """Return an input before normalisation, (C, H, W), as (H, W, 3) uint8 RGB.

    Values of another range than 0 to 255 are stretched.

    Example:
        >>> rgb_of(np.full((1, 2, 4), 200.0)).tolist()[0][0]
        [200, 200, 200]
    """
    low, high = float(image.min()), float(image.max())
    if low < -1 or high > 256 or high <= 1.5:
        image = (image - low) * (255 / max(high - low, 1e-6))
    planes = image[:3] if len(image) >= 3 else image[:1].repeat(3, 0)
    return np.ascontiguousarray(np.rint(planes).clip(0, 255).astype(np.uint8).transpose(1, 2, 0))
