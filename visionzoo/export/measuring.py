"""Metric of an exported file on the validation data of a config, by the metric of the config."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.evaluator import Evaluator
from mmengine.registry import EVALUATOR, DefaultScope

from visionzoo.engine.loaders import build_dataset
from visionzoo.inference.exported import exported_backend
from visionzoo.inference.tested_file import tested_sample
from visionzoo.registry import SCOPE


def measured(cfg: Mapping[str, Any], path: Path, most: int | None = None) -> dict[str, float]:
    """Run an exported file on the validation data of a config, one image at a time, and return its metrics.

    Args:
        cfg: config with ``val_dataloader`` and ``val_evaluator``.
        path: the file.
        most: largest number of images; None for all.
    """
    backend = exported_backend(path, None, device="cpu")
    dataset = build_dataset(cfg["val_dataloader"]["dataset"], where="val_dataloader.dataset")
    given = copy.deepcopy(cfg["val_evaluator"])
    with DefaultScope.overwrite_default_scope(SCOPE):
        is_whole = isinstance(given, Mapping) and "metrics" in given
        evaluator = EVALUATOR.build({"type": "Evaluator", **given}) if is_whole else Evaluator(given)
    evaluator.dataset_meta = dataset.metainfo
    count = len(dataset) if most is None else min(most, len(dataset))
    for index in range(count):
        packed = dataset[index]
        sample = tested_sample(backend, packed["inputs"], packed["data_samples"])
        evaluator.process([sample.to_dict()], {})
    return {name: float(value) for name, value in evaluator.evaluate(count).items()}
