"""Probability maps to points on rows: a curve is recovered, rows and columns are truncated, points may be missing."""

from __future__ import annotations

import numpy as np
import pytest

from visionzoo.errors import DataError, UnknownName
from visionzoo.ops.lane_points import MISSING, blurred, lanes_of_maps, sample_rows

KINDS = {"culane": dict(size=(590, 1640), gap=20, points=18), "tusimple": dict(size=(720, 1280), gap=10, points=56)}


def maps_of(curve, size=(144, 400), lanes=1, width=3.0):
    """Return maps (K + 1, h, w): all lanes along ``curve``, which returns the column of each row."""
    rows, columns = np.arange(size[0])[:, None], np.arange(size[1])[None]
    prob = np.exp(-(((columns - curve(rows)) / width) ** 2)).astype(np.float32)
    return np.stack([1 - prob] + [prob] * lanes)


def curve(rows):
    """Return a column for each row of 144: a bend in the right half."""
    return 210 + 0.5 * (144 - rows) + 0.004 * (144 - rows) ** 2


@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_a_perfect_map_returns_its_curve(kind, smooth):
    settings = KINDS[kind]
    (lane,) = lanes_of_maps(maps_of(curve), [1], kind=kind, smooth=smooth, **settings)
    height, width = settings["size"]
    lane = lane[lane[:, 0] != MISSING]
    expected = curve(lane[:, 1] / height * 144) / 400 * width
    assert len(lane) > 15
    assert np.abs(lane[:, 0] - expected).max() < 2.5 * width / 400  # a pixel of the map, and a row's slope
    assert (np.diff(lane[:, 1]) == -settings["gap"]).all()


def test_rows_of_both_benchmarks():
    prob = maps_of(lambda rows: 200 + 0 * rows)
    (culane,) = lanes_of_maps(prob, [1], kind="culane", **KINDS["culane"])
    assert culane[:, 1].tolist() == [589.0 - 20 * step for step in range(18)]
    (tusimple,) = lanes_of_maps(prob, [1], kind="tusimple", **KINDS["tusimple"])
    assert tusimple[:, 1].tolist() == [710.0 - 10 * step for step in range(56)]
    assert culane[:, 0].tolist() == [820.0] * 18
    assert tusimple[:, 0].tolist() == [640.0] * 56


@pytest.mark.parametrize(("kind", "height", "count"), [("culane", 144, 4), ("tusimple", 144, 7), ("culane", 100, 2)])
def test_defaults_are_the_lower_half_of_the_map(kind, height, count):
    prob = maps_of(lambda rows: 20 + 0 * rows, size=(height, 40))
    (lane,) = lanes_of_maps(prob, [1], kind=kind)
    assert len(lane) == count
    assert set(lane[:, 0]) == {20.0}


def test_rows_and_columns_are_truncated():
    """Row 20 of 590 is at 144 - 4.88 - 1 = 138.1 of 144, and column 7 of 400 at 28.7 of 1640."""
    prob = np.zeros((144, 400), np.float32)
    prob[143, 7] = prob[138, 7] = 1
    points = sample_rows(prob, "culane", (590, 1640), 20, 18)
    assert points[:2].tolist() == [[28.0, 589.0], [28.0, 569.0]]
    assert (points[2:, 0] == MISSING).all()


def test_what_counts_as_no_point():
    prob = np.zeros((40, 50), np.float32)
    prob[39, 10], prob[19, 0] = 0.9, 0.9  # column 0 means no point
    assert lanes_of_maps(np.stack([1 - prob, prob]), [1], smooth=False, points=2) == [None]
    prob[19, 12] = 0.95
    (lane,) = lanes_of_maps(np.stack([1 - prob, prob]), [1], smooth=False, points=2)
    assert lane.tolist() == [[10.0, 39.0], [12.0, 19.0]]
    prob[19, 12] = 0.9
    prob[19, 0] = 0  # a probability must be greater than the threshold
    assert lanes_of_maps(np.stack([1 - prob, prob]), [1], smooth=False, points=2, threshold=0.9) == [None]


def test_rows_above_the_image_are_left_out():
    prob = maps_of(lambda rows: 20 + 0 * rows, size=(40, 50))
    (lane,) = lanes_of_maps(prob, [1], points=9)
    assert lane[:, 1].tolist() == [39.0, 19.0]
    (lane,) = lanes_of_maps(prob, [1], kind="tusimple", points=9)
    assert lane[:, 0].tolist() == [20.0] * 4 + [MISSING] * 5  # rows 30, 20, 10 and 0


def test_lanes_that_do_not_exist_are_none_and_keep_their_places():
    prob = maps_of(curve, lanes=3)
    lanes = lanes_of_maps(prob, [0, True, 0.0], **KINDS["culane"])
    assert [lane is None for lane in lanes] == [True, False, True]
    assert lanes_of_maps(prob, [0, 0, 0]) == [None, None, None]
    assert lanes_of_maps(np.zeros((4, 20, 30), np.float32), [1, 1, 1]) == [None, None, None]


def test_blur_is_the_mean_where_the_border_repeats():
    prob = np.random.default_rng(0).random((11, 7), np.float32)
    padded = np.pad(prob, 4, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (9, 9))
    np.testing.assert_allclose(blurred(prob), windows.mean((2, 3)), atol=1e-6)
    np.testing.assert_array_equal(blurred(np.asfortranarray(prob)), blurred(prob))


def test_what_does_not_fit_is_refused():
    with pytest.raises(UnknownName, match="'culane2'; did you mean 'culane'"):
        lanes_of_maps(np.zeros((2, 4, 5)), [1], kind="culane2")
    with pytest.raises(DataError, match=r"found shape \(2, 4, 5\) and 4"):
        lanes_of_maps(np.zeros((2, 4, 5)), [1, 1, 1, 1])
    with pytest.raises(DataError, match=r"found shape \(4, 5\)"):
        lanes_of_maps(np.zeros((4, 5)), [1, 1, 1])
