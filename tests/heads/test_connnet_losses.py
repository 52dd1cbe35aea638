"""Losses of ConnNet and BiconNets: by hand from probabilities, for extreme logits, and under autocast."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from visionzoo.errors import ConfigError, UnknownName
from visionzoo.heads.connnet import ConnectivityLoss
from visionzoo.heads.connnet.connectivity import connectivity_to_map, mask_to_connectivity, pair_votes


def batch(height=9, width=13, classes=1, neighbours=8, seed=0):
    draw = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(2, neighbours * classes, height, width, generator=draw)
    mask = torch.rand(2, classes, height, width, generator=draw) < 0.6
    return logits, mask


def by_hand(logits, mask, dice_dims, neighbours):
    """Compute BiconNets' terms of one class in float64 from probabilities, like their code."""
    prob, cube, truth = logits.double().sigmoid(), mask_to_connectivity(mask, neighbours).double(), mask.double()
    votes, maps = pair_votes(prob, neighbours=neighbours), connectivity_to_map(prob, neighbours=neighbours)
    count = cube.sum(1)
    least = votes.amin(1) * ((count > 0) & (count < neighbours))
    common, total = (maps * truth).sum(dice_dims), maps.sum(dice_dims) + truth.sum(dice_dims)
    return {
        "loss_cube": 0.8 * F.binary_cross_entropy(prob, cube),
        "loss_edge": F.binary_cross_entropy(least, torch.zeros_like(least)),
        "loss_vote": 0.2 * F.binary_cross_entropy(votes, cube),
        "loss_map": F.binary_cross_entropy(maps, truth),
        "loss_dice": (1 - (2 * common + 0.001) / (total + 0.001)).mean(),
    }


@pytest.mark.parametrize("neighbours", [8, 4])
@pytest.mark.parametrize(("dice_dims", "dims"), [("image", (-2, -1)), ("column", (-2,))])
def test_bicon_by_hand(dice_dims, dims, neighbours):
    logits, mask = batch(neighbours=neighbours)
    logits.requires_grad_()
    loss = ConnectivityLoss("bicon", dice_dims, neighbours)(logits, mask)
    expected = by_hand(logits, mask, dims, neighbours)
    assert list(loss) == list(expected)
    for name in expected:
        torch.testing.assert_close(loss[name].double(), expected[name], rtol=1e-5, atol=1e-6, msg=name)
    gradients = [torch.autograd.grad(sum(terms.values()), logits)[0] for terms in (loss, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-7)


def test_paper_is_cross_entropy_of_the_cube():
    logits, mask = batch()
    expected = F.binary_cross_entropy_with_logits(logits, mask_to_connectivity(mask).float())
    loss = ConnectivityLoss(loss_weight=3.0)(logits, mask)
    assert list(loss) == ["loss_cube"]
    torch.testing.assert_close(loss["loss_cube"], 3 * expected)


def test_bicon_of_classes_is_the_mean_of_classes():
    logits, mask = batch(classes=3)
    loss = ConnectivityLoss("bicon")(logits, mask)
    each = [ConnectivityLoss("bicon")(logits[:, 8 * k : 8 * k + 8], mask[:, k : k + 1]) for k in range(3)]
    for name, value in loss.items():
        torch.testing.assert_close(value, torch.stack([terms[name] for terms in each]).mean())


@pytest.mark.parametrize("mode", ["paper", "bicon"])
@pytest.mark.parametrize("size", [(1, 1), (1, 6), (5, 1), (7, 8)])
@pytest.mark.parametrize("level", [0.0, 20.0, 200.0, -200.0])
@pytest.mark.parametrize("salient", [True, False])
def test_extreme_logits_have_finite_losses_and_gradients(mode, size, level, salient):
    logits = torch.full((2, 8, *size), level, requires_grad=True)
    mask = torch.full((2, 1, *size), salient)
    loss = sum(ConnectivityLoss(mode)(logits, mask).values())
    loss.backward()
    assert loss.isfinite()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("mode", ["paper", "bicon"])
def test_half_precision_is_computed_in_full(mode):
    logits, mask = batch()
    half = logits.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = ConnectivityLoss(mode)(half, mask)
    expected = ConnectivityLoss(mode)(half.float(), mask)
    for name, value in expected.items():
        assert loss[name].dtype == torch.float32
        torch.testing.assert_close(loss[name], value)


@pytest.mark.parametrize("mode", ["paper", "bicon"])
def test_the_right_cube_costs_least(mode):
    _, mask = batch()
    loss = ConnectivityLoss(mode)
    right = mask_to_connectivity(mask).float() * 20 - 10
    assert sum(loss(right, mask).values()) < sum(loss(-right, mask).values()) / 10


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (dict(mode="papr"), UnknownName, "did you mean 'paper'"),
        (dict(dice_dims="columns"), UnknownName, "did you mean 'column'"),
        (dict(neighbours=9), ConfigError, "8 or 4"),
    ],
)
def test_mistakes_are_explained(arguments, error, words):
    with pytest.raises(error, match=words):
        ConnectivityLoss(**arguments)
