"""Composition, inverse, fast sampling and the pyramid of the registration."""

from __future__ import annotations

import pytest
import torch
from registration_pairs import GRIDS, drawn, smooth_field, turned

from visionzoo.ops.registration.pyramid import image_gradients, level_of
from visionzoo.ops.registration.sampling import Sampler
from visionzoo.ops.registration.transform import Transform, affine_field, enlarged, inverse_affine
from visionzoo.ops.warp import compose, resize_field_to, warp


@pytest.mark.parametrize("grid", GRIDS)
def test_field_is_the_deformation_and_then_the_affine_map(grid):
    deformation = smooth_field(grid)
    field = Transform(grid, turned(grid), deformation).field()
    # A linear displacement is sampled exactly, except outside the grid, where that of the border continues.
    expected = compose(affine_field(turned(grid), grid), deformation)
    inner = (..., *[slice(4, -4)] * len(grid))
    torch.testing.assert_close(field[inner], expected[inner], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("grid", GRIDS)
def test_affine_inverse_is_exact(grid):
    transform = Transform(grid, turned(grid))
    back = Transform(grid, inverse_affine(turned(grid)))
    torch.testing.assert_close(transform.inverse_field(), back.field(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("grid", GRIDS)
def test_inverse_of_a_coarse_deformation_and_an_affine_map(grid):
    coarse = resize_field_to(smooth_field(grid, 4.0), [(side + 1) // 2 for side in grid])
    transform = Transform(grid, turned(grid), coarse)
    distance = compose(transform.field(), transform.inverse_field()).norm(dim=1)
    inner = distance[(..., *[slice(6, -6)] * len(grid))]
    assert float(inner.mean()) < 0.005
    assert float(inner.quantile(0.99)) < 0.05


@pytest.mark.parametrize("grid", GRIDS)
def test_enlarged_deformation_is_close_to_the_linear_one_and_keeps_its_voxels(grid):
    coarse = smooth_field(grid, 2.0)
    size = [2 * side - 1 for side in grid]
    fine = enlarged(coarse, size)
    torch.testing.assert_close(fine[(..., *[slice(None, None, 2)] * len(grid))], 2 * coarse, atol=1e-4, rtol=0)
    assert float((fine - resize_field_to(coarse, size)).abs().max()) < 0.3


@pytest.mark.parametrize("grid", [*GRIDS, (1, 9, 5), (6, 1, 7)])
def test_sampler_is_the_warp_with_border_padding(grid):
    image, field = torch.rand(2, *grid), 3 * torch.randn(len(grid), *grid)
    expected = warp(image[None], field[None], padding="border")[0]
    torch.testing.assert_close(Sampler(image)(field), expected, atol=2e-4, rtol=0)


@pytest.mark.parametrize("grid", GRIDS)
def test_level_averages_voxels_of_the_mask_only(grid):
    image = drawn(grid)[0][0, 0]
    mask = (image > 1).float()
    disturbed = torch.where(mask > 0, image, 100.0)
    first, second = (level_of(one, image, mask, 2) for one in (image, disturbed))
    torch.testing.assert_close(first.fixed, second.fixed)
    assert first.size == tuple((side + 1) // 2 for side in grid)
    assert level_of(image, image, None, 1).fixed is image


def test_gradients_of_a_plane():
    rows, columns = torch.meshgrid(torch.arange(4.0), torch.arange(5.0), indexing="ij")
    slopes = image_gradients(2 * rows - 3 * columns)[:, 1:-1, 1:-1]
    torch.testing.assert_close(slopes.flatten(1), torch.tensor([[2.0], [-3.0]]).expand(2, 6))
