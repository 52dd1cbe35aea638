"""The comparisons themselves: values that are equal up to rounding pass, everything else fails."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from closeness import LAST_BITS, assert_close_up_to_rounding, assert_same_objects

from visionzoo.structures.detections import Detections

# As close as the scores of an untrained detector.
FOUND = Detections(
    boxes=np.array([[10, 10, 20, 20], [30, 10, 40, 20], [50, 10, 60, 20]], np.float32),
    scores=np.array([0.01042, 0.01039, 0.01034], np.float32),
    labels=np.array([0, 1, 0]),
    size=(90, 60),
)


def test_boxes_may_swap_places():
    assert_same_objects(FOUND, FOUND.at(np.array([1, 0, 2])))


def test_the_last_box_may_be_another_one_of_the_same_score():
    boxes = FOUND.boxes.copy()
    boxes[2] += 25
    scores = FOUND.scores + np.array([0, 0, LAST_BITS / 2], np.float32)
    assert_same_objects(FOUND, replace(FOUND, boxes=boxes, scores=scores))


@pytest.mark.parametrize("row", [0, 1])
@pytest.mark.parametrize("change", ["box", "label", "score"])
def test_another_object_is_not_the_same(row, change):
    boxes, labels, scores = FOUND.boxes.copy(), FOUND.labels.copy(), FOUND.scores.copy()
    boxes[row, 0] += 0.01 if change == "box" else 0
    labels[row] += change == "label"
    scores[row] += 0.001 if change == "score" else 0
    with pytest.raises(AssertionError):
        assert_same_objects(FOUND, replace(FOUND, boxes=boxes, labels=labels, scores=scores))


def test_another_number_of_objects_is_not_the_same():
    with pytest.raises(AssertionError):
        assert_same_objects(FOUND, FOUND.at(np.array([0, 1])))


def test_rounding_grows_with_the_root_of_the_additions():
    values = torch.linspace(-1, 1, 100)
    other = values + 5 * torch.finfo(torch.float32).eps
    assert_close_up_to_rounding(other, values, additions=100)
    with pytest.raises(AssertionError):
        assert_close_up_to_rounding(other, values, additions=4)
