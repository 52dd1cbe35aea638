"""Density maps: convert points of heads to people per pixel, in the three conventions of crowd counting.

- ``fixed_density``: each point adds a truncated Gaussian of fixed size that sums to 1, so that the map's sum is the
  number of points. SASNet and HMoDE use this preprocessing; it comes from C-3-Framework.
- ``adaptive_density``: each dot is blurred by a Gaussian whose width follows from the distances to its nearest dots
  (CSRNet for ShanghaiTech A).
- ``blurred_dots``: all dots are blurred by one Gaussian (CSRNet for ShanghaiTech B).

Training and test must use the same convention.

Convention:
    Points are (N, 2), columns x and y in pixels. A dot is the pixel ``(int(x), int(y))``, counted from 0. The fixed
    kernel counts pixels from 1 (MATLAB), so it places the same point one pixel further left and up. Maps are (H, W)
    float32.

No function filters a whole image for each head. scipy is imported inside the functions that use it, because other
tasks load this file too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from mmengine.logging import print_log

from visionzoo.errors import DataError

Shape = tuple[int, int]

TRUNCATE = 4.0  # radius of a filter in standard deviations, scipy's default


def fixed_density(points: np.ndarray, shape: Shape, *, sigma: float = 4.0, size: int = 15) -> np.ndarray:
    """Add one Gaussian kernel of ``size`` x ``size`` pixels for each point, duplicates included.

    The pixel of a point is the absolute value of its floor, clipped to 1..W and 1..H. Points outside therefore move
    to the border and still count, and negative coordinates are mirrored. Near the border the window is cut to the
    image. The kernel is then computed again for the smaller window: its peak is in the middle and its sum is 1.

    Args:
        points: (N, 2), x and y in pixels.
        shape: (H, W).
        sigma: standard deviation of the Gaussian in pixels.
        size: side of the kernel in pixels, odd.

    Returns:
        (H, W) float32 whose sum is N.

    Raises:
        DataError: a point is not finite.

    Example:
        >>> round(float(fixed_density(np.array([[0.0, 0.0], [9.5, 99.0]]), (20, 30)).sum()), 4)
        2.0
    """
    density = np.zeros(shape)
    height, width = shape
    columns, rows = (_matlab_pixel(axis, side) for axis, side in zip(_finite(points).T, (width, height), strict=True))
    reach = size // 2
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        top, left = max(row - reach, 0), max(column - reach, 0)
        bottom, right = min(row + reach + 1, height), min(column + reach + 1, width)
        density[top:bottom, left:right] += gaussian_kernel(bottom - top, right - left, sigma)
    return density.astype(np.float32)


@lru_cache(maxsize=4096)
def gaussian_kernel(height: int, width: int, sigma: float) -> np.ndarray:
    """Return a Gaussian kernel, (height, width) float64, that sums to 1 and has its peak in the middle.

    The array is cached, so it is read-only.
    """
    kernel = np.outer(_window(height, sigma), _window(width, sigma))
    kernel.flags.writeable = False
    return kernel


def _window(length: int, sigma: float) -> np.ndarray:
    values = np.exp(-((np.arange(length) - (length - 1) / 2) ** 2) / (2 * sigma**2))
    return values / values.sum()


def adaptive_density(
    points: np.ndarray, shape: Shape, *, neighbours: int = 3, factor: float = 0.1, truncate: float = TRUNCATE
) -> np.ndarray:
    """Blur each dot by a Gaussian whose sigma is ``factor`` times the sum of the distances to its nearest dots.

    The result equals the sum of scipy's ``gaussian_filter(dot, sigma, mode="constant")`` over all dots. The part of a
    kernel beyond the border is lost, so the sum can be below the number of dots. A single dot has sigma (H + W) / 8.
    A dot with fewer than ``neighbours`` other dots uses all of them (the released code returns NaN); a warning is
    logged once.

    Args:
        points: (N, 2), x and y in pixels. Points that :func:`dot_map` drops are dropped here too.
        shape: (H, W).
        neighbours: number of distances that are added.
        factor: factor of the sum.
        truncate: radius of a kernel in sigmas.

    Returns:
        (H, W) float32.

    Raises:
        DataError: a point is not finite.

    Example:
        >>> adaptive_density(np.array([[4.0, 4.0], [6.0, 4.0], [5.0, 6.0], [5.0, 5.0]]), (12, 10)).shape
        (12, 10)
    """
    dots = _dots(points, shape)
    density = np.zeros(shape)
    for (column, row), sigma in zip(dots.tolist(), _spreads(dots, shape, neighbours, factor).tolist(), strict=True):
        kernel = _scipy_kernel(sigma, truncate)
        rows, down = _overlap(row, kernel, shape[0])
        columns, across = _overlap(column, kernel, shape[1])
        density[rows, columns] += down[:, None] * across
    return density.astype(np.float32)


def _spreads(dots: np.ndarray, shape: Shape, neighbours: int, factor: float) -> np.ndarray:
    """Return sigma of each dot, (N,)."""
    if len(dots) < 2:
        return np.full(len(dots), sum(shape) / 8)
    others = min(neighbours, len(dots) - 1)
    if others < neighbours:
        _say_few_neighbours(neighbours)
    from scipy.spatial import KDTree

    distances, _ = KDTree(dots).query(dots, k=others + 1)
    return factor * distances[:, 1:].sum(axis=1)


@lru_cache(maxsize=1)
def _say_few_neighbours(neighbours: int) -> None:
    print_log(
        f"density map: expected more than {neighbours} points in an image for geometry-adaptive kernels, found fewer; "
        "sigma is computed from the existing points (shown once, other images may be affected too)",
        "current",
        logging.WARNING,
    )


def _scipy_kernel(sigma: float, truncate: float) -> np.ndarray:
    """Return a one-dimensional kernel, (2r + 1,), that sums to 1 and has scipy's radius r."""
    steps = np.arange(-int(truncate * sigma + 0.5), int(truncate * sigma + 0.5) + 1)
    values = np.exp(-0.5 / sigma**2 * steps**2)
    return values / values.sum()


