"""Density maps: points of heads as people per pixel, in the three conventions of crowd counting.

``fixed_density``: every point adds a truncated Gaussian of one size that sums to 1, so that the map's sum is the number
of points (preprocessing of SASNet and HMoDE, which is C-3-Framework's). ``adaptive_density``: every dot is blurred by a
Gaussian as wide as its neighbours are far (CSRNet for ShanghaiTech A). ``blurred_dots``: all dots by one Gaussian
(CSRNet for ShanghaiTech B). They must not be mixed between training and test.

Points are (N, 2), columns x and y in pixels. A dot is the pixel ``(int(x), int(y))``, counted from 0; the fixed kernel
counts pixels from 1 (MATLAB), so it sets the same point one pixel further left and up. Maps are (H, W) float32; nothing
here filters a whole image for each head. scipy is imported where it is used: other tasks load this file too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from mmengine.logging import print_log

from visionzoo.errors import DataError

Shape = tuple[int, int]

TRUNCATE = 4.0  # standard deviations, as scipy cuts its filter


def fixed_density(points: np.ndarray, shape: Shape, *, sigma: float = 4.0, size: int = 15) -> np.ndarray:
    """(H, W) float32 whose sum is N: one kernel of ``size`` x ``size`` pixels for every point, duplicates included.

    The pixel of a point is floor, then absolute value, then clipped to 1..W and 1..H: points outside move to the border
    and still count, a negative coordinate is mirrored. Near the border the window is cut to the image, and the kernel
    is computed anew at that size, in the middle of the cut window, and sums to 1 again.

    Args:
        points: (N, 2), x and y in pixels.
        shape: (H, W).
        sigma: of the Gaussian in pixels.
        size: side of the kernel in pixels, odd.

    Raises:
        DataError: a point is not finite.

    >>> round(float(fixed_density(np.array([[0.0, 0.0], [9.5, 99.0]]), (20, 30)).sum()), 4)
    2.0
    """
    found = np.zeros(shape)
    height, width = shape
    columns, rows = (_matlab_pixel(axis, side) for axis, side in zip(_finite(points).T, (width, height), strict=True))
    reach = size // 2
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        top, left = max(row - reach, 0), max(column - reach, 0)
        bottom, right = min(row + reach + 1, height), min(column + reach + 1, width)
        found[top:bottom, left:right] += gaussian_kernel(bottom - top, right - left, sigma)
    return found.astype(np.float32)


@lru_cache(maxsize=4096)
def gaussian_kernel(height: int, width: int, sigma: float) -> np.ndarray:
    """(height, width) float64 that sums to 1, its peak in the middle; read-only, as it is kept."""
    kernel = np.outer(_window(height, sigma), _window(width, sigma))
    kernel.flags.writeable = False
    return kernel


def _window(length: int, sigma: float) -> np.ndarray:
    values = np.exp(-((np.arange(length) - (length - 1) / 2) ** 2) / (2 * sigma**2))
    return values / values.sum()


def adaptive_density(
    points: np.ndarray, shape: Shape, *, neighbours: int = 3, factor: float = 0.1, truncate: float = TRUNCATE
) -> np.ndarray:
    """(H, W) float32: every dot blurred with sigma = ``factor`` times the sum of distances to its nearest dots.

    Equal to scipy's ``gaussian_filter(dot, sigma, mode="constant")`` for each dot, added up. What a kernel has beyond
    the border is lost, so the sum is below the number of dots. A dot alone has sigma (H + W) / 8. Where there are fewer
    than ``neighbours`` others, the sum is over those there are (the released code gives NaN), which is said once.

    Args:
        points: (N, 2), x and y in pixels; those that :func:`dot_map` leaves out are left out here.
        shape: (H, W).
        neighbours: how many distances are added.
        factor: of the sum.
        truncate: reach of a kernel in sigmas.

    Raises:
        DataError: a point is not finite.
    """
    dots = _dots(points, shape)
    found = np.zeros(shape)
    for (column, row), sigma in zip(dots.tolist(), _spreads(dots, shape, neighbours, factor).tolist(), strict=True):
        kernel = _scipy_kernel(sigma, truncate)
        rows, down = _overlap(row, kernel, shape[0])
        columns, across = _overlap(column, kernel, shape[1])
        found[rows, columns] += down[:, None] * across
    return found.astype(np.float32)


def _spreads(dots: np.ndarray, shape: Shape, neighbours: int, factor: float) -> np.ndarray:
    """(N,): sigma of every dot."""
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
        "the neighbours that are there give sigma; said once, other images may be alike",
        "current",
        logging.WARNING,
    )


def _scipy_kernel(sigma: float, truncate: float) -> np.ndarray:
    """(2r + 1,) that sums to 1, with scipy's r."""
    steps = np.arange(-int(truncate * sigma + 0.5), int(truncate * sigma + 0.5) + 1)
    values = np.exp(-0.5 / sigma**2 * steps**2)
    return values / values.sum()


def _overlap(centre: int, kernel: np.ndarray, side: int) -> tuple[slice, np.ndarray]:
    """Where a kernel falls on an axis of ``side`` pixels, and the part of it that does."""
    start = centre - len(kernel) // 2
    low, high = max(start, 0), min(start + len(kernel), side)
    return slice(low, high), kernel[low - start : high - start]


def blurred_dots(points: np.ndarray, shape: Shape, *, sigma: float = 15.0, mode: str = "reflect") -> np.ndarray:
    """(H, W) float32: the dot map under one Gaussian; ``mode="reflect"`` keeps its sum, ``"constant"`` loses some.

    Raises:
        DataError: a point is not finite.
    """
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(dot_map(points, shape), sigma, mode=mode, truncate=TRUNCATE)


def dot_map(points: np.ndarray, shape: Shape) -> np.ndarray:
    """(H, W) float32 of 0 and 1: points of one pixel are one dot, those outside or negative are left out.

    Raises:
        DataError: a point is not finite.
    """
    found = np.zeros(shape, np.float32)
    columns, rows = _dots(points, shape).T
    found[rows, columns] = 1
    return found


def count_map(points: np.ndarray, shape: Shape) -> np.ndarray:
    """(H, W) float64: how many points each pixel has; a point outside counts for the pixel that is nearest to it.

    Raises:
        DataError: a point is not finite.
    """
    found = np.zeros(shape)
    columns, rows = nearest_pixels(points, shape).T
    np.add.at(found, (rows, columns), 1)
    return found


def nearest_pixels(points: np.ndarray, shape: Shape) -> np.ndarray:
    """(N, 2) int: column and row of the pixel that a point lies in, or is nearest to, counted from 0.

    Raises:
        DataError: a point is not finite.
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
    """Counted from 0: floor, absolute value and clip count from 1."""
    return np.clip(np.abs(np.floor(values)), 1, side).astype(np.int64) - 1


def _dots(points: np.ndarray, shape: Shape) -> np.ndarray:
    """(M, 2) int: column and row of every dot, in row order, each once."""
    values = _finite(points)
    height, width = shape
    inside = (values >= 0).all(axis=1) & (values[:, 0] < width) & (values[:, 1] < height)
    columns, rows = values[inside].astype(np.int64).T
    places = np.unique(rows * width + columns)
    return np.stack([places % width, places // width], axis=1)
