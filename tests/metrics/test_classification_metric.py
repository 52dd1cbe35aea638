"""Accuracy against its definition by hand, ties, and results of several processes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from visionzoo.errors import ConfigError, DataError
from visionzoo.metrics.classification import ClassificationMetric, top_k_accuracy


def by_sorting(scores, labels, k):
    """Compute the definition, one image at a time; a stable sort resolves ties to the lower index."""
    hits = [label in np.argsort(-row, kind="stable")[:k] for row, label in zip(scores, labels)]
    return float(np.mean(hits))


def drawn(seed, count=200, classes=12, steps=None):
    draw = np.random.default_rng(seed)
    scores = draw.normal(size=(count, classes)) if steps is None else draw.integers(0, steps, (count, classes)) * 1.0
    return scores, draw.integers(0, classes, count)


@pytest.mark.parametrize("steps", [None, 3], ids=["distinct", "ties"])
@pytest.mark.parametrize("k", [1, 5, 12])
def test_top_k_is_the_definition(k, steps):
    scores, labels = drawn(3, steps=steps)
    assert top_k_accuracy(scores, labels, k) == by_sorting(scores, labels, k)


def test_nan_is_never_right():
    assert top_k_accuracy(np.array([[np.nan, 0.5], [0.1, 0.9]]), np.array([0, 1]), 1) == 0.5


def test_no_images_and_wrong_labels_are_errors():
    with pytest.raises(DataError, match="at least one image"):
        top_k_accuracy(np.zeros((0, 3)), np.zeros(0, dtype=int), 1)
    with pytest.raises(DataError, match=r"labels from 0 to 2.*found 0 to 3"):
        top_k_accuracy(np.zeros((2, 3)), np.array([0, 3]), 1)


def samples_of(scores, labels):
    return [{"gt_label": torch.tensor(label), "pred_score": torch.tensor(row)} for row, label in zip(scores, labels)]


def test_metric_reports_all_and_by_class():
    scores, labels = drawn(5)
    metric = ClassificationMetric(classwise=True)
    metric.dataset_meta = {"classes": [f"class {i}" for i in range(12)]}
    for start in range(0, 200, 32):
        metric.process({}, samples_of(scores[start : start + 32], labels[start : start + 32]))
    numbers = metric.evaluate(200)
    assert numbers["cls/top1"] == by_sorting(scores, labels, 1)
    assert numbers["cls/top5"] == by_sorting(scores, labels, 5)
    by_class = [float((scores[labels == c].argmax(1) == c).mean()) for c in range(12)]
    assert numbers["cls/mean_class"] == pytest.approx(np.mean(by_class))
    assert numbers["cls/top1/class 7"] == pytest.approx(by_class[7])
    row = metric.per_class["cls"][7]
    wrong = scores[labels == 7].argmax(1)
    wrong = wrong[wrong != 7]
    assert row["images"] == int((labels == 7).sum())
    assert row["mistaken_for"] == f"class {np.bincount(wrong).argmax()}"


def test_top_k_that_is_always_1_is_left_out():
    metric = ClassificationMetric()
    metric.process({}, samples_of(np.eye(3)[[0, 1, 1]], [0, 1, 2]))
    numbers = metric.evaluate(3)
    assert set(numbers) == {"cls/top1", "cls/mean_class"}
    assert numbers["cls/top1"] == pytest.approx(2 / 3)
    assert metric.per_class["cls"][0]["mistaken_for"] == "-"


def test_wrong_k_is_refused():
    with pytest.raises(ConfigError, match="topk: expected a whole number of at least 1"):
        ClassificationMetric(topk=(0,))


@pytest.mark.parametrize(
    ("sample", "lacking"), [({"pred_score": np.ones(3)}, "gt_label"), ({"gt_label": 1}, "pred_score")]
)
def test_a_sample_without_truth_or_prediction_is_an_error(sample, lacking):
    with pytest.raises(DataError, match=rf"expected {lacking} in every sample, found none in a\.png; the"):
        ClassificationMetric().process({}, [{"img_path": "a.png", **sample}])
