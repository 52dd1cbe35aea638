"""CULane's F1: drawing, matching and counting; equality with the official program is in tests/golden."""

from __future__ import annotations

from itertools import pairwise, permutations

import lane_drawings as long_way
import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from visionzoo.metrics.lanes import LaneCounts, count_matches, draw_lane, lane_iou, match_lanes, spline_points
from visionzoo.metrics.lanes.scenarios import numbers_of, scenario_sums, scenario_table

SIZE = (1640, 590)
LANE = np.array([[200.0, 590], [230, 540], [251, 500], [290, 450], [340, 390], [401, 320]])


def shifted(lane, right):
    return lane + np.array([right, 0.0])


# --- splines ---


def test_the_spline_is_the_natural_one_over_the_length_so_far():
    points = spline_points(LANE)
    length = np.concatenate([[0], np.hypot(*np.diff(LANE, axis=0).T).cumsum()])
    at = np.concatenate([np.linspace(a, b, 50, endpoint=False) for a, b in pairwise(length)] + [length[-1:]])
    assert points.shape == (251, 2)
    assert points.dtype == np.float32
    np.testing.assert_allclose(points, CubicSpline(length, LANE, bc_type="natural")(at), atol=1e-3)
    np.testing.assert_array_equal(points[::50], LANE.astype(np.float32))


@pytest.mark.parametrize("points", [0, 1, 2])
def test_few_points_are_unchanged(points):
    np.testing.assert_array_equal(spline_points(LANE[:points]), LANE[:points])


def test_three_points_and_equal_points():
    assert len(spline_points(LANE[:3])) == 101
    assert spline_points(LANE[[0, 1, 1, 2]]).shape == (0, 2)
    assert len(spline_points(LANE[[0, 1, 0]])) == 101  # a return to the first point is not a repetition


# --- drawing ---


@pytest.mark.parametrize(("size", "width"), [(SIZE, 30), ((328, 118), 6), ((211, 307), 8), ((400, 299), 15)])
def test_strips_are_opencvs_drawing_pixel_for_pixel(size, width):
    drawn_by_sides = 0
    for lane in long_way.random_lanes(np.random.default_rng(width), 60, size):
        strip = draw_lane(lane, size=size, width=width)
        image = np.zeros(size[::-1], np.uint8)
        left, top, right, bottom = strip.box
        image[top:bottom, left:right] = strip.mask.reshape(bottom - top, right - left)
        np.testing.assert_array_equal(image, long_way.image_of(lane, size, width))
        assert strip.area == image.sum()
        drawn_by_sides += strip.sides is not None
    assert drawn_by_sides > 10


def test_iou_is_that_of_whole_images():
    rng = np.random.default_rng(0)
    size, width = (328, 118), 6
    annotated, detected = long_way.random_lanes(rng, 9, size), long_way.random_lanes(rng, 8, size)
    annotated.append(annotated[0][:1])
    annotated.append(np.array([[-900.0, 5], [-800, 90]]))
    detected += [annotated[2], annotated[3][::-1], np.array([[-900.0, 5], [-700, 80]])]
    iou = lane_iou(annotated, detected, size=size, width=width)
    expected = np.array([[long_way.iou_of(one, other, size, width) for other in detected] for one in annotated])
    np.testing.assert_array_equal(iou, expected)
    assert iou[2, 8] == iou[3, 9] == 1.0
    assert np.isnan(iou[10, 10])


def test_a_lane_of_one_spot_and_one_far_away():
    spot = draw_lane(np.array([[50.0, 50], [50, 50]]))
    assert spot.area == long_way.image_of(np.array([[50.0, 50], [50, 50]]), SIZE, 30).sum()
    assert draw_lane(LANE[:1]) is None
    assert draw_lane(np.array([[1e12, 1e12], [2e12, -1e12]])).area == 0


def test_coordinates_are_rounded_half_to_even():
    lane = np.array([[100.5, 500.5], [101.5, 300.5]])
    np.testing.assert_array_equal(draw_lane(lane).mask, draw_lane(np.array([[100.0, 500], [102, 300]])).mask)


# --- matching ---


def test_the_matching_is_the_best_one_where_numbers_differ_enough():
    rng = np.random.default_rng(1)
    for rows, columns in [(1, 1), (2, 3), (3, 3), (4, 2), (4, 5)] * 8:
        similarity = rng.permutation(np.arange(rows * columns) / (rows * columns)).reshape(rows, columns)
        matches = match_lanes(similarity)
        total = sum(similarity[row, column] for row, column in enumerate(matches) if column >= 0)
        small = similarity if rows <= columns else similarity.T
        places = permutations(range(small.shape[1]), small.shape[0])
        best = max(sum(small[row, column] for row, column in enumerate(place)) for place in places)
        assert total > best - 0.01 * min(rows, columns) - 1e-12
        assert sum(column >= 0 for column in matches) == min(rows, columns)


