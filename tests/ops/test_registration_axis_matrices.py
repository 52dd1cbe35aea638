"""Maps of each axis by matrices, against scipy; adjoints."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from visionzoo.errors import DataError
from visionzoo.ops.registration.axis_matrices import along_axes, box_sums, gaussian, interpolation, reduction

GRIDS = [(7, 12), (5, 9, 6), (1, 4, 3)]


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_box_sums_are_those_of_a_correlation_at_every_stride(grid, stride):
    values = torch.randn(2, 3, *grid)
    sums = along_axes(values, [box_sums(side, window=5, stride=stride) for side in grid])
    kernel = np.ones((1, 1, *[5] * len(grid)))
    expected = ndimage.correlate(values.numpy(), kernel, mode="constant")
    strided = expected[(..., *[slice(None, None, stride)] * len(grid))]
    np.testing.assert_allclose(sums, strided, atol=1e-4)


@pytest.mark.parametrize("grid", GRIDS)
def test_one_window_of_the_whole_image_sums_it(grid):
    values = torch.rand(2, *grid)
    sums = along_axes(values, [box_sums(side, window=None) for side in grid])
    torch.testing.assert_close(sums.flatten(), values.flatten(1).sum(1))


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("larger", [True, False])
def test_adjoint_has_the_same_inner_product(grid, larger):
    size = [2 * side + 1 if larger else max(1, side // 2) for side in grid]
    make = interpolation if larger else reduction
    matrices = [make(side, many).double() for side, many in zip(grid, size, strict=True)]
    first, second = torch.randn(2, *grid).double(), torch.randn(2, *size).double()
    there = (along_axes(first, matrices) * second).sum()
    torch.testing.assert_close(there, (first * along_axes(second, matrices, adjoint=True)).sum())


@pytest.mark.parametrize("make", [interpolation, reduction])
@pytest.mark.parametrize(("side", "size"), [(5, 9), (4, 11), (2, 3), (9, 5), (12, 6), (3, 1), (1, 3)])
def test_resampling_keeps_constants_and_lines(make, side, size):
    matrix = make(side, size)
    torch.testing.assert_close(matrix.sum(1), torch.ones(size))
    if side > 1 and make is interpolation and size > 1:
        line = torch.arange(side).float()
        torch.testing.assert_close(matrix @ line, torch.linspace(0, side - 1, size), atol=1e-5, rtol=0)


def test_interpolation_passes_through_the_values():
    torch.testing.assert_close(interpolation(5, 9)[::2], torch.eye(5))


def test_gaussian_is_symmetric_and_that_of_scipy():
    values = torch.randn(31, 18)
    smooth = along_axes(values, [gaussian(31, 1.5), gaussian(18, 1.5)])
    expected = ndimage.gaussian_filter(values.numpy(), 1.5, mode="constant", truncate=3.5)
    np.testing.assert_allclose(smooth, expected, atol=1e-5)
    torch.testing.assert_close(gaussian(18, 1.5), gaussian(18, 1.5).T)


def test_matrices_of_other_sides_are_named():
    with pytest.raises(DataError, match=r"expected values whose last axes are \[4, 5\], found \[2, 4, 6\]"):
        along_axes(torch.zeros(2, 4, 6), [torch.eye(4), torch.eye(5)])
