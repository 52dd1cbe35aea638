"""Structural similarity of two images, in 2-D and 3-D."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from visionzoo.metrics.registration.deformation import cropped
from visionzoo.ops.registration.axis_matrices import along_axes, gaussian

# Standard deviation of the Gaussian window of 11 voxels, and the shares of the range in both constants.
_SIGMA, _REACH = 1.5, 5
_FIRST, _SECOND = 0.01, 0.03


def structural_similarity(fixed: Tensor, moving: Tensor) -> float:
    """Return the mean structural similarity (SSIM) of two images, in Gaussian windows of 11 voxels.

    Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity", IEEE TIP 2004, with its
    constants. Windows that reach beyond the image do not count, except along an axis of fewer than 11 voxels.

    Args:
        fixed, moving: (C, *S), of one shape. The constants are shares of the range of the fixed image.

    Returns:
        From -1 to 1; 1 for equal images.

    Example:
        >>> import torch
        >>> image = torch.rand(1, 12, 15)
        >>> round(structural_similarity(image, image), 6)
        1.0
    """
    low, high = fixed.float().aminmax()
    span, middle = float(high - low) or 1.0, (low + high) / 2
    # Values near zero keep the digits of the difference of two sums in float32.
    first, second = (image.float() - middle for image in (fixed, moving))
    windows = [gaussian(side, _SIGMA).to(first) for side in first.shape[1:]]
    mean, other = (along_axes(image, windows) for image in (first, second))
    spreads = along_axes(first * first + second * second, windows) - mean.square() - other.square()
    covariance = along_axes(first * second, windows) - mean * other
    small, large = (_FIRST * span) ** 2, (_SECOND * span) ** 2
    mean, other = mean + middle, other + middle
    shares = (2 * mean * other + small) * (2 * covariance + large)
    shares /= (mean.square() + other.square() + small) * (spreads + large)
    return float(np.mean([cropped(channel, _REACH).mean() for channel in shares.numpy()]))
