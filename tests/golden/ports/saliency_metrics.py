"""Saliency measures against GCoNet+'s evaluator and py_sod_metrics: single pairs, a data set of pairs, its curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from visionzoo.metrics.saliency import PairScores, SaliencyScores, score_pair

SYSTEM = "saliency_metrics"
Arrays = dict[str, np.ndarray]

# By tool, the prefix of output names: the protocol, and the measures of its columns.
TOOLS = {
    "gconet_eval": ("gconet", ("Smeasure", "MAE", "Emeasure", "Fmeasure", "PR")),
    "pysod": ("pysod", ("Smeasure", "MAE", "Emeasure", "Fmeasure", "Fmeasure_weighted")),
}
COLUMNS = {
    "smeasure": "Smeasure",
    "mae": "MAE",
    "emax": "Emeasure_max",
    "emean": "Emeasure_mean",
    "eadp": "Emeasure_adaptive",
    "fmax": "Fmeasure_max",
    "fmean": "Fmeasure_mean",
    "fadp": "Fmeasure_adaptive",
    "wfm": "Fmeasure_weighted",
    "auc": "AUC",
    "ap": "AP",
}
NOT_A_NUMBER = -1.0  # the case stores this for the reference's NaN


def run(case: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Compute every output of both tools."""
    if not case["name"].startswith("suite"):
        raise LookupError(f"saliency_metrics: expected suite*, found {case['name']!r}")
    outputs: Arrays = {}
    for tool, (protocol, measures) in TOOLS.items():
        pairs = {
            name: score_pair(arrays[f"input:pred:{name}"], arrays[f"input:gt:{name}"], protocol, measures)
            for name in case["pairs"]
        }
        whole = SaliencyScores()
        for name in case["dataset_pairs"]:
            whole.add(pairs[name])
        columns = case["columns"][tool]
        outputs[f"{tool}_per_pair"] = np.array([_row(pairs[name], columns) for name in case["pairs"]])
        outputs[f"{tool}_dataset"] = _row(whole, columns)
        outputs[f"{tool}_dataset_E_curve"] = whole.curve("Emeasure")
        outputs[f"{tool}_dataset_F_curve"] = whole.curve("Fmeasure")
        for name, column in case.get("nan_in_reference", {}).get(f"{tool}_per_pair", []):
            at = case["pairs"].index(name), columns.index(column)
            outputs[f"{tool}_per_pair"][at] = _blank(outputs[f"{tool}_per_pair"][at], column, pairs[name])
        for column in np.ravel(case.get("nan_in_reference", {}).get(f"{tool}_dataset", [])).tolist():
            at = columns.index(column)
            outputs[f"{tool}_dataset"][at] = _blank(outputs[f"{tool}_dataset"][at], column, whole)
    return outputs


def tolerance(case: Mapping[str, Any], name: str, reference: np.ndarray) -> float | None:
    """GCoNet+'s evaluator computes in float32; the case has a larger tolerance for all its outputs."""
    return float(case["tolerance_gconet_eval"]) if name.startswith("gconet_eval") else None


def _row(scores: PairScores | SaliencyScores, columns: Sequence[str]) -> np.ndarray:
    numbers = scores.summary()
    return np.array([numbers[COLUMNS[column]] for column in columns])


def _blank(value: float, column: str, scores: PairScores | SaliencyScores) -> float:
    """Return NOT_A_NUMBER where the reference has NaN, if ours is finite and counted as undefined."""
    says_so = column == "smeasure" and scores.numbers["Smeasure_undefined"] > 0
    return NOT_A_NUMBER if says_so and np.isfinite(value) else value
