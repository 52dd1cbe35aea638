"""Geographic shift: accuracy by region and income of DollarStreet and GeoDE, and progress rates of many models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from weights import golden_input

from visionzoo.metrics.geo_shift import (
    baseline_line,
    best_worst,
    correct_at,
    effective_robustness,
    fit_line,
    groups_of,
    padded_labels,
    progress_ratio,
    top_k,
)
from visionzoo.metrics.geo_shift.disparities import spread

SYSTEM = "geoshift"
Arrays = dict[str, np.ndarray]


def run(case: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Compute every output of a case."""
    if case["name"].startswith("progress_rates"):
        return _progress(case, arrays)
    if case["name"].startswith(("geode_", "dollarstreet")):
        return _accuracies(case)
    raise LookupError(f"geoshift: expected geode_*, dollarstreet* or progress_rates*, found {case['name']!r}")


# --- accuracies ---


def _accuracies(case: dict[str, Any]) -> Arrays:
    rows, regions = case["rows"], case["region_order"]
    of = [row.get("region") or row["Region"] for row in rows]
    labels = [row["labels"] for row in rows]
    top = top_k(_logits(case, labels, [regions.index(region) for region in of]), 5)
    correct = correct_at(top, padded_labels(labels))
    outputs: Arrays = {"top5": top, "overall": correct[:, [0, 4]].mean(axis=0)}
    for k in (1, 5):
        hits = correct[:, k - 1]
        outputs[f"correct_top{k}"] = hits.astype(np.uint8)
        outputs[f"region_acc{k}"] = np.array([each.accuracy for each in groups_of(hits, of, regions)])
        if "income_order" in case:
            incomes = groups_of(hits, [row["Income_Group"] for row in rows], case["income_order"])
            outputs[f"income_acc{k}"] = np.array([each.accuracy for each in incomes])
    outputs["disparity"] = np.array([best_worst(groups_of(correct[:, k - 1], of, regions)).value for k in (1, 5)])
    outputs["batch_mean"] = _mean_of_batches(correct[:, [0, 4]], case["constructor"]["batch_size"])
    return outputs


def _logits(case: dict[str, Any], labels: list[list[int]], regions: list[int]) -> np.ndarray:
    """Return the logits of the rule in the case: noise, and a bonus for one label that grows with the region."""
    rows, options = len(labels), case["constructor"]
    logits = golden_input("logits", (rows, options["num_classes"]), "normal", case["seed"])
    picks, bonus = (golden_input(name, (rows,), "uniform", case["seed"]) for name in ("pick", "bonus"))
    for row, listed in enumerate(labels):
        label = listed[int(picks[row] * len(listed))]
        logits[row, label] += np.float32(options["gain"] * (0.5 + bonus[row]) + 0.35 * regions[row])
    return logits


def _mean_of_batches(correct: np.ndarray, size: int) -> np.ndarray:
    """Return the mean over batches of the accuracy of each batch, which the released code logs."""
    return np.mean([correct[start : start + size].mean(axis=0) for start in range(0, len(correct), size)], axis=0)


# --- progress ---


def _progress(case: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    names = case["benchmarks"]
    accuracy = dict(zip(names, arrays["input:accuracy"].T, strict=True))
    imagenet, others = accuracy["imagenet"], names[1:]
    lines = {name: fit_line(imagenet, accuracy[name]) for name in others}
    is_baseline = arrays["input:is_clip"] == 0
    baselines = [baseline_line(imagenet, accuracy[name], is_baseline) for name in others]
    disparity = spread(arrays["input:region_accuracy"])
    trend = fit_line(imagenet, disparity)
    return {
        "progress_rate": np.array([lines[name].slope for name in others]),
        "progress_intercept": np.array([lines[name].intercept for name in others]),
        "progress_ratio": np.array(
            [[progress_ratio(lines[std], lines[geo]) for std in case["standard"]] for geo in case["geographic"]]
        ),
        "disparity": disparity,
        "disparity_rate": np.array([trend.slope, trend.intercept, trend.r]),
        "baseline_logit_fit": np.array([[line.slope, line.intercept] for line in baselines]),
        "effective_robustness": np.stack(
            [effective_robustness(imagenet, accuracy[name], is_baseline) for name in others], axis=1
        ),
    }
