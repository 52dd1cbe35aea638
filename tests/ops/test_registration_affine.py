"""Affine and rigid maps are found in 2-D and 3-D: known maps, masks, contrasts, bad input."""

from __future__ import annotations

import pytest
import torch
from registration_pairs import GRIDS, dice, drawn, pair, turned

from visionzoo.errors import ConfigError, DataError, UnknownName
from visionzoo.ops.registration.affine import _turns, generators, register_affine
from visionzoo.ops.registration.deformable import register_deformable
from visionzoo.ops.registration.transform import Transform, affine_field, identity_affine, inverse_affine


def error(found, known, grid):
    """Return the largest distance in voxels between the images of a point in the middle half of the grid."""
    distance = (affine_field(found, grid) - affine_field(known, grid)).norm(dim=1)
    middle = tuple(slice(side // 4, side - side // 4) for side in grid)
    return float(distance[(slice(None), *middle)].max())


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize(("kind", "scale"), [("affine", 1.08), ("rigid", 1.0)])
@pytest.mark.parametrize("similarity", ["correlation", "mutual_information"])
def test_known_map_is_found(grid, kind, scale, similarity):
    fixed, _ = drawn(grid)
    known = turned(grid, 8, scale, 2.5)
    # The known map takes fixed voxels to moving ones, so the moving image is the fixed one under the inverse.
    moving = Transform(grid, inverse_affine(known)).warp(fixed)
    if similarity == "mutual_information":
        moving = (moving - 2).square()
    found = register_affine(fixed, moving, kind=kind, similarity=similarity, levels=(2, 1), iterations=(40, 20))
    assert error(identity_affine(len(grid)), known, grid) > 3
    assert error(found, known, grid) < 0.35


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("degrees", [-40, 40, 90])
@pytest.mark.parametrize("seed", [0, 2])
def test_large_turns_are_found(grid, degrees, seed):
    fixed, _ = drawn(grid, seed)
    known = turned(grid, degrees, 1.05, 2.0)
    moving = Transform(grid, inverse_affine(known)).warp(fixed)
    found = register_affine(fixed, moving, levels=(4, 2, 1))
    assert error(identity_affine(len(grid)), known, grid) > 6
    assert error(found, known, grid) < 0.8


def test_turns_of_voxels_that_are_not_cubes_and_of_thin_volumes():
    turns = _turns([2.0, 1.0, 1.0], (9, 30, 7))
    assert len(turns) == 1 + 4  # the third axis is thin
    stretch = torch.tensor([2.0, 1.0, 1.0]).double()
    back = turns * stretch[:, None] / stretch
    torch.testing.assert_close(back @ back.mT, torch.eye(3).double().expand(5, 3, 3))


def test_rigid_map_is_a_rotation_in_millimetres():
    grid, spacing = (41, 56), torch.tensor([2.0, 1.0])
    fixed, _ = drawn(grid)
    rotation = turned(grid, 9, 1.0, 0.0)[0, :, :2]
    voxels = rotation * spacing / spacing[:, None]
    centre = (torch.tensor(grid).double() - 1) / 2
    known = torch.cat([voxels, (centre - voxels @ centre)[:, None]], 1)[None]
    moving = Transform(grid, inverse_affine(known)).warp(fixed)
    found = register_affine(fixed, moving, kind="rigid", spacing=spacing.tolist(), levels=(2, 1), iterations=(30, 20))
    back = found[0, :, :2] * spacing[:, None] / spacing
    torch.testing.assert_close(back @ back.T, torch.eye(2).double(), atol=1e-9, rtol=0)
    assert error(found, known, grid) < 0.35


@pytest.mark.parametrize("grid", GRIDS)
def test_equal_images_give_the_identity(grid):
    fixed, _ = drawn(grid)
    torch.testing.assert_close(register_affine(fixed, fixed), identity_affine(len(grid)), atol=1e-3, rtol=0)


def test_each_pair_of_a_batch_is_registered_separately():
    fixed, moving, *_ = pair((41, 56), turned((41, 56)), batch=2)
    both = register_affine(fixed, moving)
    torch.testing.assert_close(both[1:], register_affine(fixed[1:], moving[1:]))
    assert not torch.allclose(both[0], both[1])


def test_affine_raises_dice_of_an_affine_and_deformed_pair():
    fixed, moving, labels, others = pair((26, 35, 30), turned((26, 35, 30)), size=1.0)
    found = Transform((26, 35, 30), register_affine(fixed, moving, levels=(4, 2, 1)))
    assert dice(labels, found.warp(others, mode="nearest")) > dice(labels, others) + 0.15


def test_mask_keeps_another_object_without_influence():
    grid = (41, 56)
    fixed, _ = drawn(grid)
    mask = (fixed > 0).float()
    moving = Transform(grid, turned(grid, 6, 1.0, 1.0)).warp(fixed)
    disturbed = fixed.clone()
    disturbed[..., :6] = 9 * torch.rand(1, 1, 41, 6)
    options = dict(levels=(2, 1), iterations=(30, 20))
    masked = [register_affine(one, moving, mask=mask, **options) for one in (fixed, disturbed * (1 - mask) + fixed)]
    torch.testing.assert_close(*masked)


def test_numbers_of_parameters():
    assert [len(generators(kind, [1.0] * axes)) for axes in (2, 3) for kind in ("affine", "rigid")] == [6, 3, 12, 6]


def test_bad_input_is_one_sentence():
    image, _ = drawn((41, 56))
    cases = [
        (torch.full_like(image, 3.0), image, "fixed image: expected intensities that differ, found the constant 3"),
        (image, torch.zeros_like(image), "moving image: expected intensities that differ, found the constant 0"),
        (image, image[..., :50], "moving image: expected the grid of the fixed image, 41x56, found 41x50"),
        (image[0], image[0], r"fixed image: expected \(B, 1, H, W\)"),
        (image.where(image > 0, torch.tensor(torch.nan)), image, "fixed image: expected finite intensities"),
    ]
    for fixed, moving, message in cases:
        with pytest.raises(DataError, match=message):
            register_affine(fixed, moving)
    with pytest.raises(DataError, match="fixed mask: expected voxels > 0, found none"):
        register_affine(image, image, mask=torch.zeros_like(image))
    with pytest.raises(UnknownName, match="did you mean 'rigid'"):
        register_affine(image, image, kind="rigd")


@pytest.mark.parametrize("register", [register_affine, register_deformable])
def test_start_without_overlap_is_one_sentence(register):
    image, _ = drawn((41, 56))
    far = turned((41, 56), shift=500.0)
    name = "start" if register is register_affine else "affine"
    with pytest.raises(
        DataError, match="moving image: expected an overlap with the fixed image at the start, found none"
    ):
        register(image, image, **{name: far})


@pytest.mark.parametrize("grid", [(1, 24, 31), (3, 5), (24, 1)])
def test_thin_and_tiny_images_are_registered(grid):
    torch.manual_seed(0)
    fixed, moving = torch.rand(2, 1, 1, *grid)
    affine = register_affine(fixed, moving)
    assert torch.isfinite(affine).all()
    assert torch.isfinite(register_deformable(fixed, moving, affine=affine).field()).all()


def test_map_onto_a_line_cannot_be_inverted():
    with pytest.raises(DataError, match="affine map: expected a map that can be inverted"):
        inverse_affine(torch.tensor([[[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]]]))


@pytest.mark.parametrize(("levels", "iterations"), [((), ()), ((4, 2), (10,))])
def test_levels_without_iterations_are_refused(levels, iterations):
    image = torch.rand(1, 1, 16, 20)
    with pytest.raises(ConfigError, match="one number of iterations for each level"):
        register_affine(image, image, levels=levels, iterations=iterations)


def test_masks_need_enough_voxels_for_the_parameters():
    fixed, _ = drawn((40, 50))
    mask = torch.zeros_like(fixed)
    mask[..., 10:30, 15:35] = 1
    wanted = "mask of the fixed image: expected at least 480 voxels for a map of 6 parameters, found 400"
    with pytest.raises(DataError, match=wanted):
        register_affine(fixed, fixed, mask=mask)
    assert error(register_affine(fixed, fixed, mask=mask, kind="rigid"), identity_affine(2), (40, 50)) < 0.3


@pytest.mark.parametrize("grid", [(64, 72), (48, 56, 52)])
def test_a_tight_mask_does_not_shrink_the_map(grid):
    fixed, labels = drawn(grid, sigma=3)
    known = turned(grid, 8, 1.0, 2.5)
    moving = Transform(grid, inverse_affine(known)).warp(fixed)
    assert error(register_affine(fixed, moving, mask=(labels > 0).float()), known, grid) < 0.6
