"""Velocities to displacement fields, for one to three axes."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from visionzoo.layers.velocity import displacement_of, integrated, resized, resized_to, warped
from visionzoo.ops.warp import compose


def smooth(*shape):
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    pool = {3: F.avg_pool1d, 4: F.avg_pool2d, 5: F.avg_pool3d}[len(shape)]
    for _ in range(3):
        noise = pool(noise, 7, stride=1, padding=3)
    return 1.5 * noise / noise.abs().max()


def test_one_axis_is_an_image_of_one_row():
    velocity, image = smooth(2, 1, 20), torch.rand(2, 3, 20)
    zeros = torch.zeros(2, 1, 2, 20)
    field = integrated(velocity, 5)
    of_rows = integrated(torch.cat([zeros, velocity[:, :, None].expand(2, 1, 2, 20)], 1), 5)
    torch.testing.assert_close(field, of_rows[:, 1:, 0])
    torch.testing.assert_close(warped(image, field)[:, :, None], warped(image[:, :, None], of_rows[:, :, :1]))
    torch.testing.assert_close(resized(torch.ones(1, 1, 8), 0.5), torch.full((1, 1, 4), 0.5))
    torch.testing.assert_close(resized_to(torch.ones(1, 1, 5), torch.zeros(1, 1, 9)), torch.full((1, 1, 9), 2.0))


@pytest.mark.parametrize("size", [(31,), (31, 20), (13, 10, 17), (1, 20), (3, 2)])
@pytest.mark.parametrize("downsize", [1, 2, 3])
def test_the_field_has_the_grid_of_the_velocity(size, downsize):
    velocity = torch.rand(2, len(size), *size)
    assert displacement_of(velocity, 4, downsize).shape == velocity.shape
    assert displacement_of(velocity, 0, downsize) is velocity


@pytest.mark.parametrize("size", [(32, 40), (16, 20, 24)])
def test_the_negative_velocity_is_the_inverse(size):
    velocity = smooth(1, len(size), *size)
    inside = (..., *[slice(4, -4)] * len(size))
    there = compose(displacement_of(velocity, 7), displacement_of(-velocity, 7))
    assert there[inside].abs().max() < 0.05
    assert velocity.abs().max() > 1
