"""The measures of one pair. Each is a function of the pair's counts, except the weighted F-measure, which needs maps.

A curve has one value per threshold: 256 thresholds from 255 down to 0 under ``pysod``, 255 from 0 up to 1 under
``gconet``.
"""

from __future__ import annotations

from math import sqrt

import numpy as np

from visionzoo.metrics.saliency.grey_levels import Counts

BETA_SQUARED = 0.3  # weight of the F-measure; in the weighted F-measure it is 1
ALPHA = 0.5  # share of the object score in the S-measure


def mae(counts: Counts) -> float:
    """Compute the mean absolute error, in [0, 1] (Perazzi et al., CVPR 2012)."""
    shifted, span = counts.stretched if counts.protocol.stretched_mae else (np.arange(256), 255)
    errors = np.abs(shifted * 255 - counts.mask_levels[:, None] * span)
    return int((counts.whole * errors).sum()) / (255 * span * counts.pixels)


# --- F-measure, precision, recall, ROC ---


def precision_recall(counts: Counts, above: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute precision and recall, (T,) each, in [0, 1].

    Precision is 0 without predicted pixels, recall is 0 without foreground.

    Args:
        counts: counts of the pair.
        above: (L, T), number of pixels that are foreground at each threshold.
    """
    weights = counts.mask_levels / 255
    hits, there = weights @ above, weights @ counts.totals
    return hits / np.maximum(above.sum(axis=0), 1), hits / (there or 1.0)


def f_measure(precision: np.ndarray, recall: np.ndarray) -> np.ndarray:
    """Compute F with beta^2 = 0.3 for arrays of any shape (Achanta et al., CVPR 2009); 0 without hits.

    Example:
        >>> f_measure(np.array([1.0, 0.0]), np.array([1.0, 0.0]))
        array([1., 0.])
    """
    product = (1 + BETA_SQUARED) * precision * recall
    return product / np.where(product == 0, 1, BETA_SQUARED * precision + recall)


def false_positive_rate(counts: Counts, above: np.ndarray) -> np.ndarray:
    """Compute the share of the background that is predicted as foreground, (T,) in [0, 1]; 0 without background."""
    weights = 1 - counts.mask_levels / 255
    return weights @ above / ((weights @ counts.totals) or 1.0)


# --- E-measure ---


def e_measure(counts: Counts, above: np.ndarray) -> np.ndarray:
    """Compute the enhanced alignment of a thresholded prediction (Fan et al., IJCAI 2018), (T,), at most N / (N - 1).

    The sum over pixels is divided by N - 1, as in both tools. Pixels with the same prediction and mask level have the
    same alignment, so a few numbers per threshold replace a map.
    """
    pixels = counts.pixels
    divisor = pixels - 1 + counts.protocol.guard if pixels > 1 else 1
    predicted = above.sum(axis=0)
    if counts.protocol.special_masks and counts.brightness == 0:
        return (pixels - predicted) / divisor
    if counts.protocol.special_masks and counts.brightness == 255 * pixels:
        return predicted / divisor
    parts = np.stack([above, counts.totals[:, None] - above])  # (2, L, T): predicted foreground, background
    mean = predicted / pixels
    ours, theirs = np.stack([1 - mean, 0 - mean])[:, None], _centred(counts)
    align = 2 * (ours * theirs) / (ours**2 + theirs**2 + counts.protocol.guard)
    return ((align + 1) ** 2 / 4 * parts).reshape(-1, above.shape[1]).sum(axis=0) / divisor


def _centred(counts: Counts) -> np.ndarray:
    """Subtract the mean of the mask from each of its levels, (L, 1); exactly 0 for a mask of one level."""
    if np.count_nonzero(counts.totals) == 1:
        return np.zeros((len(counts.totals), 1))
    levels = counts.mask_levels / 255
    return (levels - counts.brightness / 255 / counts.pixels)[:, None]


# --- S-measure ---


def s_measure(counts: Counts) -> tuple[float, bool]:
    """Compute the structure measure (Fan et al., ICCV 2017).

    The tools return NaN if a block is empty. ``gconet`` also does so if foreground or background has one pixel or,
    after binarising a soft mask, none. Here an empty part has the weight 0, and one pixel has the deviation 0.

    Returns:
        The measure in [0, 1]; and True if the tool of the protocol returns a number too.
    """
    shifted, span = counts.stretched
    mean = int(counts.whole.sum(axis=0) @ shifted) / (counts.pixels * span)
    if counts.brightness == 0:
        return 1 - mean, True
    if counts.brightness == 255 * counts.pixels:
        return mean, True
    blocks = _moments(counts, shifted)
    inside, outside = (tuple(map(sum, zip(*side, strict=True))) for side in zip(*blocks, strict=True))
    share, guard = inside[0] / counts.pixels, counts.protocol.guard
    objects = share * _object(inside, span, guard) + (1 - share) * _object(outside, span, guard, turned=True)
    regions = sum(
        (front[0] + back[0]) / counts.pixels * _similarity(front, back, span, guard) for front, back in blocks
    )
    filled = all(front[0] + back[0] for front, back in blocks)
    known = filled and min(inside[0], outside[0]) >= counts.protocol.fewest
    return max(0.0, ALPHA * objects + (1 - ALPHA) * regions), known


# Number of pixels; exact sum and sum of squares of the stretched prediction, multiplied by its span.
Moments = tuple[int, ...]


def _moments(counts: Counts, shifted: np.ndarray) -> list[tuple[Moments, Moments]]:
    """Return the moments of foreground and background for each of the four blocks."""
    is_front = counts.mask_levels >= counts.protocol.foreground
    powers = shifted[:, None] ** np.arange(3)
    sides = [(counts.table[:, side].sum(axis=1) @ powers).tolist() for side in (is_front, ~is_front)]
    return [(tuple(front), tuple(back)) for front, back in zip(*sides, strict=True)]


def _object(moments: Moments, span: int, guard: float, turned: bool = False) -> float:
    """Return how bright and uniform a part is; with ``turned``, how dark and uniform."""
    count, total, squares = moments
    if not count:
        return 0.0
    mean = total / (count * span)
    mean = 1 - mean if turned else mean
    spread = (count * squares - total**2) / (count * (count - 1)) if count > 1 else 0.0
    return 2 * mean / (mean**2 + 1 + sqrt(spread) / span + guard)


def _similarity(front: Moments, back: Moments, span: int, guard: float) -> float:
    """Compute the SSIM of prediction and mask in one block."""
    count, total, squares = (f + b for f, b in zip(front, back, strict=True))
    if not count:
        return 0.0
    x, y, freedom = total / (count * span), front[0] / count, count - 1 + guard
    variance = (count * squares - total**2) / (count * span**2) / freedom
    mask_variance = front[0] * back[0] / count / freedom
    covariance = (count * front[1] - total * front[0]) / (count * span) / freedom
    above, below = 4 * x * y * covariance, (x**2 + y**2) * (variance + mask_variance)
    if above:
        return above / (below + guard)
    return 0.0 if below else 1.0


# --- weighted F-measure ---


def weighted_f_measure(prediction: np.ndarray, mask: np.ndarray) -> float:
    """Compute the F-measure with errors weighted by their distance from the foreground (Margolin et al., CVPR 2014).

    If several foreground pixels are nearest, scipy's choice is used, as in py_sod_metrics.

    Args:
        prediction: (H, W) float64 in [0, 1], stretched.
        mask: (H, W) bool.

    Returns:
        The measure in [0, 1]; 0 without foreground.
    """
    from scipy import ndimage

    if not mask.any():
        return 0.0
    distance, nearest = ndimage.distance_transform_edt(~mask, return_indices=True)
    error = np.abs(prediction - mask)
    spread = error[tuple(nearest)]  # a foreground pixel is its own nearest one
    kernel = np.exp(-(np.arange(-3, 4) ** 2) / (2 * 5**2))
    for axis in (0, 1):
        spread = ndimage.correlate1d(spread, kernel / kernel.sum(), axis=axis, mode="constant")
    inside = np.minimum(error[mask], spread[mask])
    outside = error[~mask] * (2 - np.exp(np.log(0.5) / 5 * distance[~mask]))
    guard = np.spacing(1)
    hits, recall = inside.size - inside.sum(), 1 - inside.mean()
    precision = hits / (hits + outside.sum() + guard)
    return float(2 * recall * precision / (recall + precision + guard))
