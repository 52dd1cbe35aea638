"""Losses of image pairs: definitions, gradients of both images, and hard images."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from visionzoo.errors import ConfigError, DataError, UnknownName
from visionzoo.losses.similarity import MSE, GlobalNCC, LocalNCC, MutualInformation, global_correlation
from visionzoo.ops import local_correlation, mutual_information

SIZES = [(11, 14), (5, 20), (9, 13, 10), (4, 6, 17)]
LOSSES = [GlobalNCC(), LocalNCC(), LocalNCC(5), MSE(), MutualInformation(), MutualInformation("compat", 16)]


def draw(size, batch=2, dtype=torch.float64, seed=0):
    """Draw two related images that require gradients."""
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.rand(2, batch, 1, *size, generator=generator, dtype=torch.float64)
    pair = first, 0.6 * first + 0.4 * second
    return [each.to(dtype).requires_grad_() for each in pair]


def literal(fixed, moving, window, eps=1e-5):
    """Compute the local correlation with convolutions of ones."""
    axes = fixed.ndim - 2
    convolve, ones = (F.conv2d, F.conv3d)[axes - 2], fixed.new_ones(1, 1, *[window] * axes)
    pairs = (fixed, moving), (fixed, fixed), (moving, moving)
    first, second = (convolve(each, ones, padding=window // 2) for each in (fixed, moving))
    products = [convolve(a * b, ones, padding=window // 2) for a, b in pairs]
    cross, own, other = (
        total - a * b / window**axes
        for total, (a, b) in zip(products, ((first, second), (first, first), (second, second)))
    )
    return (cross**2 / (own * other + eps)).flatten(1).mean(1)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("window", [3, 5, 7, 9])
def test_local_correlation_and_its_gradients_are_those_of_convolutions(size, window):
    images = draw(size)
    ours, expected = local_correlation.local_correlation(*images, window), literal(*images, window)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)
    weights = torch.tensor([1.0, -3.0], dtype=torch.float64)
    pairs = zip(torch.autograd.grad(ours, images, weights), torch.autograd.grad(expected, images, weights))
    for gradient, wanted in pairs:
        torch.testing.assert_close(gradient, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("only", [0, 1])
def test_local_correlation_with_a_gradient_of_one_image(only):
    images = draw((9, 12, 10))
    wanted = torch.autograd.grad(literal(*images, 9).sum(), images[only])[0]
    images[1 - only].requires_grad_(False)
    got = torch.autograd.grad(local_correlation.local_correlation(*images).sum(), images[only])[0]
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-12)


def test_local_correlation_in_float32_has_gradients_close_to_float64():
    images = draw((16, 19, 18))
    wanted = torch.autograd.grad(literal(*images, 9).sum(), images)
    halved = [each.detach().float().requires_grad_() for each in images]
    for gradient, exact in zip(torch.autograd.grad(-LocalNCC()(*halved) * 2, halved), wanted):
        assert (gradient - exact).abs().max() < 1e-4 * exact.abs().max()


def test_window_sums_in_parts(monkeypatch):
    """Parts of few voxels, so that planes and columns are cut."""
    values = torch.rand(2, 7, 9, 11, dtype=torch.float64)
    whole = local_correlation.box_sum(values, 5)
    torch.testing.assert_close(whole[:, None], F.conv3d(values[:, None], values.new_ones(1, 1, 5, 5, 5), padding=2))
    monkeypatch.setattr(local_correlation, "_CPU_VOXELS", 150)
    torch.testing.assert_close(local_correlation.box_sum(values, 5), whole)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
@pytest.mark.parametrize("size", [(3, 5), (3, 3, 3)])
def test_gradients_by_differences(loss, size):
    """Means and ranges of Parzen windows are constants of the gradient, so the extreme voxels are fixed."""
    images = draw(size, batch=1)
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)

    def with_ends(image):
        return torch.cat([ends.expand(1, 1, *image.shape[2:-1], 2), image], -1)

    assert torch.autograd.gradcheck(lambda a, b: loss(with_ends(a), with_ends(b)), images, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
@pytest.mark.parametrize("size", [(7, 12), (5, 9, 6)])
def test_batches_are_means_of_samples(loss, size):
    fixed, moving = draw(size, batch=3)
    alone = [loss(fixed[at : at + 1], moving[at : at + 1]) for at in range(3)]
    torch.testing.assert_close(loss(fixed, moving), torch.stack(alone).mean())


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_hard_images_have_finite_values_and_gradients(loss, dtype):
    first, second = draw((6, 9, 8), dtype=dtype)
    constant = torch.full_like(first, 0.5).detach().requires_grad_()
    empty = torch.zeros_like(first).requires_grad_()
    for fixed, moved in ((first, second), (first, constant), (constant, constant), (empty, first), (empty, empty)):
        value = loss(fixed, moved)
        assert torch.isfinite(value)
        for gradient in torch.autograd.grad(value, {fixed, moved}):
            assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("loss", LOSSES[:4], ids=lambda loss: type(loss).__name__)
def test_a_similar_pair_has_a_lower_loss(loss):
    fixed, moved = draw((12, 15))
    assert loss(fixed, fixed) < loss(fixed, moved) < loss(fixed, moved.flip(-1))


def test_mutual_information_is_high_for_inverted_images():
    fixed, _ = draw((40, 50))
    other, _ = draw((40, 50), seed=1)
    loss = MutualInformation()
    assert loss(fixed, 1 - fixed) < -0.6
    assert -0.1 < loss(fixed, other) < 0.05


def test_mutual_information_in_parts(monkeypatch):
    fixed, moved = draw((9, 7, 8))
    for form in mutual_information.FORMS:
        whole = MutualInformation(form, 8)(fixed, moved)
        monkeypatch.setattr(mutual_information, "_SHARES", 8 * 50)
        parts = MutualInformation(form, 8)(fixed, moved)
        torch.testing.assert_close(parts, whole)
        pairs = (torch.autograd.grad(value, [fixed, moved]) for value in (parts, whole))
        torch.testing.assert_close(*pairs)
        monkeypatch.undo()


def test_parzen_information_is_that_of_a_joint_histogram():
    """Values at the bin centres, far apart: each has its own bins, and the information is the entropy of the labels."""
    labels = torch.tensor([0, 8, 8, 16, 16, 16, 16, 24], dtype=torch.float64).reshape(1, 1, 2, 4)
    shares = torch.tensor([1, 2, 4, 1], dtype=torch.float64) / 8
    entropy = -(shares * shares.log2()).sum()
    shared = mutual_information.mutual_information(labels, -labels, bins=28).shared
    torch.testing.assert_close(shared[0], entropy)


def test_a_voxel_without_a_value_has_no_information():
    fixed, moved = draw((7, 9))
    missing = torch.where(fixed == fixed.max(), torch.nan, fixed)
    assert mutual_information.mutual_information(missing, moved).shared.isnan().any()


def test_weights_multiply():
    fixed, moved = draw((7, 9))
    for kind in (GlobalNCC, LocalNCC, MSE, MutualInformation):
        torch.testing.assert_close(kind(loss_weight=1.2)(fixed, moved), 1.2 * kind()(fixed, moved))
    assert global_correlation(fixed, moved).min() >= -1


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        *[
            (lambda loss=loss: loss(torch.ones(1, 1, 9, 9), torch.ones(1, 1, 9, 8)), DataError, "one")
            for loss in LOSSES
        ],
        (lambda: LocalNCC(4)(*draw((9, 9))), ConfigError, "odd window"),
        (lambda: LocalNCC()(*draw((9,))), DataError, "B, C, H, W"),
        (lambda: MutualInformation(bins=4)(*draw((9, 9))), ConfigError, "at least 5 bins"),
        (lambda: MutualInformation("exact"), UnknownName, "parzen"),
    ],
)
def test_refused_inputs(call, error, message):
    with pytest.raises(error, match=message):
        call()
