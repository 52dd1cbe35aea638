"""Counts in results are never negative; their density and the metric keep the model's values."""

import numpy as np
import pytest

from visionzoo.metrics.counting import CountMetric
from visionzoo.structures.counts import count_of
from visionzoo.tasks import task_of

DENSITY = np.array([[-0.75, 0.25]], np.float32)


@pytest.mark.parametrize(("count", "shown"), [(-0.5, 0.0), (-0.0, 0.0), (0.25, 0.25), (7.0, 7.0)])
def test_results_have_no_negative_count(count, shown):
    found = count_of({"pred_count": count, "pred_density": DENSITY}, (4, 2))
    assert str(found.to_json()["count"]) == str(found.to_row()["count"]) == str(shown)
    np.testing.assert_array_equal(found.density, DENSITY)


def test_a_drawing_shows_zero():
    image = np.zeros((64, 96, 3), np.uint8)
    negative, zero = (count_of({"pred_count": count, "pred_density": DENSITY}, (96, 64)) for count in (-3.0, 0.0))
    draw = task_of("counting").draw
    np.testing.assert_array_equal(draw(image, negative, 1), draw(image, zero, 1))


def test_the_metric_reads_the_models_count():
    metric = CountMetric()
    metric.process(None, [{"pred_count": -3.0, "gt_count": 1}, {"pred_count": 2.0, "gt_count": 2}])
    assert metric.evaluate(size=2)["count/MAE"] == 2.0
    metric = CountMetric(game_levels=[0])
    sample = {"pred_count": -0.5, "pred_density": DENSITY, "gt_points": np.zeros((0, 2)), "ori_shape": (2, 4)}
    metric.process(None, [sample])
    assert metric.evaluate(size=1)["count/GAME0"] == 0.5
