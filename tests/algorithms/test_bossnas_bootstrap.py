"""Arithmetic of a training step, of LARS, of the moving target and of the rating."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from bossnas_toys import NARROW, narrow_pair, small_settings
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from visionzoo.algorithms.bossnas import (
    LARS,
    Branch,
    HyTraSupernet,
    Predictor,
    Projector,
    SiamesePair,
    ensemble,
    latent_loss,
    path_loss,
    rate_paths,
)
from visionzoo.algorithms.bossnas.lars import named_groups
from visionzoo.algorithms.bossnas.settings import learning_rate, target_momentum

PATHS = [(5, 4, 3, 2), (4, 4, 4, 4), (4, 3, 2, 0)]


def random_views(batch: int = 4, per_side: int = 3) -> Tensor:
    return torch.randn(batch, 2 * per_side, 3, 64, 64, generator=torch.Generator().manual_seed(3))


def draw() -> torch.Generator:
    return torch.Generator().manual_seed(4)


# --------------------------------------------------------------------------- losses


def test_loss_is_minus_twice_the_cosine() -> None:
    x = torch.randn(6, 5)
    assert latent_loss(x, 3 * x) == pytest.approx(-2)
    assert latent_loss(x, -x) == pytest.approx(2)
    a, b = torch.randn(6, 5), torch.randn(6, 5)
    cosines = [float(p @ t / (p.norm() * t.norm())) for p, t in zip(a, b)]
    assert latent_loss(a, b) == pytest.approx(-2 * sum(cosines) / 6, abs=1e-6)


def test_ensemble_is_the_mean_of_directions() -> None:
    targets = [torch.randn(6, 5) for _ in range(3)]
    expected = sum(x / x.norm(dim=1, keepdim=True) for x in targets) / 3
    torch.testing.assert_close(ensemble(targets), expected)
    assert (ensemble(targets).norm(dim=1) < 0.999).all()


def test_each_side_learns_the_others_ensemble() -> None:
    a, b, target_a, target_b = torch.randn(4, 6, 5)
    loss = path_loss(nn.Identity(), a, b, target_a, target_b)
    assert loss == pytest.approx(float(latent_loss(a, target_b) + latent_loss(b, target_a)), abs=1e-6)


def test_paths_see_their_own_views() -> None:
    """Path k of side A sees view k, path k of side B view 3 + k; the target's ensemble is the mean over all paths."""
    pair, views = narrow_pair().train(), random_views()
    targets_a, targets_b = pair.targets(views, 0, PATHS, [], draw())
    expected = [
        ensemble([pair.target.project(views[:, 3 * side + k], 0, path, []) for k, path in enumerate(PATHS)])
        for side in (0, 1)
    ]
    torch.testing.assert_close(targets_a, expected[0])
    torch.testing.assert_close(targets_b, expected[1])
    losses = list(pair.path_losses(views, 0, PATHS, [], (targets_a, targets_b)))
    for k, (path, loss) in enumerate(zip(PATHS, losses, strict=True)):
        a, b = (pair.online.project(views[:, 3 * side + k], 0, path, []) for side in (0, 1))
        torch.testing.assert_close(loss, path_loss(pair.predictor, a, b, targets_a, targets_b), rtol=1e-4, atol=1e-5)
        assert -4 <= float(loss.detach()) <= 4


def test_targets_have_no_gradient_and_finished_blocks_do_not_learn() -> None:
    for train_prefix in (False, True):
        pair = narrow_pair(1).train()
        pair.train_prefix = train_prefix
        best, paths = [(5, 4, 3, 3)], [(3, 2, 1, 0), (1, 0, 0, 0)]
        views = random_views(4, 2)
        for loss in pair.path_losses(views, 1, paths, best, pair.targets(views, 1, paths, best, draw())):
            loss.backward()
        learns = {name.split(".")[3] for name, x in pair.online.named_parameters() if x.grad is not None
                  and name.startswith("supernet.blocks")}  # fmt: skip
        blocks = {name.split(".")[2] for name, x in pair.online.named_parameters() if x.grad is not None
                  and name.startswith("supernet.blocks")}  # fmt: skip
        assert learns == {"0", "1", "2", "3"}
        assert blocks == ({"0", "1"} if train_prefix else {"1"})
        assert all(x.grad is None for x in pair.target.parameters())


