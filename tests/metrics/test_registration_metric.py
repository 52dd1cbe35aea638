"""RegistrationMetric: which values of samples it reads, means over pairs, names, and incomplete samples."""

from __future__ import annotations

import fnmatch

import numpy as np
import pytest
import torch

from visionzoo.errors import DataError, UnknownName
from visionzoo.metrics.registration import RegistrationMetric, score_pair
from visionzoo.registry import METRICS

SHAPE = (9, 12)


def sample(seed=0, **changes):
    """Draw a complete sample, or one without the values that are None."""
    rng = np.random.default_rng(seed)
    labels, points = rng.integers(0, 4, (2, *SHAPE)), rng.uniform(1, 8, (2, 3, 2))
    images = torch.from_numpy(rng.uniform(size=(2, 1, *SHAPE)).astype(np.float32))
    values = {
        "img_path": f"{seed}.nii.gz",
        "pred_field": torch.from_numpy(rng.normal(size=(2, *SHAPE)).astype(np.float32)) * 0.3,
        "gt_fixed_labels": labels[0],
        "gt_moving_labels": torch.from_numpy(labels[1]),
        "gt_fixed": images[0],
        "gt_moving": images[1],
        "gt_fixed_points": points[0],
        "gt_moving_points": points[1],
        "spacing": (2.0, 0.5),
    }
    return {key: value for key, value in (values | changes).items() if value is not None}


def evaluate(metric, *samples):
    metric.process(None, list(samples))
    return metric.evaluate(size=len(samples))


def test_numbers_are_means_of_pairs():
    metric = METRICS.build(dict(type="RegistrationMetric", interpolations=["nearest", "onehot"], per_pair=True))
    numbers = evaluate(metric, sample(0), sample(1))
    rows = metric.per_pair
    assert [row["image"] for row in rows] == ["0.nii.gz", "1.nii.gz"]
    for name in ("dice", "dice_onehot", "dice_before", "hd95", "tre", "ncc", "mi", "ssim", "sdlogj", "folded"):
        assert numbers[f"reg/{name}"] == pytest.approx((rows[0][name] + rows[1][name]) / 2)
    given = sample(1)
    pairs = {
        name: (given[f"gt_fixed{key}"], given[f"gt_moving{key}"])
        for name, key in (("images", ""), ("labels", "_labels"), ("points", "_points"))
    }
    expected = score_pair(given["pred_field"], **pairs, spacing=(2.0, 0.5), interpolations=("nearest", "onehot"))
    assert expected == {name: value for name, value in rows[1].items() if name != "image"}
    assert numbers["reg/pairs"] == 2


def test_a_field_is_enough():
    numbers = evaluate(RegistrationMetric(), {"pred_field": torch.zeros(3, 5, 6, 7)})
    assert numbers == {f"reg/{name}": 0.0 for name in ("folded", "folded_interior", "sdlogj", "sdlogj_l2r")} | {
        "reg/pairs": 1.0
    }


def test_means_are_over_the_pairs_that_have_labels():
    without = {name: None for name in sample() if "labels" in name}
    numbers = evaluate(RegistrationMetric(), sample(0), sample(1, **without))
    assert numbers["reg/dice"] == evaluate(RegistrationMetric(), sample(0))["reg/dice"]


def test_the_models_warped_image_counts():
    given = sample()
    numbers = evaluate(RegistrationMetric(), {**given, "pred_warped": given["gt_fixed"]})
    assert numbers["reg/ncc"] == pytest.approx(1, abs=1e-6)
    assert numbers["reg/ncc_before"] < 0.5


@pytest.mark.parametrize("options", [{}, dict(interpolations="onehot", per_label=True, distances=False)])
def test_possible_names_cover_the_measured_ones(options):
    metric = RegistrationMetric(**options)
    measured = [name.removeprefix("reg/") for name in evaluate(metric, sample())]
    assert [name for name in measured if not any(fnmatch.fnmatch(name, each) for each in metric.possible_names())] == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(pred_field=None), "pred_field in every sample"),
        (dict(gt_moving_labels=None), "gt_moving_labels in every sample, found none in 0.nii.gz"),
        (dict(gt_fixed_labels=np.zeros((3, 4), int)), r"0.nii.gz: labels: expected the grid of the fixed image"),
        (dict(gt_fixed_points=np.zeros((1, 2))), "0.nii.gz: landmarks"),
    ],
)
def test_incomplete_samples(changes, message):
    with pytest.raises(DataError, match=message):
        RegistrationMetric().process(None, [sample(**changes)])


def test_unknown_options():
    with pytest.raises(UnknownName, match="both"):
        RegistrationMetric(rule="bot")
    with pytest.raises(UnknownName, match="onehot"):
        RegistrationMetric(interpolations="one-hot")
