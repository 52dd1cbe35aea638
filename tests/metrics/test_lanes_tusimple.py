"""TuSimple's numbers; tests/golden checks that they equal the benchmark's program."""

from __future__ import annotations

import numpy as np
import pytest

from visionzoo.errors import DataError
from visionzoo.metrics.lanes import OneToOne, one_to_one, tusimple_scores
from visionzoo.metrics.lanes.tusimple import lane_angle, point_accuracy

ROWS = list(range(160, 720, 10))


def line(at, slope=0.0, first=0):
    """Return a lane: x at row 710, change of x per row, and the number of rows from the top without a point."""
    return [-2 if index < first else round(at + slope * (y - 710), 3) for index, y in enumerate(ROWS)]


def test_equal_lanes_are_perfect():
    lanes = [line(300, -0.5, 8), line(800, 0.7, 8)]
    assert tusimple_scores(lanes, lanes, ROWS) == (1.0, 0.0, 0.0)
    assert one_to_one(lanes, lanes, ROWS) == OneToOne(2, 0, 0)


def test_the_angle_widens_the_limit():
    assert lane_angle(np.array(line(600, 1.0)), ROWS) == pytest.approx(np.pi / 4)
    assert lane_angle(np.array([5.0] + [-2.0] * 55), ROWS) == 0.0
    slanted = line(600, 1.0, 4)
    near, far = (np.array([line(600 + off, 1.0, 4)]) for off in (28.2, 28.3))
    assert point_accuracy(near, np.array([slanted]), ROWS)[0, 0] == 1.0
    assert point_accuracy(far, np.array([slanted]), ROWS)[0, 0] == 4 / 56  # both lack the first four


def test_rows_that_both_lack_agree_and_limits_are_exclusive():
    truth = [line(600, 0, 28)]
    assert tusimple_scores([line(620, 0, 28)], truth, ROWS) == (0.5, 1.0, 1.0)
    assert tusimple_scores([line(619.9, 0, 28)], truth, ROWS) == (1.0, 0.0, 0.0)
    assert tusimple_scores([line(604, 0, 28)], truth, ROWS, pixels=4.0)[0] == 0.5


def test_one_prediction_for_two_lanes_makes_fp_negative_but_not_f1():
    truth = [line(600), line(605)]
    scores = tusimple_scores([line(602)], truth, ROWS)
    assert scores == (1.0, -1.0, 0.0)
    assert one_to_one([line(602)], truth, ROWS) == OneToOne(1, 0, 1)


def test_pairs_are_as_many_as_possible():
    # the first prediction matches both lanes, the second only the first lane
    truth, lanes = [line(600), line(615)], [line(610), line(590)]
    assert one_to_one(lanes, truth, ROWS) == OneToOne(2, 0, 0)


def test_with_more_than_four_lanes_one_miss_is_forgiven():
    truth = [line(x) for x in (100, 300, 500, 700, 900)]
    assert tusimple_scores(truth[:4], truth, ROWS) == (1.0, 0.0, 0.0)
    assert tusimple_scores(truth[:3], truth, ROWS) == (0.75, 0.0, 0.25)


def test_nothing_found_nothing_there_too_many_too_slow():
    truth = [line(300)]
    assert tusimple_scores([], truth, ROWS) == (0.0, 0.0, 1.0)
    assert tusimple_scores([], [], ROWS) == (0.0, 0.0, 0.0)
    assert tusimple_scores([line(300)], [], ROWS) == (0.0, 1.0, 0.0)
    assert tusimple_scores([line(x) for x in (300, 400, 500, 600)], truth, ROWS) == (0.0, 0.0, 1.0)
    assert tusimple_scores(truth, truth, ROWS, 200) == (1.0, 0.0, 0.0)
    assert tusimple_scores(truth, truth, ROWS, 200.5) == (0.0, 0.0, 1.0)
    assert OneToOne().f1 == 0.0


def test_a_lane_of_another_length():
    with pytest.raises(DataError, match=r"prediction of TuSimple: expected 56 numbers.* found 55"):
        tusimple_scores([line(300)[1:]], [line(300)], ROWS)
    with pytest.raises(DataError, match="annotation of TuSimple"):
        one_to_one([line(300)], [[]], ROWS)
