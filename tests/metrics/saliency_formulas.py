"""Saliency measures as in their definitions: whole maps, one pass per threshold. Slow, and easy to check.

Predictions and masks are (H, W) uint8 of equal size. Only comparisons with thresholds use the tools' float32.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from scipy import ndimage

GUARDS = {"pysod": float(np.spacing(1)), "gconet": 1e-20}


def prepared(prediction: np.ndarray, mask: np.ndarray, protocol: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the stretched prediction, the mask of E, F, precision and recall, and the mask of S, in float64."""
    if protocol == "gconet":
        grey = prediction.astype(np.float32) / np.float32(255)
        grey = (grey - grey.min()) / (grey.max() - grey.min() + np.float32(1e-20))
        return grey, mask / 255, (mask >= 128) * 1.0
    grey = prediction / 255
    if grey.max() != grey.min():
        grey = (grey - grey.min()) / (grey.max() - grey.min())
    return grey, (mask > 128) * 1.0, (mask > 128) * 1.0


def thresholded(grey: np.ndarray, protocol: str) -> Iterator[np.ndarray]:
    """Return the binary maps of the curves, in the protocol's order; float64."""
    if protocol == "gconet":
        for threshold in torch.linspace(0, 1 - 1e-10, 255).numpy():
            yield (grey >= threshold) * 1.0
    else:
        levels = (grey * 255).astype(np.uint8)
        for threshold in range(255, -1, -1):
            yield (levels >= threshold) * 1.0


def mae(prediction: np.ndarray, mask: np.ndarray, protocol: str) -> float:
    grey, truth, _ = prepared(prediction, mask, protocol)
    return float(np.abs((prediction / 255 if protocol == "gconet" else grey) - truth).mean())


def e_of(binary: np.ndarray, truth: np.ndarray, protocol: str) -> float:
    pixels, guard = binary.size, GUARDS[protocol]
    if protocol == "pysod" and not truth.any():
        return float((1 - binary).sum() / (pixels - 1 + guard))
    if protocol == "pysod" and truth.all():
        return float(binary.sum() / (pixels - 1 + guard))
    ours, theirs = binary - binary.mean(), truth - truth.mean()
    align = 2 * ours * theirs / (ours * ours + theirs * theirs + guard)
    return float(((align + 1) ** 2 / 4).sum() / (pixels - 1 + guard))


def f_of(binary: np.ndarray, truth: np.ndarray) -> tuple[float, float, float]:
    """Compute precision, recall and F."""
    hits = (binary * truth).sum()
    if not hits:
        return 0.0, 0.0, 0.0
    precision, recall = hits / binary.sum(), hits / truth.sum()
    return precision, recall, 1.3 * precision * recall / (0.3 * precision + recall)


def e_curve(prediction: np.ndarray, mask: np.ndarray, protocol: str) -> np.ndarray:
    grey, truth, _ = prepared(prediction, mask, protocol)
    return np.array([e_of(binary, truth, protocol) for binary in thresholded(grey, protocol)])


def f_curves(prediction: np.ndarray, mask: np.ndarray, protocol: str) -> np.ndarray:
    """Compute precision, recall and F: (3, T)."""
    grey, truth, _ = prepared(prediction, mask, protocol)
    return np.array([f_of(binary, truth) for binary in thresholded(grey, protocol)]).T


def false_positive_rates(prediction: np.ndarray, mask: np.ndarray, protocol: str) -> np.ndarray:
    grey, truth, _ = prepared(prediction, mask, protocol)
    there = (1 - truth).sum() or 1.0
    return np.array([(binary * (1 - truth)).sum() / there for binary in thresholded(grey, protocol)])


def adaptive(prediction: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    """Compute E and F at twice the mean, of ``pysod``."""
    grey, truth, _ = prepared(prediction, mask, "pysod")
    binary = (grey >= min(2 * grey.mean(), 1)) * 1.0
    return e_of(binary, truth, "pysod"), f_of(binary, truth)[2]


def s_measure(prediction: np.ndarray, mask: np.ndarray, protocol: str) -> float:
    """Compute S. Empty blocks have no weight, and one pixel has no deviation."""
    grey, raw, truth = prepared(prediction, mask, protocol)
    grey, guard = grey.astype(np.float64), GUARDS[protocol]
    if not raw.any():
        return float(1 - grey.mean())
    if (raw == 1).all():
        return float(grey.mean())
    share = truth.mean()
    objects = share * _object(grey[truth == 1], guard) + (1 - share) * _object(1 - grey[truth == 0], guard)
    row, column = _centre(truth, protocol)
    regions = 0.0
    for rows in (slice(None, row), slice(row, None)):
        for columns in (slice(None, column), slice(column, None)):
            block = grey[rows, columns]
            if block.size:
                regions += block.size / grey.size * _ssim(block, truth[rows, columns], guard)
    return max(0.0, 0.5 * objects + 0.5 * regions)


def _centre(truth: np.ndarray, protocol: str) -> tuple[int, int]:
    if not truth.any():
        return round(truth.shape[0] / 2), round(truth.shape[1] / 2)
    row, column = (int(np.round(at.mean())) for at in np.nonzero(truth))
    return (row + 1, column + 1) if protocol == "pysod" else (row, column)


def _object(values: np.ndarray, guard: float) -> float:
    if not values.size:
        return 0.0
    spread = values.std(ddof=1) if values.size > 1 else 0.0
    return float(2 * values.mean() / (values.mean() ** 2 + 1 + spread + guard))


def _ssim(grey: np.ndarray, truth: np.ndarray, guard: float) -> float:
    freedom, x, y = grey.size - 1 + guard, grey.mean(), truth.mean()
    covariance = ((grey - x) * (truth - y)).sum() / freedom
    variances = ((grey - x) ** 2).sum() / freedom + ((truth - y) ** 2).sum() / freedom
    above, below = 4 * x * y * covariance, (x * x + y * y) * variances
    if above != 0:
        return float(above / (below + guard))
    return 1.0 if below == 0 else 0.0


def weighted_f(prediction: np.ndarray, mask: np.ndarray) -> float:
    """Compute the weighted F of ``pysod``, with the Gaussian as one two-dimensional kernel."""
    grey, truth, _ = prepared(prediction, mask, "pysod")
    front = truth == 1
    if not front.any():
        return 0.0
    distance, nearest = ndimage.distance_transform_edt(~front, return_indices=True)
    error = np.abs(grey - truth)
    moved = np.where(front, error, error[nearest[0], nearest[1]])
    rows, columns = np.mgrid[-3:4, -3:4]
    kernel = np.exp(-(rows**2 + columns**2) / 50)
    smooth = ndimage.convolve(moved, kernel / kernel.sum(), mode="constant")
    least = np.where(front & (smooth < error), smooth, error)
    weighted = least * np.where(front, 1, 2 - 0.5 ** (distance / 5))
    hits = front.sum() - weighted[front].sum()
    precision, recall = hits / (hits + weighted[~front].sum()), 1 - weighted[front].mean()
    return float(2 * recall * precision / (recall + precision))
