"""The deformable optimiser in 2-D and 3-D: Dice, folds, inverse, masks, starts, schedules, contrasts, bad input."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from registration_pairs import GRIDS, dice, drawn, pair, turned

from visionzoo.errors import ConfigError, DataError, UnknownName
from visionzoo.ops.registration.affine import register_affine
from visionzoo.ops.registration.deformable import SCHEDULES, Schedule, refine, register_deformable
from visionzoo.ops.registration.transform import inverse_affine
from visionzoo.ops.warp import compose, jacobian_determinant, warp

QUICK = Schedule(levels=(2, 1), iterations=(30, 25))


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("similarity", ["correlation", "mutual_information"])
def test_dice_rises_without_folds(grid, similarity):
    fixed, moving, labels, others = pair(grid)
    if similarity == "mutual_information":
        moving = torch.where(moving > 0.3, 6 - moving, moving)
    transform = register_deformable(fixed, moving, similarity=similarity, schedule=QUICK)
    before, after = dice(labels, others), dice(labels, transform.warp(others, mode="nearest"))
    assert after > before + 0.3 * (1 - before)
    assert (jacobian_determinant(transform.field()) > 0).all()


@pytest.mark.parametrize("grid", GRIDS)
def test_affine_and_deformation_are_one_map_with_an_exact_inverse(grid):
    fixed, moving, labels, others = pair(grid, turned(grid), size=1.5)
    affine = register_affine(fixed, moving, levels=(4, 2), iterations=(30, 20))
    transform = register_deformable(fixed, moving, affine=affine, schedule=QUICK)
    assert torch.equal(transform.affine, affine)
    assert dice(labels, transform.warp(others, mode="nearest")) > dice(labels, others) + 0.3
    distance = compose(transform.field(), transform.inverse_field()).norm(dim=1)
    inside = (moving > 0)[:, 0]
    assert float(distance[inside].mean()) < 0.005
    assert float(distance[inside].quantile(0.99)) < 0.05


@pytest.mark.parametrize("grid", GRIDS)
def test_equal_images_keep_the_identity(grid):
    fixed, _ = drawn(grid)
    assert register_deformable(fixed, fixed, schedule=QUICK).field().abs().max() == 0


def test_pairs_of_a_batch_are_independent():
    fixed, moving, *_ = pair((41, 56), batch=3)
    all_three = register_deformable(fixed, moving, schedule=QUICK).field()
    torch.testing.assert_close(all_three[1:2], register_deformable(fixed[1:2], moving[1:2], schedule=QUICK).field())


@pytest.mark.parametrize("grid", GRIDS)
def test_voxels_outside_the_mask_have_no_influence(grid):
    fixed, moving, *_ = pair(grid)
    mask = torch.zeros_like(fixed)
    mask[..., : grid[-1] // 2] = 1
    other = torch.where(mask > 0, fixed, 5 - 2 * fixed)
    found = [register_deformable(one, moving, mask=mask, schedule=QUICK).field() for one in (fixed, other)]
    torch.testing.assert_close(*found)
    whole = register_deformable(fixed, moving, schedule=QUICK).field()
    assert (whole - found[0]).abs().max() > 0.2


def test_field_of_a_network_is_kept_without_steps_and_improved_with_them():
    fixed, moving, labels, others = pair((26, 35, 30))
    start = 0.4 * register_deformable(fixed, moving, schedule=QUICK).field()
    fields = [refine(fixed, moving, start, steps=steps) for steps in (0, 15)]
    torch.testing.assert_close(fields[0], start)
    scores = [dice(labels, warp(others, field, mode="nearest")) for field in fields]
    assert scores[1] > scores[0] + 0.05


def test_longer_schedules_score_higher():
    fixed, moving, *_ = pair((26, 35, 30), size=2.5)
    errors = [
        float((register_deformable(fixed, moving, schedule=name).warp(moving) - fixed).square().mean())
        for name in ("default", "short", "shortest")
    ]
    assert errors == sorted(errors)
    assert list(SCHEDULES) == ["default", "short", "shortest", "smooth", "symmetric", "large"]


@pytest.mark.parametrize("grid", GRIDS)
def test_swapped_images_return_the_inverse(grid):
    """The mean of both directions favours neither image; the affine map has an exact inverse."""
    fixed, moving, labels, others = pair(grid, turned(grid), size=1.5)
    affine = register_affine(fixed, moving, levels=(4, 2), iterations=(30, 20))
    distances, scores = [], []
    for symmetric in (False, True):
        schedule = replace(QUICK, symmetric=symmetric)
        there = register_deformable(fixed, moving, affine=affine, schedule=schedule)
        back = register_deformable(moving, fixed, affine=inverse_affine(affine), schedule=schedule)
        distance = (back.field() - there.inverse_field()).norm(dim=1)
        distances.append(float(distance[(moving > 0)[:, 0]].mean()))
        scores.append(dice(labels, there.warp(others, mode="nearest")))
        assert (jacobian_determinant(there.field()) > 0).all()
    assert distances[1] < 0.3 * distances[0]
    assert scores[1] > scores[0] - 0.01


def test_both_directions_use_the_mask_and_the_start():
    grid = (26, 35, 30)
    fixed, moving, *_ = pair(grid)
    schedule = replace(QUICK, symmetric=True)
    start = 0.4 * register_deformable(fixed, moving, schedule=QUICK).field()
    kept = register_deformable(fixed, moving, start=start, schedule=replace(schedule, iterations=(0, 0))).field()
    assert float((kept - start).norm(dim=1).mean()) < 0.05
    mask = torch.zeros_like(fixed)
    mask[..., : grid[-1] // 2] = 1
    other = torch.where(mask > 0, fixed, 5 - 2 * fixed)
    masked, same = (register_deformable(one, moving, mask=mask, schedule=schedule).field() for one in (fixed, other))
    unmasked = register_deformable(other, moving, schedule=schedule).field()
    assert (masked - same).norm(dim=1).mean() < 0.2 * (masked - unmasked).norm(dim=1).mean()


def test_smoothing_of_the_field_leaves_the_affine_map_as_it_is():
    grid = (41, 56)
    fixed, _ = drawn(grid)
    affine = turned(grid, 5, 1.1, 2.0)
    transform = register_deformable(fixed, fixed, affine=affine, schedule=Schedule((1,), (3,), field_sigma=2.0))
    assert torch.equal(transform.affine, affine)
    rough, smooth = (
        jacobian_determinant(
            register_deformable(*pair(grid)[:2], schedule=Schedule((2, 1), (30, 25), field_sigma=sigma)).field()
        )
        for sigma in (0.0, 0.7)
    )
    assert smooth.std() < 0.9 * rough.std()


def test_early_stop_ends_a_level():
    fixed, moving, *_ = pair((41, 56))
    long = Schedule(levels=(2, 1), iterations=(400, 400), tolerance=0.01)
    stopped = register_deformable(fixed, moving, schedule=long)
    full = register_deformable(fixed, moving, schedule=Schedule(levels=(2, 1), iterations=(150, 150)))
    assert not torch.equal(stopped.field(), full.field())
    assert float((stopped.warp(moving) - fixed).square().mean()) < 0.3 * float((moving - fixed).square().mean())


def test_bad_input_is_one_sentence():
    image, _ = drawn((41, 56))
    with pytest.raises(DataError, match="moving image: expected intensities that differ, found the constant 2"):
        register_deformable(image, torch.full_like(image, 2.0))
    with pytest.raises(DataError, match=r"start field: expected \(1, 2, 41, 56\), found \(1, 2, 20, 28\)"):
        register_deformable(image, image, start=torch.zeros(1, 2, 20, 28))
    with pytest.raises(ConfigError, match="found 3 levels and 1 numbers"):
        register_deformable(image, image, schedule=Schedule(iterations=(4,)))
    with pytest.raises(UnknownName, match="did you mean 'short'"):
        register_deformable(image, image, schedule="shor")