def test_gradients_of_paths_are_summed() -> None:
    pair, views = narrow_pair().train(), random_views()
    targets = pair.targets(views, 0, PATHS, [], draw())
    conv, single = pair.online.supernet.stem[0].weight, []
    for loss in pair.path_losses(views, 0, PATHS, [], targets):
        single.append(torch.autograd.grad(loss / 8, conv)[0])
    for loss in pair.path_losses(views, 0, PATHS, [], targets):
        (loss / 8).backward()
    torch.testing.assert_close(conv.grad, sum(single), rtol=1e-3, atol=1e-6)


# --------------------------------------------------------------------------- projector, predictor


def test_projector_brings_every_scale_to_the_coarsest() -> None:
    supernet = HyTraSupernet(**NARROW)
    projector = Projector(*supernet.projected(0), hidden=16, out=12).eval()
    for scale, channels in enumerate((256, 128, 64, 32)):
        assert projector(torch.randn(2, channels, 2 * 2**scale, 2 * 2**scale)).shape == (2, 12)
    assert sorted(projector.fix_channels) == ["128", "32", "64"]
    shrink = projector.fix_channels["32"][0]
    assert (shrink.kernel_size, shrink.stride, shrink.groups) == ((8, 8), (8, 8), 32)
    assert sorted(Projector(*supernet.projected(2)).fix_channels) == ["128"]


def test_linear_layers_start_as_in_byol() -> None:
    torch.manual_seed(0)
    projector, predictor = Projector(512, {}, 1024, 256), Predictor(256, 1024)
    assert projector.fc0.weight.std().item() == pytest.approx(math.sqrt(2 / 512), rel=0.02)
    assert predictor.fc0.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert not any(linear.bias.any() for linear in (projector.fc0, projector.fc1, predictor.fc0, predictor.fc1))


# --------------------------------------------------------------------------- LARS, target


def test_lars_is_its_formula() -> None:
    torch.manual_seed(0)
    weight, bias = nn.Parameter(torch.randn(3, 4)), nn.Parameter(torch.randn(3))
    w, b, wm, bm = weight.detach().clone(), bias.detach().clone(), 0.0, 0.0
    groups = [{"params": [weight]}, {"params": [bias], "exclude": True, "weight_decay": 0.0}]
    optimizer = LARS(groups, 0.5, momentum=0.9, weight_decay=0.1, eta=0.01)
    for _ in range(3):
        weight.grad, bias.grad = torch.randn(3, 4), torch.randn(3)
        local = 0.01 * w.norm() / (weight.grad.norm() + 0.1 * w.norm())
        wm = 0.9 * wm + 0.5 * local * (weight.grad + 0.1 * w)
        bm = 0.9 * bm + 0.5 * bias.grad
        w, b = w - wm, b - bm
        optimizer.step()
    torch.testing.assert_close(weight.detach(), w)
    torch.testing.assert_close(bias.detach(), b)


def test_lars_leaves_what_has_no_gradient_and_survives_zeros() -> None:
    used, unused = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.ones(3))
    used.grad = torch.zeros(3)
    LARS([used, unused], 1.0, weight_decay=0.1).step()
    assert torch.equal(used.detach(), torch.zeros(3))
    assert torch.equal(unused.detach(), torch.ones(3))


def test_norms_and_biases_are_excluded() -> None:
    pair = narrow_pair()
    groups = named_groups(pair)
    by_name = dict(pair.named_modules())
    for name in groups[True]:
        owner = by_name[name.rpartition(".")[0]]
        assert name.endswith(".bias") or isinstance(owner, _BatchNorm)
    assert all(value.dim() > 1 for value in groups[False].values())
    assert len(groups[True]) + len(groups[False]) == len(list(pair.parameters()))


def test_target_follows_by_the_formula() -> None:
    pair = narrow_pair()
    for value in pair.online.parameters():
        nn.init.normal_(value)
    before = {name: value.clone() for name, value in pair.target.named_parameters()}
    pair.follow(0.9)
    online = dict(pair.online.named_parameters())
    for name, value in pair.target.named_parameters():
        torch.testing.assert_close(value, 0.9 * before[name] + 0.1 * online[name])


