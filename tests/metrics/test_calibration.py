"""Expected calibration error, against its formula image by image."""

from __future__ import annotations

import math

import numpy as np
import pytest

from visionzoo.errors import DataError
from visionzoo.metrics.calibration import calibration


def direct(confidence: np.ndarray, is_right: np.ndarray, bins: int) -> float:
    """Sum over bins ((b / B, (b + 1) / B]) of the share of images times |accuracy - confidence|."""
    total = 0.0
    for number in range(bins):
        inside = [
            place
            for place, value in enumerate(confidence)
            if number / bins < value <= (number + 1) / bins or (number == 0 and value == 0)
        ]
        if inside:
            gap = abs(float(np.mean(is_right[inside])) - float(np.mean(confidence[inside])))
            total += len(inside) / len(confidence) * gap
    return total


@pytest.mark.parametrize("seed", range(4))
def test_the_error_is_that_of_the_formula(seed: int) -> None:
    random = np.random.default_rng(seed)
    confidence = random.random(97) ** 0.3
    is_right = random.random(97) < confidence**2
    found = calibration(confidence, is_right)
    assert found.error == pytest.approx(direct(confidence, is_right, 15), abs=1e-12)
    assert found.counts.sum() == 97
    assert (found.counts * np.nan_to_num(found.accuracy)).sum() == pytest.approx(is_right.sum())


def test_edges_and_a_calibrated_model() -> None:
    found = calibration(np.array([0.0, 0.5, 1.0, 1.0]), np.array([False, False, True, True]), bins=2)
    assert found.counts.tolist() == [2, 2]
    assert found.error == pytest.approx(0.125)
    assert calibration(np.ones(3), np.ones(3, bool)).error == 0
    assert math.isnan(calibration(np.zeros(0), np.zeros(0, bool)).error)


@pytest.mark.parametrize("value", [1.2, -0.1, np.nan])
def test_what_is_no_probability_is_an_error(value: float) -> None:
    with pytest.raises(DataError, match="confidences from 0 to 1"):
        calibration(np.array([0.5, value]), np.array([True, False]))
