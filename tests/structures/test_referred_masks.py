"""What is found for a phrase: mask, score, thresholds, and nothing."""

import json

import numpy as np
import pytest

from visionzoo.errors import InputError
from visionzoo.structures.detections import decode_mask
from visionzoo.structures.referred_masks import referred_mask_of


def test_the_score_is_the_mean_over_the_mask_or_the_best_value():
    values = np.full((5, 7), 0.1, np.float32)
    values[1:3, 2:6] = 0.75
    found = referred_mask_of("box", values)
    assert (found.score, found.box, found.area) == (0.75, [2, 1, 6, 3], 8 / 35)
    none = referred_mask_of("disc", values * 0.5)
    assert (none.is_found, none.box, none.message) == (False, None, "nothing found (best 0.38)")


def test_the_models_decision_and_score_stay_unless_a_threshold_is_given():
    values, mask = np.linspace(0, 1, 35, dtype=np.float32).reshape(1, 5, 7), np.eye(5, 7, dtype=bool)
    own = referred_mask_of("a", values, mask, 0.9)
    assert own.score == 0.9
    assert (own.mask == mask).all()
    assert referred_mask_of("a", values, mask, 0.9, mask_threshold=0.8).mask.sum() == 7


def test_below_the_score_threshold_nothing_is_found():
    found = referred_mask_of("a", np.full((3, 4), 0.75, np.float32))
    assert found.above(0.75).is_found
    assert found.above(0.76).message == "nothing found (best 0.75)"
    assert found.above(0.76).to_row() == {
        "found": 0,
        "score": 0.75,
        "area": 0.0,
        "left": "",
        "top": "",
        "right": "",
        "bottom": "",
    }


def test_json_values_are_plain_and_hold_the_mask():
    values = np.zeros((9, 6), np.float32)
    values[2:5, 1:3] = 1
    found = referred_mask_of("a", values)
    read = json.loads(json.dumps(found.to_json()))
    assert (decode_mask(read["rle"]) == found.mask).all()


def test_a_map_that_is_not_finite_is_an_error():
    with pytest.raises(InputError, match="not finite"):
        referred_mask_of("a", np.full((2, 2), np.nan))