def test_a_lazy_target_is_the_whole_target() -> None:
    """An op that no path has used has its initial weights in both branches, so creating it late changes nothing."""
    whole, lazy = narrow_pair(), None
    online, target = HyTraSupernet(**NARROW), HyTraSupernet(**NARROW)
    whole.online.supernet.load_state_dict(HyTraSupernet(**NARROW).build_all().state_dict())
    whole.target.supernet.load_state_dict(whole.online.supernet.state_dict())
    lazy = SiamesePair(Branch(online, whole.online.projector), Branch(target, whole.target.projector), whole.predictor)
    for pair in (whole, lazy):
        for supernet in (pair.online.supernet, pair.target.supernet):
            supernet.prepare(0, [PATHS[0]], [])
        nn.init.constant_(pair.online.supernet.stem[0].weight, 0.1)
        pair.follow(0.5)
        for supernet in (pair.online.supernet, pair.target.supernet):
            supernet.prepare(0, PATHS, [])
    stored = whole.target.supernet.state_dict()
    assert all(torch.equal(stored[name], value) for name, value in lazy.target.supernet.state_dict().items())


def test_rate_and_momentum_follow_cosines(tmp_path: Path) -> None:
    settings = small_settings(tmp_path, epochs=4, lr=2.0, warmup_epochs=1)
    rates = [learning_rate(settings, step, 10) for step in (0, 5, 10, 19, 20, 39)]
    late = [1 + math.cos(math.pi * epoch / 4) for epoch in (1, 1, 2, 3)]
    assert rates == pytest.approx([2e-4, 2 * (1 - 0.5 * (1 - 1e-4)), *late])
    assert [target_momentum(0.99, progress) for progress in (0, 0.5, 1)] == pytest.approx([0.99, 0.995, 1])


# --------------------------------------------------------------------------- rating


@torch.no_grad()
def rate_slowly(pair: SiamesePair, block: int, paths: list, best: list, bn_views: Tensor, batches: list) -> dict:
    """Rate like the authors' code: compute every path and every batch again from the image."""
    projections: dict = {path: [] for path in paths}
    centres = []
    for views in batches:
        sums = [0.0, 0.0]
        for path in paths:
            for part in pair.modules():
                if isinstance(part, _BatchNorm):
                    part.reset_running_stats()
                    part.momentum = 1.0
            pair.train()
            for side in (0, 1):
                x = pair.target.supernet.prefix(bn_views[:, side], best)
                pair.target.project(x, block, path, best)
                pair.online.project(x, block, path, best)
            pair.eval()
            inputs = [pair.target.supernet.prefix(views[:, side], best) for side in (0, 1)]
            for side in (0, 1):
                sums[side] = sums[side] + pair.target.project(inputs[side], block, path, best)
            projections[path].append([pair.online.project(x, block, path, best) for x in inputs])
        centres.append([total / len(paths) for total in sums])
    scores = {}
    for path, batched in projections.items():
        losses = [
            latent_loss(pair.predictor(a), centre_b) + latent_loss(pair.predictor(b), centre_a)
            for (a, b), (centre_a, centre_b) in zip(batched, centres)
        ]
        scores[path] = float(sum(losses) / len(losses))
    return scores


@pytest.mark.parametrize(("block", "best"), [(0, []), (1, [(5, 4, 3, 3)])])
def test_rating_is_the_authors_rating(block: int, best: list) -> None:
    pair = narrow_pair(block)
    for value in pair.online.parameters():  # make the branches differ
        value.data += 0.02 * torch.randn_like(value)
    paths = pair.online.supernet.candidates(block, best)[::9]
    batches = [random_views(size, 1) for size in (4, 3)]
    bn_views = random_views(6, 2)
    slowly = rate_slowly(pair, block, paths, best, bn_views, batches)
    ratings = rate_paths(pair, block, paths, best, bn_views, batches)
    assert list(ratings) == paths
    assert ratings == pytest.approx(slowly, abs=2e-4)
    assert max(ratings.values()) - min(ratings.values()) > 1e-2


def test_rating_leaves_the_pair_unchanged() -> None:
    pair = narrow_pair().train()
    for supernet in (pair.online.supernet, pair.target.supernet):
        supernet.keep_path(0, PATHS[0])  # the rating must not change ops that it creates
    rate_paths(pair, 0, PATHS, [], random_views(4, 1), [random_views(4, 1)])
    norms = [part for part in pair.modules() if isinstance(part, _BatchNorm)]
    assert all(norm.training and norm.momentum == 0.1 for norm in norms)
    assert not any(norm.running_mean.any() or norm.num_batches_tracked.any() for norm in norms)
    assert all(norm.running_var.eq(1).all() for norm in norms)
