"""The check of released weights that are part of visionzoo: the file loads, and repeats its stored prediction.

The model is the full one. It predicts the drawn images of a twin, as the config reads its own data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from visionzoo.cards.files import Card
from visionzoo.cards.schema import WeightsCheck
from visionzoo.config import load_config
from visionzoo.config.data_parts import tasks_of
from visionzoo.engine.loaders import build_dataset, build_loader
from visionzoo.structures.task_sample import is_of_task, sample_of_task
from visionzoo.tasks import task_of
from visionzoo.weights.ready_model import ready_model
from visionzoo.weights.released import released_file

# Scores of the surest predictions that are compared. Weaker ones may change places on another CPU.
_SUREST = 16


@torch.no_grad()
def measure_weights(card: Card, check: WeightsCheck) -> dict[str, Any]:
    """Return the surest scores of each drawn image, best first, as ``scores.0``, ``scores.1``, ...

    Raises:
        CheckpointError: the file is missing, damaged, or does not fit the model.
    """
    loaded = load_config(card.name)
    model: Any = ready_model(loaded, released_file(card.name, check.id))
    loader_cfg: Mapping[str, Any] = loaded.cfg.val_dataloader
    dataset = build_dataset({**loader_cfg["dataset"], "data_root": check.data}, where="val_dataloader.dataset")
    tasks = {name: task_of(name) for name in tasks_of(loaded.cfg)}
    numbers: dict[str, Any] = {}
    for batch in build_loader({**loader_cfg, "num_workers": 0}, dataset, seed=0):
        for sample in model.val_step(batch):
            for name in (name for name in tasks if is_of_task(sample, name)):
                scores = tasks[name].scores([sample_of_task(sample, name)])
                found = scores.double().flatten().sort(descending=True).values[:_SUREST]
                numbers[f"scores.{len(numbers)}"] = found.numpy().astype(np.float32)
    return numbers
