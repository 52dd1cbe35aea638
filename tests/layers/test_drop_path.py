"""Scheduled drop path: no drops at first, the right mean and share later, no drops in evaluation."""

from __future__ import annotations

import math

import pytest
import torch

from visionzoo.errors import ConfigError
from visionzoo.layers.drop_path import ScheduledDropPath

MASKS = 2000


def layer(keep_prob: float, done: float) -> ScheduledDropPath:
    made = ScheduledDropPath(keep_prob)
    made.set_done(done)
    return made


@pytest.mark.parametrize("step", [1, 5, 10])
def test_the_mean_of_many_masks_is_the_input(step: int) -> None:
    torch.manual_seed(0)
    drop = layer(0.5, step / 10)
    keep = 1 - 0.5 * step / 10
    x = torch.randn(3, 2, 4, 5)
    mean = drop(x.repeat(MASKS, 1, 1, 1)).view(MASKS, *x.shape).mean(0)
    sigma = math.sqrt((1 - keep) / keep / MASKS)  # standard deviation of a mask's mean
    assert ((mean - x).abs() <= 3 * sigma * x.abs()).all()
    assert not torch.equal(mean, x)


def test_nothing_is_dropped_at_first_in_evaluation_and_with_probability_one() -> None:
    x = torch.randn(64, 3)
    for drop in (ScheduledDropPath(0.5), layer(0.5, 0.0), layer(0.5, 1.0).eval(), layer(1.0, 1.0)):
        assert not drop.is_active
        assert drop(x) is x


def test_images_are_dropped_whole_and_each_call_draws_again() -> None:
    torch.manual_seed(0)
    drop, x = layer(0.5, 1.0), torch.ones(200, 3, 4, 5)
    first, second = drop(x), drop(x)
    for out in (first, second):
        assert set(out.unique().tolist()) == {0.0, 2.0}
        assert torch.equal(out, out[:, :1, :1, :1].expand_as(out))
        assert 70 < out[:, 0, 0, 0].count_nonzero() < 130
    assert not torch.equal(first, second)


@pytest.mark.parametrize(("done", "expected"), [(0.0, 1.0), (0.25, 0.9), (1.0, 0.6), (7.0, 0.6)])
def test_the_share_follows_training_up_to_its_end(done: float, expected: float) -> None:
    assert layer(0.6, done).current_keep_prob == pytest.approx(expected)


def test_gradients_pass_where_the_path_was_kept() -> None:
    torch.manual_seed(0)
    x = torch.ones(16, 2, requires_grad=True)
    out = layer(0.5, 1.0)(x)
    out.sum().backward()
    assert torch.equal(x.grad, out.detach())
    assert layer(0.5, 1.0)(torch.ones(4, 2, dtype=torch.bfloat16)).dtype == torch.bfloat16


@pytest.mark.parametrize("keep_prob", [0.0, -0.1, 1.1])
def test_other_probabilities_are_refused(keep_prob: float) -> None:
    with pytest.raises(ConfigError, match="above 0 and at most 1"):
        ScheduledDropPath(keep_prob)
