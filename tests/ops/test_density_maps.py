"""Density maps against filters of the whole image and against the released rule written out; edge cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from visionzoo.errors import DataError
from visionzoo.ops import density_maps
from visionzoo.ops.density_maps import (
    DENSITIES,
    adaptive_density,
    blurred_dots,
    count_map,
    dot_map,
    fixed_density,
    gaussian_kernel,
    nearest_pixels,
)

SHAPE = (45, 61)
EDGES = np.array([[0.0, 0.0], [60.9, 44.9], [30, 0.4], [60, 20], [0.2, 44]])


def drawn(count, seed=0, shape=SHAPE):
    return np.random.default_rng(seed).random((count, 2)) * shape[::-1]


def matlab_map(points, shape, sigma, size):
    """Compute the released preprocessing, with rows and columns counted from 1."""
    height, width = shape
    density = np.zeros(shape)
    for x, y in points:
        column = min(width, max(1, abs(math.floor(x))))
        row = min(height, max(1, abs(math.floor(y))))
        x1, x2 = max(column - size // 2, 1), min(column + size // 2, width)
        y1, y2 = max(row - size // 2, 1), min(row + size // 2, height)
        kernel = np.zeros((y2 - y1 + 1, x2 - x1 + 1))
        for i in range(kernel.shape[0]):
            for j in range(kernel.shape[1]):
                down, across = i - (kernel.shape[0] - 1) / 2, j - (kernel.shape[1] - 1) / 2
                kernel[i, j] = math.exp(-(down**2 + across**2) / (2 * sigma**2))
        density[y1 - 1 : y2, x1 - 1 : x2] += kernel / kernel.sum()
    return density


def filtered_map(points, shape, neighbours=3, factor=0.1):
    """Filter an image for each dot; compute distances by brute force."""
    rows, columns = np.nonzero(dot_map(points, shape))
    density = np.zeros(shape)
    for row, column in zip(rows, columns):
        distances = np.sort(np.hypot(rows - row, columns - column))[1 : neighbours + 1]
        sigma = factor * distances.sum() if len(rows) > 1 else sum(shape) / 8
        dot = np.zeros(shape)
        dot[row, column] = 1
        density += gaussian_filter(dot, sigma, mode="constant")
    return density


# --- one kernel for all dots --- ---


@pytest.mark.parametrize(("sigma", "size"), [(4.0, 15), (2.0, 9), (1.5, 1)])
def test_fixed_is_the_released_rule(sigma, size):
    points = np.concatenate([drawn(30), EDGES, [[-3.5, 7.2], [70, 20], [30, 50], [-1, -1], [5, 5], [5, 5]]])
    density = fixed_density(points, SHAPE, sigma=sigma, size=size)
    assert density.dtype == np.float32
    assert density.shape == SHAPE
    np.testing.assert_allclose(density, matlab_map(points, SHAPE, sigma, size), atol=1e-7)


@pytest.mark.parametrize("seed", range(5))
def test_fixed_sums_to_the_number_of_points_wherever_they_are(seed):
    points = drawn(40, seed) * 2 - 20
    assert fixed_density(points, SHAPE).sum(dtype=float) == pytest.approx(40, abs=1e-4)
    assert fixed_density(np.repeat(points[:1], 7, axis=0), SHAPE).sum(dtype=float) == pytest.approx(7, abs=1e-5)


def test_fixed_moves_points_outside_to_the_border_and_mirrors_negative_ones():
    def place(x, y):
        row, column = np.unravel_index(fixed_density(np.array([[x, y]]), SHAPE, size=1).argmax(), SHAPE)
        return int(column), int(row)

    assert place(10.7, 20.2) == (9, 19)  # MATLAB's pixel 10, 20 is ours 9, 19
    assert place(999, 1e300) == (60, 44)
    assert place(0.5, 0.5) == (0, 0)
    assert place(-3.5, 7.0) == (3, 6)
    assert place(-999, -999) == (60, 44)


def test_the_kernel_is_recomputed_at_the_border():
    corner = fixed_density(np.array([[1.0, 1.0]]), SHAPE)
    np.testing.assert_allclose(corner[:8, :8], gaussian_kernel(8, 8, 4.0), atol=1e-8)
    assert corner[8:].sum() == corner[:, 8:].sum() == 0
    assert gaussian_kernel(9, 15, 4.0).sum() == pytest.approx(1, abs=1e-12)
    with pytest.raises(ValueError, match="read-only"):
        gaussian_kernel(9, 15, 4.0)[0, 0] = 1


def test_a_kernel_larger_than_the_image():
    assert fixed_density(drawn(3, shape=(5, 3)), (5, 3)).sum(dtype=float) == pytest.approx(3, abs=1e-6)
    assert 0 < adaptive_density(np.array([[1, 1]]), (5, 3)).sum() < 1.01


# --- kernels by distance of neighbours --- ---


@pytest.mark.parametrize(("count", "seed"), [(5, 0), (40, 1), (300, 2)])
def test_adaptive_is_a_filter_for_each_dot(count, seed):
    points = np.concatenate([drawn(count, seed), EDGES, drawn(2, seed), [[70, 3], [-0.5, 3], [3, 45.0]]])
    density = adaptive_density(points, SHAPE)
    assert density.dtype == np.float32
    np.testing.assert_allclose(density, filtered_map(points, SHAPE), atol=1e-7)


def test_adaptive_with_other_settings():
    points = drawn(20)
    density = adaptive_density(points, SHAPE, neighbours=2, factor=0.3)
    np.testing.assert_allclose(density, filtered_map(points, SHAPE, 2, 0.3), atol=1e-7)


def test_a_single_dot_is_as_wide_as_an_eighth_of_both_sides():
    dot = np.array([[30.0, 20.0]])
    expected = gaussian_filter(dot_map(dot, SHAPE).astype(float), (45 + 61) / 8, mode="constant")
    np.testing.assert_allclose(adaptive_density(dot, SHAPE), expected, atol=1e-7)
    np.testing.assert_allclose(adaptive_density(np.repeat(dot, 3, axis=0), SHAPE), expected, atol=1e-7)  # one dot


@pytest.mark.parametrize("count", [2, 3])
def test_few_points_use_all_neighbours_with_one_warning(count, monkeypatch):
    messages = []
    monkeypatch.setattr(density_maps, "print_log", lambda text, *_: messages.append(text))
    density_maps._say_few_neighbours.cache_clear()
    points = drawn(count)
    for _ in range(2):
        density = adaptive_density(points, SHAPE)
    np.testing.assert_allclose(density, filtered_map(points, SHAPE), atol=1e-7)
    assert np.isfinite(density).all()
    assert len(messages) == 1
    assert "expected more than 3 points" in messages[0]


# --- one filter over all dots ---


def test_blurred_dots_keep_their_sum_by_reflection():
    points = np.concatenate([drawn(20), EDGES])
    density = blurred_dots(points, SHAPE)
    np.testing.assert_allclose(density, gaussian_filter(dot_map(points, SHAPE).astype(float), 15), atol=1e-7)
    assert density.sum(dtype=float) == pytest.approx(dot_map(points, SHAPE).sum(), abs=1e-3)
    assert blurred_dots(points, SHAPE, sigma=4, mode="constant").sum() < density.sum() - 0.5


def test_dots_are_pixels_inside_once_each():
    points = np.array([[3.9, 2.1], [3.0, 2.0], [-0.1, 2], [61, 2], [3, 45], [60.99, 44.99]])
    density = dot_map(points, SHAPE)
    assert set(zip(*np.nonzero(density))) == {(2, 3), (44, 60)}
    assert density.max() == 1


# --- counts by pixel --- ---


def test_every_point_counts_at_its_nearest_pixel():
    points = np.array([[3.9, 2.1], [3.0, 2.0], [-5, 2], [99, -1], [60.99, 44.99]])
    assert nearest_pixels(points, SHAPE).tolist() == [[3, 2], [3, 2], [0, 2], [60, 0], [60, 44]]
    density = count_map(points, SHAPE)
    assert density.sum() == 5
    assert density[2, 3] == 2


# --- all kinds --- ---


@pytest.mark.parametrize("make", [*DENSITIES.values(), dot_map, count_map])
def test_no_points_are_an_empty_map(make):
    for none in (np.zeros((0, 2)), []):
        density = make(none, SHAPE)
        assert density.shape == SHAPE
        assert not density.any()


@pytest.mark.parametrize("make", [*DENSITIES.values(), dot_map, count_map])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_points_that_are_not_finite_are_an_error(make, value):
    with pytest.raises(DataError, match="expected finite points, found 1 coordinates"):
        make(np.array([[1.0, value], [2.0, 3.0]]), SHAPE)
