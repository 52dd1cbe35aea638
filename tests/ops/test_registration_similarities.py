"""Values and closed-form gradients of the similarities against autograd and numpy, in float64; masks; invariance."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from visionzoo.errors import UnknownName
from visionzoo.ops.registration.similarities import Correlation, MutualInformation, similarity_of

GRIDS = [(13, 10), (7, 9, 6)]


def draw(grid, seed=0):
    generator = torch.Generator().manual_seed(seed)
    fixed = torch.rand(*grid, dtype=torch.float64, generator=generator)
    other = torch.rand(*grid, dtype=torch.float64, generator=generator)
    return fixed, (0.6 * fixed + 0.4 * other).requires_grad_(), (other > 0.3).double()


def numeric(similarity, warped, step=1e-6):
    """Return the derivative at every voxel by central differences."""
    base = warped.detach().clone()
    slopes = torch.zeros_like(base)
    for at in range(base.numel()):
        for sign in (1, -1):
            moved = base.clone()
            moved.view(-1)[at] += sign * step
            slopes.view(-1)[at] += sign * similarity(moved).value / (2 * step)
    return slopes


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("options", [dict(window=5), dict(window=3, stride=1), dict(window=None)])
def test_gradient_of_correlation_is_that_of_autograd(grid, masked, options):
    fixed, warped, mask = draw(grid)
    match = Correlation(fixed, mask if masked else None, **options)(warped)
    (expected,) = torch.autograd.grad(match.value, warped)
    torch.testing.assert_close(match.gradient.detach(), expected, rtol=1e-9, atol=1e-12)
    assert (match.curvature >= 0).all()


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("masked", [False, True])
def test_gradient_of_mutual_information_is_the_numeric_one(grid, masked):
    fixed, warped, mask = draw(grid)
    similarity = MutualInformation(fixed, mask if masked else None, bins=8, range_of=torch.tensor([-0.1, 1.1]))
    match = similarity(warped.detach())
    torch.testing.assert_close(match.gradient, numeric(similarity, warped), rtol=1e-4, atol=1e-7)


def test_whole_image_correlation_is_the_squared_one_of_numpy():
    fixed, warped, _ = draw((13, 10))
    expected = np.corrcoef(fixed.flatten(), warped.detach().flatten())[0, 1] ** 2
    assert float(Correlation(fixed, window=None)(warped.detach()).value) == pytest.approx(expected, abs=1e-2)


def test_mutual_information_of_independent_images_is_near_zero_and_of_a_function_is_large():
    generator = torch.Generator().manual_seed(0)
    fixed, other = torch.rand(2, 100, 130, generator=generator)
    similarity = MutualInformation(fixed, bins=8)
    assert float(similarity(other).value) < 0.01
    assert float(similarity(4 * (fixed - 0.5) ** 2).value) > 0.7


@pytest.mark.parametrize("name", ["correlation", "mutual_information"])
def test_voxels_outside_the_mask_have_no_influence(name):
    fixed, warped, mask = draw((13, 10))
    warped = warped.detach()
    changed = torch.where(mask > 0, fixed, 7 + fixed)
    first, second = (similarity_of(name, one, warped, mask)(warped) for one in (fixed, changed))
    torch.testing.assert_close(first.value, second.value)
    torch.testing.assert_close(first.gradient, second.gradient)
    assert (first.gradient[mask == 0] == 0).all()


def test_local_correlation_ignores_contrast_and_brightness():
    fixed, warped, _ = draw((13, 10))
    similarity = Correlation(fixed, window=5)
    assert float(similarity(3 - fixed).value) == pytest.approx(float(similarity(fixed).value), rel=1e-6)
    assert float(similarity(fixed).value) > float(similarity(warped.detach()).value)


def test_unknown_similarity_is_named():
    with pytest.raises(UnknownName, match="did you mean 'correlation'"):
        similarity_of("corelation", torch.rand(4, 5), torch.rand(4, 5), None)
