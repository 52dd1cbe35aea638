"""Scaled intensities: clipped ends, small and constant images."""

from __future__ import annotations

import numpy as np
import pytest

from visionzoo.ops.intensities import scale_intensities


@pytest.mark.parametrize("shape", [(40, 50), (11, 23, 97), (2, 3)])
@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int16])
def test_ends_are_order_statistics(shape, kind):
    image = (np.random.default_rng(0).normal(size=shape) * 40 + 100).astype(kind)
    ordered = np.sort(image, axis=None).astype(np.float64)
    rank = max(1, int(1e-4 * image.size))
    low, high = ordered[rank], ordered[-rank]
    expected = (image.astype(np.float64).clip(low, high) - low) / (high - low)
    scaled = scale_intensities(image)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, expected, atol=1e-6)


@pytest.mark.parametrize("image", [np.full((3, 4), 7.0), np.zeros((1, 1)), np.array([[1.0, 2.0]])])
def test_an_image_without_range_is_zero(image):
    assert not scale_intensities(image).any()
