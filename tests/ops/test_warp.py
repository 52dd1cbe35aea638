"""Displacement fields: sampling, integration, resizing, composition, inverse, Jacobian, against scipy and numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from visionzoo.errors import ConfigError, DataError, UnknownName
from visionzoo.ops.warp import (
    compose,
    integrate,
    invert,
    jacobian_determinant,
    resize_field,
    resize_field_to,
    sampling,
    warp,
)
from visionzoo.ops.warp import inverse as inverting

GRIDS = [(2, 3), (7, 12), (5, 1), (4, 6, 5), (3, 9, 2), (1, 4, 3)]


def draw(grid, channels=2, batch=2, size=2.0, seed=0, dtype=torch.float64):
    """Draw images and rough fields."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(batch, channels, *grid, dtype=dtype, generator=generator)
    return image, torch.randn(batch, len(grid), *grid, dtype=dtype, generator=generator) * size


def smooth(grid, size, sigma=3.0, batch=2, dtype=torch.float64):
    """Draw smooth fields of ``size`` voxels that are zero at the borders."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(batch, len(grid), *grid))
    field = ndimage.gaussian_filter(noise, (0, 0, *[sigma] * len(grid)))
    for axis, side in enumerate(grid):
        shape = [-1 if at == axis else 1 for at in range(len(grid))]
        field *= np.sin(np.pi * np.arange(side) / (side - 1)).reshape(shape)
    return torch.from_numpy(field * size / np.abs(field).max()).to(dtype)


def by_scipy(image, field, order, mode):
    identity = np.indices(image.shape[2:])
    return np.array(
        [
            [ndimage.map_coordinates(channel, identity + displacement, order=order, mode=mode) for channel in each]
            for each, displacement in zip(image.numpy(), field.numpy(), strict=True)
        ]
    )


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize(("padding", "theirs"), [("zeros", "grid-constant"), ("border", "nearest")])
def test_values_are_those_of_scipy(grid, padding, theirs):
    if 1 in grid and padding == "zeros":
        pytest.skip("an axis of one voxel has no outside")
    image, field = draw(grid)
    np.testing.assert_allclose(warp(image, field, padding=padding), by_scipy(image, field, 1, theirs), atol=1e-9)


@pytest.mark.parametrize("grid", [(7, 12), (4, 6, 5)])
def test_slabs_do_not_change_values(grid, monkeypatch):
    image, field = draw(grid)
    whole = warp(image, field)
    monkeypatch.setattr(sampling, "_SLAB_VOXELS", 1)
    torch.testing.assert_close(warp(image, field), whole, rtol=0, atol=0)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("mode", ["linear", "nearest"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_field_of_zeros_returns_the_image(grid, mode, dtype):
    image, field = draw(grid, dtype=dtype, size=0)
    result = warp(image, field.float().requires_grad_(), mode=mode)
    assert result.dtype == dtype
    assert torch.equal(result, image)


def test_a_field_of_zeros_has_a_gradient():
    image, field = draw((5, 6), size=0)
    image.requires_grad_(), field.requires_grad_()
    to_image, to_field = torch.autograd.grad(warp(image, field).square().sum(), [image, field])
    torch.testing.assert_close(to_image, 2 * image)
    assert to_field.abs().min() > 0


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64])
def test_nearest_keeps_labels(dtype):
    _, field = draw((7, 5, 6), size=1.0, dtype=torch.float32)
    labels = torch.randint(1, 100, (2, 1, 7, 5, 6)).to(dtype)
    if dtype == torch.int64:
        labels += 2**30
    warped = warp(labels, field, mode="nearest", padding="border")
    assert warped.dtype == dtype
    assert set(warped.unique().tolist()) <= set(labels.unique().tolist())


def test_whole_displacements_move_labels():
    labels = torch.arange(20).reshape(1, 1, 4, 5)
    field = torch.zeros(1, 2, 4, 5)
    field[:, 0], field[:, 1] = 1, -2
    expected = torch.zeros_like(labels)
    expected[:, :, :3, 2:] = labels[:, :, 1:, :3]
    assert torch.equal(warp(labels, field, mode="nearest"), expected)


@pytest.mark.parametrize("grid", [(4, 5), (3, 4, 3), (5, 1)])
@pytest.mark.parametrize("padding", ["zeros", "border"])
def test_gradients_by_differences(grid, padding):
    image, field = (value.requires_grad_() for value in draw(grid, size=0.7))
    assert torch.autograd.gradcheck(lambda *values: warp(*values, padding=padding), [image, field])
    assert torch.autograd.gradcheck(lambda image: warp(image, field.detach(), mode="nearest"), [image])
    assert torch.autograd.gradcheck(lambda field: integrate(field, 3), [field])


@pytest.mark.parametrize("grid", [(40, 33), (24, 31, 28)])
def test_integrating_v_then_minus_v_is_the_identity(grid):
    velocity = smooth(grid, 2.5, sigma=5.0)
    forth, back = integrate(velocity, 7), integrate(-velocity, 7)
    assert forth.abs().max() > 2
    assert compose(forth, back).abs().max() < 0.05
    assert jacobian_determinant(forth).min() > 0


def test_no_step_returns_the_velocity():
    velocity = smooth((9, 8), 1.0)
    assert torch.equal(integrate(velocity, 0), velocity)


@pytest.mark.parametrize("size", [1.0, 4.0])
@pytest.mark.parametrize("grid", [(40, 33), (24, 31, 28)])
def test_the_inverse_cancels_the_field_on_both_sides(grid, size):
    field = integrate(smooth(grid, size, sigma=4.0), 7)
    inverse = invert(field, tolerance=0.01)
    error = compose(field, inverse).norm(dim=1)
    assert error.mean() < 0.005
    assert error.quantile(0.99) < 0.05
    assert compose(inverse, field).norm(dim=1).mean() < 0.02  # interpolation between the voxels of the inverse


def test_the_inverse_converges_where_a_plain_fixed_point_diverges():
    """A stretch by 2.6 along one axis: the plain iteration multiplies its error by -1.6."""
    rows = torch.arange(21.0) - 10
    field = torch.zeros(1, 2, 21, 6)
    field[:, 0] = (1.6 * rows)[:, None]
    inverse = invert(field, tolerance=1e-3)
    torch.testing.assert_close(inverse[0, 0, :, 0], rows / 2.6 - rows, rtol=0, atol=0.01)


@pytest.mark.parametrize("grid", [(60, 47), (25, 32, 28)])
def test_the_inverse_of_folds_ends_early_and_is_exact_elsewhere(grid, monkeypatch):
    field = smooth(grid, 9.0, sigma=2.0)
    assert (jacobian_determinant(field) <= 0).float().mean() > 0.02
    calls, sample = [], inverting.sample
    monkeypatch.setattr(inverting, "sample", lambda *values: calls.append(values[0].shape[2:]) or sample(*values))
    inverse = invert(field, tolerance=0.01, iterations=1000)
    assert 5 < calls.count(grid) < 40
    assert 5 < len(calls) < 80
    monkeypatch.undo()
    error = compose(field, inverse, padding="border").norm(dim=1)
    assert error.isfinite().all()
    assert (error < 0.01).float().mean() > 0.85


@pytest.mark.parametrize("grid", [(70, 61), (33, 40, 36)])
def test_a_coarse_start_of_the_inverse_is_nearer_at_folds(grid, monkeypatch):
    field = smooth(grid, 9.0, sigma=3.0)
    errors = []
    for side in (32, 1000):
        monkeypatch.setattr(inverting, "_COARSE_SIDE", side)
        inverse = invert(field, tolerance=0.01, iterations=16 if side == 32 else 8)  # 16 steps on the grid itself
        errors.append(float(compose(field, inverse).norm(dim=1).mean()))
    assert errors[0] < 0.8 * errors[1]


def test_compose_is_two_warps():
    image = smooth((30, 25), 1.0, batch=2)
    outer, inner = smooth((30, 25), 1.0), -smooth((30, 25), 2.0, sigma=5.0)
    twice, once = warp(warp(image, outer), inner), warp(image, compose(outer, inner))
    torch.testing.assert_close(once, twice, rtol=0, atol=0.05)


@pytest.mark.parametrize("grid", [*GRIDS, (17, 9, 8), (20, 4)])
def test_jacobians_are_those_of_numpy(grid):
    _, field = draw(grid)
    displacements = field.numpy() + np.indices(grid)
    axes = range(len(grid))
    matrix = np.array([[_gradient(displacements[:, i], 1 + j, i == j) for j in axes] for i in axes])
    expected = np.linalg.det(np.moveaxis(matrix, (0, 1), (-2, -1)))
    np.testing.assert_allclose(jacobian_determinant(field), expected, atol=1e-9)


def _gradient(values, axis, own):
    return np.gradient(values, axis=axis) if values.shape[axis] > 1 else np.full_like(values, float(own))


@pytest.mark.parametrize("grid", [(8, 6), (8, 6, 10), (7, 9), (5, 8, 7)])
def test_resizing_keeps_a_linear_deformation(grid):
    """A field that is linear in space stays linear, and its slope is unchanged."""
    identity = torch.from_numpy(np.indices(grid)).double()[None]
    larger = [2 * side - 1 for side in grid]
    expected = torch.from_numpy(np.indices(larger)).double()[None] * 0.25
    torch.testing.assert_close(resize_field_to(0.25 * identity, larger), expected)
    assert torch.equal(resize_field_to(identity, grid), identity)


@pytest.mark.parametrize(
    ("grid", "scale", "size", "value"), [((8, 6), 2, (16, 12), 2.0), ((7, 9, 31), 0.5, (3, 4, 15), 0.5)]
)
def test_resizing_by_a_scale_multiplies_by_it(grid, scale, size, value):
    resized = resize_field(torch.ones(2, len(grid), *grid), scale)
    assert resized.shape[2:] == size
    torch.testing.assert_close(resized, torch.full_like(resized, value))


def test_half_precision_fields_have_precise_positions():
    image, field = draw((64, 33), dtype=torch.float32, batch=1)
    half = field.half()
    assert torch.equal(warp(image, half), warp(image, half.float()))
    assert integrate(half, 2).dtype == torch.float16


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: warp(torch.zeros(1, 1, 4, 5), torch.zeros(1, 2, 5, 4)), DataError, "one grid"),
        (lambda: warp(torch.zeros(2, 1, 4, 5), torch.zeros(1, 2, 4, 5)), DataError, "one batch"),
        (lambda: warp(torch.zeros(1, 1, 4, 5), torch.zeros(1, 3, 4, 5)), DataError, "one component per axis"),
        (lambda: warp(torch.zeros(1, 1, 4, 5).long(), torch.zeros(1, 2, 4, 5)), DataError, "use mode nearest"),
        (lambda: warp(torch.zeros(1, 1, 4, 5), torch.zeros(1, 2, 4, 5), mode="bilinear"), UnknownName, "mean 'linear'"),
        (lambda: warp(torch.zeros(1, 1, 4, 5), torch.zeros(1, 2, 4, 5), padding="edge"), UnknownName, "border"),
        (lambda: integrate(torch.zeros(1, 2, 4, 5), -1), ConfigError, "steps >= 0"),
        (lambda: resize_field(torch.zeros(1, 2, 1, 5), 0.5), ConfigError, "leaves a voxel of 1x5"),
        (lambda: resize_field_to(torch.zeros(1, 2, 4, 5), (4, 5, 6)), DataError, "2 sides"),
        (lambda: jacobian_determinant(torch.zeros(2, 4, 5)), DataError, "one component per axis"),
    ],
)
def test_refused_inputs(call, error, message):
    with pytest.raises(error, match=message):
        call()