def test_edges_within_a_hundredth_are_tight():
    # as in the official program, the first edge that is nearly as good as the best one is chosen
    assert match_lanes(np.array([[0.700, 0.705]])) == [0]
    assert match_lanes(np.array([[0.690, 0.705]])) == [1]


def test_matching_of_nothing_and_of_nan():
    assert match_lanes(np.zeros((0, 3))) == []
    assert match_lanes(np.zeros((2, 0))) == [-1, -1]
    assert match_lanes(np.array([[np.nan]])) == [-1]
    # a lane with only NaN similarities ends the search, and later lanes have no match
    assert match_lanes(np.array([[np.nan, np.nan], [0.9, 0.1]])) == [-1, -1]
    assert match_lanes(np.array([[0.9, 0.1], [np.nan, np.nan]])) == [0, -1]
    assert match_lanes(np.array([[0.0, 0.9], [np.nan, 0.0]])) == [0, 1]


# --- counting ---


def test_found_missed_and_invented_lanes():
    annotated = [LANE, shifted(LANE, 400), shifted(LANE, 800)]
    result = count_matches(annotated, [shifted(LANE, 805), shifted(LANE, 3), shifted(LANE, 1200), LANE[:1]])
    assert result.match == (1, -1, 0)
    assert result.counts == LaneCounts(2, 2, 1)
    assert result.similarity.shape == (3, 4)


def test_empty_sides():
    assert count_matches([], []).counts == LaneCounts()
    assert count_matches([], [LANE, LANE[:0]]).counts == LaneCounts(0, 2, 0)
    assert count_matches([LANE], []).counts == LaneCounts(0, 0, 1)


def test_odd_lanes_count_but_match_nothing():
    outside = shifted(LANE, 5000)
    odd = [LANE[:0], LANE[:1], LANE[[0, 1, 1, 2]], outside]
    assert count_matches(odd, odd).counts == LaneCounts(0, 4, 4)


def test_the_threshold_is_exclusive_and_can_be_lower():
    annotated, detected = [LANE], [shifted(LANE, 15)]
    iou = lane_iou(annotated, detected)[0, 0]
    assert 0.3 < iou < 0.5
    assert count_matches(annotated, detected).counts.tp == 0
    assert count_matches(annotated, detected, threshold=0.3).counts.tp == 1
    assert count_matches(annotated, detected, threshold=iou).counts.tp == 0


def test_a_smaller_image_with_a_lane_in_proportion():
    small = [lane * 0.2 for lane in (LANE, shifted(LANE, 300))]
    other = [lane + np.array([0.6, 0.0]) for lane in small]
    iou = lane_iou(small, other, size=(328, 118), width=6)
    full = lane_iou([lane * 5 for lane in small], [lane * 5 for lane in other])
    np.testing.assert_allclose(iou, full, atol=0.1)


# --- sums ---


def test_precision_and_recall_of_nothing_are_those_of_the_program():
    nothing = LaneCounts()
    assert (nothing.precision, nothing.recall, nothing.f1) == (-1.0, -1.0, 0.0)
    assert LaneCounts(0, 3, 0).recall == -1.0
    some = LaneCounts(3, 1, 2) + LaneCounts(1, 1, 0)
    assert (some.precision, some.recall) == (4 / 6, 4 / 6)
    assert some.f1 == pytest.approx(4 / 6)


def test_scenarios_in_order_and_cross_by_its_false_positives():
    results = [
        ("cross", LaneCounts(0, 2, 0)),
        ("night", LaneCounts(1, 0, 1)),
        ("normal", LaneCounts(2, 0, 0)),
        (None, LaneCounts(0, 1, 0)),
        ("night", LaneCounts(1, 0, 1)),
    ]
    scenarios = scenario_sums(results)
    assert list(scenarios) == ["normal", "cross", "night"]
    total = sum((counts for _, counts in results), LaneCounts())
    numbers = numbers_of(total, scenarios)
    assert numbers["FP/cross"] == 2.0
    assert "F1/cross" not in numbers
    assert numbers["F1/normal"] == 1.0
    assert numbers["F1/night"] == pytest.approx(2 / 3)
    assert (numbers["TP"], numbers["FP"], numbers["FN"]) == (4.0, 3.0, 2.0)
    lines = scenario_table(total, scenarios).splitlines()
    cross = next(line for line in lines if "cross" in line)
    assert cross.count("-") == 3
    assert any("total" in line and "61.54" in line for line in lines)
