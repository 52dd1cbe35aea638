"""Grids of volumes: maps between images, resampling, and fields on other grids."""

import numpy as np
import pytest

from visionzoo.errors import DataError
from visionzoo.structures.volume_grids import (
    crop_map,
    field_on_grid,
    inverted,
    map_between,
    moved_points,
    resample,
    resize_map,
    sample,
    voxel_positions,
)
from visionzoo.structures.volumes import Volume, orientation_of

RNG = np.random.RandomState(0)
AFFINE = np.array([[-1.2, 0.3, 0.1, 10], [0.2, 0.9, -0.4, -20], [0.1, 0.35, 2.1, 5], [0, 0, 0, 1]])


def reoriented(data, affine, order, flips):
    """Return the same image with its axes in another order and direction."""
    turned = np.transpose(data, order)
    change = np.eye(4)[:, [*order, 3]]
    for axis in flips:
        step = np.eye(4)
        step[axis, axis], step[axis, 3] = -1, turned.shape[axis] - 1
        change = change @ step
    return np.flip(turned, flips), affine @ change


@pytest.mark.parametrize(("order", "flips"), [((0, 1, 2), (0,)), ((2, 0, 1), ()), ((1, 0, 2), (0, 1, 2))])
def test_another_orientation_is_brought_to_the_grid_of_the_fixed_image(order, flips):
    fixed, notes = Volume(RNG.rand(5, 6, 7), AFFINE), []
    moving = Volume(*reoriented(fixed.data, AFFINE, order, flips))
    matrix = map_between(fixed, moving, notes.append)
    assert np.abs(resample(moving.data, matrix, fixed.shape) - fixed.data).max() < 1e-5
    assert orientation_of(moving.affine) in notes[0]
    assert orientation_of(fixed.affine) in notes[0]


def test_equal_grids_are_not_resampled_and_not_noted():
    volume = Volume(RNG.rand(5, 6), AFFINE)
    matrix = map_between(volume, Volume(RNG.rand(5, 6), AFFINE + 1e-6), pytest.fail)
    assert resample(volume.data, matrix, (5, 6)) is volume.data


def test_images_without_a_common_place_are_centred():
    far, notes = AFFINE.copy(), []
    far[:3, 3] += 500
    fixed = Volume(RNG.rand(5, 6, 7), AFFINE)
    matrix = map_between(fixed, Volume(RNG.rand(5, 6, 7), far), notes.append)
    assert np.abs(matrix - np.eye(3, 4)).max() < 1e-9
    assert "their centres are matched" in notes[0]


@pytest.mark.parametrize(
    ("fixed", "moving", "message"),
    [
        ((5, 6, 7), (5, 6, 8), "found 5x6x7 and 5x6x8 without both affines; resample one of them"),
        ((5, 6, 7), (5, 6), "expected a moving image of 3 axes like the fixed one, found 2 axes, 5x6"),
    ],
)
def test_grids_that_do_not_fit_are_one_sentence(fixed, moving, message):
    with pytest.raises(DataError, match=message):
        map_between(Volume(np.zeros(fixed), AFFINE), Volume(np.zeros(moving)), pytest.fail)


def test_a_missing_affine_of_images_of_one_shape_is_noted():
    notes = []
    map_between(Volume(np.zeros((4, 5)), AFFINE), Volume(np.zeros((4, 5))), notes.append)
    assert notes == ["the moving image has no affine, so the images are compared voxel by voxel"]


@pytest.mark.parametrize("grid", [crop_map, resize_map])
@pytest.mark.parametrize(("shape", "size"), [((9, 8, 7), (6, 12, 7)), ((9, 8), (5, 6))])
def test_a_field_returns_from_another_grid(grid, shape, size):
    matrix = grid(shape, size)
    linear = 0.02 * RNG.randn(len(shape), len(shape) + 1)  # linear interpolation is exact for a linear field
    positions = voxel_positions(np.zeros((len(shape), *shape)))
    there = moved_points(inverted(matrix), positions)
    inside = ((there >= 0) & (there <= np.reshape(size, (-1, *[1] * len(shape))) - 1)).all(axis=0)
    working = voxel_positions(np.zeros((len(shape), *size)))
    scale = np.diag(1 / np.diag(matrix))
    field = np.tensordot(scale, moved_points(linear, moved_points(matrix, working)), axes=1)
    back = field_on_grid(field, matrix, shape)
    assert inside.any()
    assert np.abs(back - moved_points(linear, positions))[:, inside].max() < 1e-5


def test_sampling_is_linear_to_0_at_the_border_and_keeps_labels():
    labels = np.array([[1, 5], [7, 9]], np.int16)
    assert sample(labels, np.array([[-0.5], [0.0]])) == 0.5
    assert sample(labels, np.array([[0.6], [0.4]]), nearest=True) == 7