def _overlap(centre: int, kernel: np.ndarray, side: int) -> tuple[slice, np.ndarray]:
    """Return the part of an axis of ``side`` pixels that a kernel covers, and the matching part of the kernel."""
    start = centre - len(kernel) // 2
    low, high = max(start, 0), min(start + len(kernel), side)
    return slice(low, high), kernel[low - start : high - start]


def blurred_dots(points: np.ndarray, shape: Shape, *, sigma: float = 15.0, mode: str = "reflect") -> np.ndarray:
    """Blur the dot map by one Gaussian.

    Args:
        points: (N, 2), x and y in pixels.
        shape: (H, W).
        sigma: standard deviation of the Gaussian in pixels.
        mode: scipy's border mode: ``reflect`` keeps the sum, ``constant`` loses the part beyond the border.

    Returns:
        (H, W) float32.

    Raises:
        DataError: a point is not finite.

    Example:
        >>> blurred_dots(np.array([[3.0, 2.0]]), (6, 8), sigma=1.0).shape
        (6, 8)
    """
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(dot_map(points, shape), sigma, mode=mode, truncate=TRUNCATE)


def dot_map(points: np.ndarray, shape: Shape) -> np.ndarray:
    """Mark each pixel that has a point. Points of one pixel are one dot; points outside the image are dropped.

    Args:
        points: (N, 2), x and y in pixels.
        shape: (H, W).

    Returns:
        (H, W) float32 of 0 and 1.

    Raises:
        DataError: a point is not finite.

    Example:
        >>> int(dot_map(np.array([[3.2, 2.0], [3.9, 2.1], [-1.0, 0.0]]), (6, 8)).sum())
        1
    """
    dots = np.zeros(shape, np.float32)
    columns, rows = _dots(points, shape).T
    dots[rows, columns] = 1
    return dots


def count_map(points: np.ndarray, shape: Shape) -> np.ndarray:
    """Count the points of each pixel. A point outside the image counts for the nearest pixel.

    Args:
        points: (N, 2), x and y in pixels.
        shape: (H, W).

    Returns:
        (H, W) float64 whose sum is N.

    Raises:
        DataError: a point is not finite.

    Example:
        >>> float(count_map(np.array([[3.2, 2.0], [3.9, 2.1], [-1.0, 0.0]]), (6, 8))[2, 3])
        2.0
    """
    counts = np.zeros(shape)
    columns, rows = nearest_pixels(points, shape).T
    np.add.at(counts, (rows, columns), 1)
    return counts


def nearest_pixels(points: np.ndarray, shape: Shape) -> np.ndarray:
    """Return column and row, counted from 0, of the pixel that contains each point or is nearest to it.

    Args:
        points: (N, 2), x and y in pixels.
        shape: (H, W).

    Returns:
        (N, 2) int64.

    Raises:
        DataError: a point is not finite.

    Example:
        >>> nearest_pixels(np.array([[3.9, 2.0], [-1.0, 99.0]]), (6, 8)).tolist()
        [[3, 2], [0, 5]]
    """
    last = np.array([shape[1] - 1, shape[0] - 1])
    return np.clip(np.floor(_finite(points)), 0, last).astype(np.int64)


DENSITIES: dict[str, Callable[..., np.ndarray]] = {
    "fixed": fixed_density,
    "adaptive": adaptive_density,
    "sigma": blurred_dots,
}


# --- pixels ---


def _finite(points: np.ndarray) -> np.ndarray:
    values = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    if not np.isfinite(values).all():
        raise DataError(
            "density map",
            expected="finite points",
            found=f"{np.count_nonzero(~np.isfinite(values))} coordinates that are not",
            advice="correct the annotation",
        )
    return values


def _matlab_pixel(values: np.ndarray, side: int) -> np.ndarray:
    """Return pixel indices counted from 0; floor, absolute value and clip apply to indices counted from 1."""
    return np.clip(np.abs(np.floor(values)), 1, side).astype(np.int64) - 1


def _dots(points: np.ndarray, shape: Shape) -> np.ndarray:
    """Return column and row of each dot, (M, 2) int, in row order and without duplicates."""
    values = _finite(points)
    height, width = shape
    inside = (values >= 0).all(axis=1) & (values[:, 0] < width) & (values[:, 1] < height)
    columns, rows = values[inside].astype(np.int64).T
    places = np.unique(rows * width + columns)
    return np.stack([places % width, places // width], axis=1)
