"""Structural similarity of two images against values of scikit-image, in 2-D and 3-D."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from visionzoo.metrics.registration.structure import structural_similarity

# skimage.metrics.structural_similarity 0.25.2 with gaussian_weights=True, sigma=1.5, use_sample_covariance=False and
# data_range=first.max() - first.min().
EXPECTED = {((16, 19), 0.0): 0.8026422, ((16, 19), 40.0): 0.8036098, ((13, 12, 15), 0.0): 0.7892605}


def drawn(size, offset):
    draw = np.random.RandomState(0)  # its numbers are the same in every version
    first = draw.rand(*size)
    return first + offset, 0.6 * first + 0.4 * draw.rand(*size) + offset


@pytest.mark.parametrize(("size", "offset"), EXPECTED)
def test_values_are_those_of_scikit_image(size, offset):
    first, second = (torch.from_numpy(image)[None] for image in drawn(size, offset))
    assert structural_similarity(first, second) == pytest.approx(EXPECTED[size, offset], abs=1e-5)
    assert structural_similarity(first, first) == pytest.approx(1, abs=1e-6)


def test_channels_are_averaged():
    first, second = torch.rand(2, 2, 14, 17)
    channels = [structural_similarity(first[at : at + 1], second[at : at + 1]) for at in (0, 1)]
    assert structural_similarity(first, second) == pytest.approx(np.mean(channels), abs=0.02)


@pytest.mark.parametrize("size", [(4, 20), (3, 5, 2), (1, 12, 30)])
def test_small_and_constant_images_have_finite_values(size):
    image, constant = torch.rand(1, *size), torch.full((1, *size), 3.0)
    for pair in ((image, constant), (constant, image), (constant, constant)):
        assert -1 <= structural_similarity(*pair) <= 1 + 1e-6
