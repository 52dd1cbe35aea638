"""Boxes of two runs are paired; a box without a partner needs a reason of rounding."""

from __future__ import annotations

import numpy as np
import pytest

from visionzoo.graphs import pairing


def paired_boxes(expected, found, **settings):
    return pairing.paired_boxes(expected, found, overlap=0.5, **settings)


def results(scores, boxes=None, labels=None):
    """Return the results of one image; by default boxes that do not overlap, of one label."""
    count = len(scores)
    apart = np.array([[20.0 * row, 0, 20 * row + 10, 10] for row in range(count)])
    return {
        "boxes": np.array(apart if boxes is None else boxes, float)[None],
        "scores": np.array(scores, float)[None],
        "labels": np.array([0] * count if labels is None else labels)[None],
    }


def largest_gap(first, second):
    return max(np.abs(first[name] - second[name]).max(initial=0) for name in ("boxes", "scores"))


def test_a_lost_result_is_an_infinite_difference():
    boxes = np.array([[[0.0, 0, 4, 4], [9, 9, 12, 12], [0, 0, 0, 0]]])
    expected = {"boxes": boxes, "scores": np.array([[0.9, 0.5, 0.0]]), "labels": np.array([[0, 1, -1]])}
    found = {**expected, "labels": np.array([[0, 2, -1]])}
    first, second = paired_boxes(expected, found)
    assert np.isinf(np.abs(first["scores"] - second["scores"]).max())


def test_masks_are_paired_with_their_boxes():
    boxes, scores = np.array([[[0.0, 0, 4, 4], [9, 9, 12, 12]]]), np.array([[0.5, 0.5]])
    masks = np.arange(8.0).reshape(1, 2, 2, 2)
    expected = {"boxes": boxes, "scores": scores, "labels": np.array([[0, 0]]), "masks": masks}
    found = {name: value[:, ::-1] for name, value in expected.items()}
    first, second = paired_boxes(expected, found)
    assert set(first) == set(second) == set(expected)
    assert (first["masks"] == second["masks"]).all()


def test_equal_scores_of_the_last_place_are_either_of_two_boxes():
    scores = [0.9, 0.8, 0.7, 0.6, 0.5]
    expected, found = results(scores), results(scores)
    found["boxes"][0, -1] += 500
    first, second = paired_boxes(expected, found)
    assert len(first["scores"]) == 4
    assert largest_gap(first, second) == 0


def test_a_lost_box_with_free_places_is_a_difference():
    labels = [0, 0, 0, 0, 0, -1]
    expected, found = (results([0.9, 0.8, 0.7, 0.6, 0.5, 0.0], labels=labels) for _ in range(2))
    found["boxes"][0, 4] += 500
    assert largest_gap(*paired_boxes(expected, found)) > 10


def rivals(scores):
    """Return two runs with five other boxes, in which one of two overlapping boxes suppresses the other."""
    rest = [[20.0 * row, 0, 20 * row + 10, 10] for row in range(1, 6)]
    both = [0.0, 0, 10, 10], [0.0, 3, 10, 13]
    return [
        results([score, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0], [box, *rest, [0, 0, 0, 0]], [0] * 6 + [-1])
        for box, score in zip(both, scores, strict=True)
    ]


def test_a_box_of_an_equal_score_suppresses_another_one():
    first, second = paired_boxes(*rivals((0.9, 0.9 + 1e-7)))
    assert len(first["scores"]) == 5
    assert largest_gap(first, second) == 0


def test_a_box_of_another_score_never_suppresses_a_better_one():
    assert largest_gap(*paired_boxes(*rivals((0.9, 0.8)))) >= 3
    assert largest_gap(*paired_boxes(*rivals((0.8, 0.9)))) >= 3


def test_the_precision_of_the_scores_decides():
    runs = rivals((0.9, 0.89))
    assert largest_gap(*paired_boxes(*runs)) >= 3
    assert largest_gap(*paired_boxes(*runs, near=0.02)) == 0


@pytest.mark.parametrize("extra", ["expected", "found"])
def test_a_new_box_counts_as_a_lost_one(extra):
    runs = {
        "expected": results([0.9, 0.5, 0.0], labels=[0, 0, -1]),
        "found": results([0.9, 0.5, 0.0], labels=[0, 0, -1]),
    }
    runs[extra]["labels"][0, 2] = 0
    runs[extra]["scores"][0, 2] = 0.4
    first, second = paired_boxes(**runs)
    assert largest_gap(first, second) > 10
    assert first["labels"].tolist() != second["labels"].tolist()


def test_many_boxes_without_a_partner_need_one():
    scores = [0.9, 0.5, 0.5, 0.5, 0.5]
    expected, found = results(scores), results(scores)
    found["boxes"][0, 3:] += 500
    assert largest_gap(*paired_boxes(expected, found)) > 10
    found["boxes"][0, 3] -= 500
    assert largest_gap(*paired_boxes(expected, found)) == 0


def test_two_runs_without_results_are_equal():
    nothing = results([0.0, 0.0], labels=[-1, -1])
    first, second = paired_boxes(nothing, nothing)
    assert len(first["scores"]) == 0
    assert first["labels"].tolist() == second["labels"].tolist() == [0]
