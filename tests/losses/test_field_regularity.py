"""Losses of displacement fields: definitions, gradients, and fields that are regular."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from visionzoo.errors import DataError, UnknownName
from visionzoo.losses.field_regularity import AntiFolding, Gradient, InverseConsistency
from visionzoo.ops.warp import integrate, invert, warp

GRIDS = [(7, 12), (4, 9, 6), (5, 1)]


def draw(grid, size=2.0, batch=2, seed=0):
    """Draw a rough field."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, len(grid), *grid, dtype=torch.float64, generator=generator) * size


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize(("penalty", "of"), [("l1", np.abs), ("l2", np.square)])
def test_gradient_is_the_mean_over_axes(grid, penalty, of):
    field = draw(grid)
    axes = [axis for axis, side in enumerate(grid, start=2) if side > 1]
    expected = np.mean([of(np.diff(field.numpy(), axis=axis)).mean() for axis in axes])
    assert float(Gradient(penalty, loss_weight=3)(field)) == pytest.approx(3 * expected)


@pytest.mark.parametrize("grid", GRIDS)
def test_antifolding_counts_only_overtaking_neighbours(grid):
    loss = AntiFolding(loss_weight=2)
    assert loss(draw(grid).clamp(-0.5, 0.5)) == 0
    field = torch.zeros(1, len(grid), *grid, dtype=torch.float64)
    field[:, 0, 0] = 3  # a difference of -3 below the first row
    steps = [np.prod(grid) * len(grid) // side * (side - 1) for side in grid if side > 1]
    folded = np.prod(grid) // grid[0]
    assert float(loss(field)) == pytest.approx(2 * 2**3 * folded / steps[0] / len(steps))


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("padding", ["zeros", "border"])
def test_inverse_consistency_is_icnets(grid, padding):
    forth, back = draw(grid, 0.5), draw(grid, 0.5, seed=1)
    first = (forth - warp(-back, forth, padding=padding)).square().mean()
    second = (back - warp(-forth, back, padding=padding)).square().mean()
    torch.testing.assert_close(InverseConsistency(padding, loss_weight=0.5)(forth, back), 0.5 * (first + second))


def test_inverse_fields_are_consistent():
    rows = torch.linspace(0, 3.14159, 30).sin()
    velocity = (2 * rows[:, None] * rows[:25]).expand(1, 2, 30, 25)
    field = integrate(velocity, 7)
    loss = InverseConsistency("border")
    assert loss(field, invert(field)) < 0.005
    assert loss(field, field) > 0.5


@pytest.mark.parametrize("grid", [(4, 5), (3, 4, 3)])
def test_gradients_by_differences(grid):
    fields = [draw(grid, seed=seed).requires_grad_() for seed in (0, 1)]
    for loss in (Gradient("l1"), Gradient("l2"), AntiFolding()):
        assert torch.autograd.gradcheck(loss, fields[:1])
    assert torch.autograd.gradcheck(InverseConsistency(), fields)


@pytest.mark.parametrize("loss", [Gradient("l1"), Gradient("l2"), AntiFolding(), lambda f: InverseConsistency()(f, f)])
def test_half_precision_is_computed_in_float32(loss):
    value = loss(draw((8, 9), size=300.0).half())
    assert value.dtype == torch.float32
    assert torch.isfinite(value)


def test_refused_inputs():
    with pytest.raises(UnknownName, match="l2"):
        Gradient("l3")
    with pytest.raises(UnknownName, match="border"):
        InverseConsistency("edge")
    with pytest.raises(DataError, match="one grid"):
        InverseConsistency()(draw((4, 5)), draw((5, 4)))
