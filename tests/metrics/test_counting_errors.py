"""Errors of counts: MAE, RMSE, NAE, folds, NWPU-Crowd's categories, and GAME against its recursive definition."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from visionzoo.errors import DataError
from visionzoo.metrics.counting import CountErrors, count_errors, game, mean_over_folds, nwpu, nwpu_errors


@pytest.fixture
def messages(monkeypatch):
    values = []
    monkeypatch.setattr(nwpu, "print_log", lambda text, *_: values.append(text))
    return values


def test_errors_by_hand():
    errors = count_errors([12, 3, 1], [10, 4, 0])
    assert errors.row() == pytest.approx((4 / 3, np.sqrt(2), (0.2 + 0.25) / 2))
    assert errors.images == 3


def test_rmse_is_at_least_mae_and_scales():
    rng = np.random.default_rng(0)
    for _ in range(20):
        pred, gt = rng.random(9) * 100, rng.integers(1, 100, 9)
        errors, twice = count_errors(pred, gt), count_errors(2 * pred, 2 * gt)
        assert errors.rmse >= errors.mae
        assert twice.row() == pytest.approx((2 * errors.mae, 2 * errors.rmse, errors.nae))


def test_images_without_people_have_no_nae_and_no_images_no_error():
    assert count_errors([2.0, 0.0], [0, 0]) == CountErrors(1.0, np.sqrt(2.0), -1.0, 2)
    assert count_errors([], []) == CountErrors(-1.0, -1.0, -1.0, 0)


@pytest.mark.parametrize(
    ("pred", "gt", "words"),
    [([1.0], [1, 2], "found 1 and 2"), ([np.nan, 1.0], [1, 2], "found 1 that are not")],
)
def test_counts_that_cannot_be_compared(pred, gt, words):
    with pytest.raises(DataError, match=words):
        count_errors(pred, gt)


def test_mean_over_folds_is_of_errors_not_of_images():
    folds = [count_errors([10.0], [12]), count_errors([5.0, 5.0], [1, 9])]
    means = mean_over_folds(folds)
    assert means.row() == pytest.approx(((2 + 4) / 2, (2 + 4) / 2, (2 / 12 + (4 + 4 / 9) / 2) / 2))
    assert means.images == 3
    for wrong in ([], [*folds, count_errors([], [])]):
        with pytest.raises(DataError, match="folds: expected one or more, each with images"):
            mean_over_folds(wrong)


def test_nwpu_by_level_and_luminance(messages):
    pred, gt = [1.0, 12.0, 300.0, 700.0, 6000.0], [0, 10, 280, 800, 5500]
    errors = nwpu_errors(pred, gt, [0, 1, 2, 3, 4], [0, 0, 1, 2, 3])
    assert [each.mae for each in errors.level] == [1, 2, 20, 100, 500]
    assert errors.level[0].nae == -1
    assert errors.luminance[0].mae == 1.5
    assert errors.overall.mae == pytest.approx(623 / 5)
    assert errors.mean_mae == pytest.approx((623 / 5, (1.5 + 20 + 100 + 500) / 4))
    assert not messages


def test_an_empty_category_is_minus_one_in_the_mean_with_a_note(messages):
    errors = nwpu_errors([4.0, 8.0], [2, 9], [1, 2], [0, 3])
    assert errors.level[4].row() == (-1, -1, -1)
    assert errors.mean_mae == pytest.approx(((2 + 1 - 3) / 5, (2 + 1 - 2) / 4))
    assert [text.split(":")[0] for text in messages] == ["level", "luminance"]
    assert "no image of S0, S3, S4" in messages[0]


def test_an_unknown_category():
    with pytest.raises(DataError, match="level: expected a number from 0 to 4 for each of 2 images"):
        nwpu_errors([1.0, 2.0], [1, 2], [5, 0], [0, 0])
    with pytest.raises(DataError, match="luminance: expected a number from 0 to 3"):
        nwpu_errors([1.0, 2.0], [1, 2], [0, 0], [0])


# --- GAME ---


def recursive_game(pred, gt, level):
    if level == 0:
        return abs(pred.sum() - gt.sum())
    rows, columns = pred.shape[0] // 2, pred.shape[1] // 2
    parts = [np.s_[:rows, :columns], np.s_[:rows, columns:], np.s_[rows:, :columns], np.s_[rows:, columns:]]
    return sum(recursive_game(pred[part], gt[part], level - 1) for part in parts)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (16, 16), (75, 101)])
def test_game_is_its_recursion(shape):
    rng = np.random.default_rng(1)
    pred, gt = rng.random(shape), (rng.random(shape) > 0.9).astype(float)
    values = [game(pred, gt, level) for level in range(5)]
    assert values == pytest.approx([recursive_game(pred, gt, level) for level in range(5)], abs=1e-9)
    assert values[0] == pytest.approx(abs(pred.sum() - gt.sum()))
    assert all(coarse <= fine + 1e-9 for coarse, fine in pairwise(values))


def test_game_of_equal_maps_is_nothing_and_of_people_elsewhere_is_all():
    left, right = np.zeros((8, 8)), np.zeros((8, 8))
    left[0, 0] = right[7, 7] = 3
    assert [game(left, right, level) for level in range(3)] == [0, 6, 6]
    assert game(left, left, 3) == 0


@pytest.mark.parametrize(
    ("pred", "gt", "level"),
    [(np.zeros((4, 4)), np.zeros((4, 5)), 1), (np.zeros(4), np.zeros(4), 1), (np.zeros((4, 4)), np.zeros((4, 4)), -1)],
)
def test_maps_that_cannot_be_compared(pred, gt, level):
    with pytest.raises(DataError, match="GAME: expected two maps"):
        game(pred, gt, level)
