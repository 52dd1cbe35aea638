"""Last-layer retraining in the suite geo-shift: features are computed once per model, heads are trained per seed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from visionzoo.algorithms.last_layer import LinearHead, retrain_head, share_of, training_labels
from visionzoo.inference.resuming import digest_of
from visionzoo.metrics.geo_shift import best_worst, europe_africa, groups_of, padded_labels
from visionzoo.metrics.geo_shift.correctness import correct_at, top_k
from visionzoo.suites._base import Rows, SuiteData
from visionzoo.suites._classifiers import Classifier
from visionzoo.suites._geo_shift_tables import KS, Settings
from visionzoo.suites._store import result_path
from visionzoo.system.atomic import write_file, write_text

_BATCH = 32


@dataclass(frozen=True)
class Recipe:
    """Settings of the retraining.

    Attributes:
        shares: shares of the training images; empty for no retraining.
        seeds: seeds of share and order of the images.
        epochs, lr: see :func:`visionzoo.algorithms.last_layer.retrain_head`.
    """

    shares: tuple[float, ...] = ()
    seeds: tuple[int, ...] = (0, 1, 2)
    epochs: int = 30
    lr: float = 1e-3


def retrain(
    model: Classifier,
    train: SuiteData,
    targets: Mapping[str, SuiteData],
    recipe: Recipe,
    settings: Settings,
    out: Path,
) -> Rows:
    """Retrain the last layer of a model for each share and seed, and write the numbers before and after.

    Args:
        model: its network does not change; only copies of its last layer are trained.
        train: training images.
        targets: data sets to measure.
        recipe: settings of the training.
        settings: settings of the numbers.
        out: folder of the suite; features and rows are stored there.

    Returns:
        Rows with share and seed; share 0 is the model before. Mean and deviation over the seeds follow.
    """
    head = LinearHead.of(model.last_layer())
    features = {name: features_of(model, each, out) for name, each in targets.items()}
    rows = [
        row
        for name, each in targets.items()
        for row in _rows(model, each, head.logits(features[name]), 0.0, None, settings)
    ]
    inputs = features_of(model, train, out, suffix="train")
    labels = training_labels([sample["gt_labels"] for sample in train.samples])
    for share in recipe.shares:
        for seed in recipe.seeds:
            chosen = share_of(len(labels), share, seed)
            new = retrain_head(head, inputs[chosen], labels[chosen], seed=seed, epochs=recipe.epochs, lr=recipe.lr)
            for name, each in targets.items():
                rows += _rows(model, each, new.logits(features[name]), share, seed, settings)
    rows += _summaries(rows, recipe)
    path = result_path(out, "retraining", model.name, model.digest).with_suffix(".json")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps({"recipe": asdict(recipe), "rows": rows}) + "\n")
    return rows


def rows_in(out: Path) -> Rows:
    """Return the rows of all models in a folder; nan is stored as such."""
    paths = sorted((out / "results" / "retraining").glob("*.json"))
    return [row for path in paths for row in json.loads(path.read_text(encoding="utf-8"))["rows"]]


def features_of(model: Classifier, data: SuiteData, out: Path, suffix: str = "test") -> np.ndarray:
    """Return the features of all images, (N, C) float32, from the cache in ``out`` if it has them."""
    key = digest_of({"model": model.digest, "ids": data.ids})
    path = out / "features" / f"{data.name}-{suffix}" / f"{key}.npy"
    if path.is_file():
        return np.load(path, allow_pickle=False)
    starts = range(0, len(data.samples), _BATCH)
    parts = [model.features(data, range(start, min(start + _BATCH, len(data.samples)))) for start in starts]
    features = np.concatenate(parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, lambda file: np.save(file, features))
    return features


def _rows(
    model: Classifier, data: SuiteData, logits: np.ndarray, share: float, seed: int | None, settings: Settings
) -> Rows:
    """Return accuracy and disparities of a data set at each k."""
    ids = [sample["id"] for sample in data.samples]
    regions = [sample["region"] for sample in data.samples]
    labels = padded_labels([sample["gt_labels"] for sample in data.samples], ids)
    correct = correct_at(top_k(logits, min(max(KS), logits.shape[1])), labels)
    rows = []
    for k in (k for k in KS if k <= correct.shape[1]):
        groups = groups_of(correct[:, k - 1], regions, data.about["regions"])
        about = {"model": model.name, "digest": model.digest, "data": data.name, "label_mode": settings.label_mode}
        numbers = {"images": len(ids), "accuracy": float(correct[:, k - 1].mean())}
        numbers |= {"best_worst": best_worst(groups).value, "europe_africa": europe_africa(groups).value}
        rows.append({**about, "k": k, "share": share, "seed": "" if seed is None else str(seed), **numbers})
    return rows


def _summaries(rows: Sequence[Mapping[str, Any]], recipe: Recipe) -> Rows:
    """Return mean and deviation over the seeds of each share, data set and k."""
    found: dict[tuple, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["seed"]:
            found.setdefault((row["data"], row["k"], row["share"]), []).append(row)
    made = []
    for group in found.values():
        for word, rule in (("mean", np.mean), ("deviation", _deviation)):
            numbers = {
                name: float(rule([row[name] for row in group])) for name in ("accuracy", "best_worst", "europe_africa")
            }
            made.append({**group[0], "seed": word, **numbers})
    return made


def _deviation(values: Sequence[float]) -> float:
    """Return the deviation of a sample, with n - 1; nan for one value."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
