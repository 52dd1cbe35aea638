"""Registration measures against formulas, and their rules for absent labels, outsides and small grids."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from visionzoo.errors import DataError, UnknownName
from visionzoo.metrics.registration import (
    count_folds,
    dice_of_labels,
    hausdorff_95,
    labels_of,
    landmark_errors,
    log_spread_l2r,
    score_pair,
    warp_labels,
)
from visionzoo.ops.warp import warp


def blobs(shape, seed=0, count=4):
    """Draw a map of smooth regions."""
    noise = np.random.default_rng(seed).normal(size=(count, *shape))
    return ndimage.gaussian_filter(noise, (0, *[2] * len(shape))).argmax(0)


def shift(shape, axis, size):
    field = np.zeros((len(shape), *shape), np.float32)
    field[axis] = size
    return field


@pytest.mark.parametrize("shape", [(13, 20), (9, 8, 11)])
@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int64, np.float32, bool])
def test_dice_is_its_definition(shape, kind):
    first, second = blobs(shape).astype(kind), blobs(shape, 1).astype(kind)
    labels = [0, 1, 2, 3, 8]
    expected = [
        2 * np.sum((first == label) & (second == label)) / max(1, np.sum(first == label) + np.sum(second == label))
        for label in labels
    ]
    np.testing.assert_allclose(dice_of_labels(first, second, labels), expected, rtol=1e-12)


def test_labels_may_be_far_apart_or_negative():
    first = np.array([[-5, 2**30], [7, 7]])
    second = np.array([[-5, 7], [2**30, 7]])
    np.testing.assert_allclose(dice_of_labels(first, second, [-5, 7, 2**30]), [1, 0.5, 0])
    assert labels_of(first, second) == [-5, 7, 2**30]
    assert set(np.unique(warp_labels(first, np.zeros((2, 2, 2))))) == {-5, 7, 2**30}


@pytest.mark.parametrize("spacing", [None, (1.0, 2.0, 0.5)])
def test_hausdorff_is_that_of_all_pairs_of_surface_voxels(spacing):
    first, second = blobs((9, 12, 10)), blobs((9, 12, 10), 1)
    found = hausdorff_95(first, second, [1, 2, 3, 9], spacing)
    assert np.isnan(found[3])
    for label, distance in zip([1, 2, 3], found):
        points = [
            np.argwhere((each == label) & ~ndimage.binary_erosion(each == label)) * (spacing or (1, 1, 1))
            for each in (first, second)
        ]
        between = np.linalg.norm(points[0][:, None] - points[1][None], axis=-1)
        expected = max(np.percentile(between.min(axis), 95) for axis in (0, 1))
        assert distance == pytest.approx(expected)


@pytest.mark.parametrize("shape", [(13, 20), (9, 8, 11)])
def test_warped_labels_follow_the_field(shape):
    labels = blobs(shape).astype(np.int16)
    for interpolation in ("nearest", "onehot"):
        moved = warp_labels(labels, shift(shape, 1, 2.0), interpolation)
        assert moved.dtype == labels.dtype
        np.testing.assert_array_equal(moved[:, :-2], labels[:, 2:])
        assert (moved[:, -2:] == 0).all()
        np.testing.assert_array_equal(warp_labels(labels, shift(shape, 0, 0.0), interpolation), labels)


def test_onehot_is_the_largest_of_all_maps():
    labels, field = blobs((15, 18)), np.random.default_rng(0).normal(size=(2, 15, 18))
    maps = torch.from_numpy(np.eye(4)[labels].transpose(2, 0, 1).copy())[None]
    expected = warp(maps, torch.from_numpy(field)[None])[0].argmax(0)
    np.testing.assert_array_equal(warp_labels(labels, field, "onehot"), expected)


def test_folds_by_both_conventions():
    determinants = np.ones((5, 6, 7))
    determinants[0, 0, 0], determinants[2, 2, 2], determinants[2, 3, 3] = -1, 0, -2
    assert count_folds(determinants) == 3
    assert count_folds(determinants, interior=True) == 1
    assert count_folds(-np.ones((1, 2)), interior=True) == 2


def test_learn2regs_spread_ignores_two_voxels_at_the_border():
    determinants = np.ones((7, 8))
    determinants[1], determinants[:, -2] = 9, -9
    assert log_spread_l2r(determinants) == 0
    determinants[3, 3] = -50
    inner = np.ones((3, 4))
    inner[1, 1] = -50
    assert log_spread_l2r(determinants) == pytest.approx(np.log(np.clip(inner + 3, 1e-9, None)).std())


@pytest.mark.parametrize(("spacing", "lengths"), [(None, (1, 1, 1)), ((2, 1, 0.5), (2, 1, 0.5))])
def test_landmark_errors_between_voxels(spacing, lengths):
    field = np.stack(np.indices((6, 7, 8))).astype(float) * 0.1  # linear, so that interpolation is exact
    fixed = np.array([[1.5, 2.25, 3.0], [0, 0, 0]])
    moving = fixed * 1.1 + [[0, 3, 4], [1, 0, 0]]
    expected = np.linalg.norm(np.array([[0, 3, 4], [1, 0, 0]]) * lengths, axis=1)
    np.testing.assert_allclose(landmark_errors(fixed, moving, field, spacing), expected)


def test_landmarks_outside_the_grid_are_a_percentage():
    points = np.array([[0, 0], [3.4, 4], [3.6, 4], [1, -2]])
    scores = score_pair(np.zeros((2, 4, 5)), points=(points, points - 3))
    assert scores["tre_outside"] == 50


def test_rules_of_absent_labels():
    first, second = np.array([[1, 1, 2, 0]] * 4), np.array([[1, 1, 3, 0]] * 4)
    field = np.zeros((2, 4, 4))
    either = score_pair(field, labels=(first, second))
    both = score_pair(field, labels=(first, second), rule="both", per_label=True)
    assert (either["dice"], either["labels"]) == (pytest.approx(1 / 3), 3)
    assert (both["dice"], both["labels"], both["dice/1"]) == (1, 1, 1)
    chosen = score_pair(field, labels=(first, second), only=[1, 9], rule="either")
    assert (chosen["dice"], chosen["labels"]) == (1, 1)


def test_a_warped_label_map_replaces_the_field():
    fixed, moving, field = blobs((9, 12)), blobs((9, 12), 1), np.zeros((2, 9, 12))
    scores = score_pair(
        field, labels=(fixed, moving), warped_labels=fixed.astype(np.float32), interpolations=("nearest", "onehot")
    )
    assert scores["dice"] == 1 > scores["dice_before"] == scores["dice_onehot"]
    with pytest.raises(DataError, match="grid of the fixed image"):
        score_pair(field, labels=(fixed, moving), warped_labels=fixed[1:])


def test_empty_label_maps_have_no_dice():
    empty = np.zeros((5, 6), int)
    scores = score_pair(np.zeros((2, 5, 6)), labels=(empty, empty), interpolations=("nearest", "onehot"))
    assert scores["labels"] == 0
    assert not {"dice", "dice_before", "dice_onehot", "hd95"} & set(scores)


@pytest.mark.parametrize("shape", [(23, 30), (17, 14, 19)])
def test_a_right_field_improves_every_measure(shape):
    moving = blobs(shape)
    image = ndimage.gaussian_filter(moving.astype(float), 1)
    field = shift(shape, 0, 3.0)
    fixed = warp_labels(moving, field)
    points = np.full((4, len(shape)), 5.0) + np.arange(4)[:, None]
    scores = score_pair(
        field,
        images=(np.roll(image, -3, axis=0), image),
        labels=(fixed, moving),
        points=(points, points + np.eye(len(shape))[0] * 3),
        interpolations=("nearest", "onehot"),
    )
    for higher in ("dice", "ncc", "mi", "ssim"):
        assert scores[higher] > scores[f"{higher}_before"]
    for lower in ("hd95", "tre"):
        assert scores[lower] == 0 < scores[f"{lower}_before"]
    assert scores["dice"] == scores["dice_onehot"] == 1
    assert scores["folded"] == scores["folded_interior"] == 0
    assert scores["sdlogj"] == pytest.approx(0, abs=1e-9)


def test_a_fold_is_a_percentage():
    field = np.zeros((2, 10, 20), np.float32)
    field[1, 4, 9] = 4.0
    scores = score_pair(field)
    assert scores["folded"] == scores["folded_interior"] * (8 * 18) / 200 == 0.5


LABELS = np.zeros((4, 5), int)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(labels=(LABELS, LABELS[:3])), DataError, "grid of the fixed image"),
        (dict(labels=(LABELS[:3], LABELS[:3])), DataError, "one grid"),
        (dict(labels=(LABELS, LABELS + 0.5)), DataError, "whole numbers, found 0.5"),
        (dict(labels=(LABELS, LABELS), rule="all"), UnknownName, "either"),
        (dict(interpolations=["linear"]), UnknownName, "nearest"),
        (dict(images=(LABELS, LABELS[:3])), DataError, "images: expected"),
        (dict(points=([[1, 2]], [[1, 2], [3, 4]])), DataError, "partner"),
        (dict(points=([[1, 2, 3]], [[1, 2, 3]])), DataError, "2 coordinates"),
    ],
)
def test_refused_pairs(options, error, message):
    with pytest.raises(error, match=message):
        score_pair(np.zeros((2, 4, 5)), **options)
