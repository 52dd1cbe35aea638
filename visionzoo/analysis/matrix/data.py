"""The data of a head: one small training batch and one validation batch of the tiny twin of its config."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any

from visionzoo.config import load_config
from visionzoo.config.image_size import image_size_settings
from visionzoo.config.options import parse_options
from visionzoo.engine.loaders import build_dataset, build_loader, class_names
from visionzoo.errors import ConfigError
from visionzoo.models.class_counts import ClassCounts
from visionzoo.tasks import task_of

# Sizes (H, W) or sides of square images in pixels. The first one that a config accepts is used.
_SIZES = ("64,96", "64")

_BATCH, _SEED = 2, 0


@dataclass(frozen=True)
class HeadData:
    """Batches of a head, as its loaders return them.

    Attributes:
        train: two training samples, or one pair of groups; None for a head without training.
        val: one or two validation samples.
        records: values of the validation samples before the pipeline.
        counts: numbers of classes; None for data without classes.
        names: class names, or None.
        model: ``model`` of the config at the size of the images, with score thresholds of 0.
    """

    train: Any
    val: Any
    records: Sequence[Mapping[str, Any]]
    counts: ClassCounts | None
    names: tuple[str, ...] | None
    model: Mapping[str, Any]

    def batch(self, split: str) -> Any:
        """Return a copy of the batch of ``train`` or ``val``, because models change samples."""
        return copy.deepcopy(getattr(self, split))


@cache
def head_data(config: str) -> HeadData:
    """Return the data of the tiny variant of a config; the same object for every call."""
    loaded = _loaded(config)
    cfg = loaded.cfg
    train = None
    if cfg.get("train_dataloader") is not None:
        _, train = _first_batch(cfg.train_dataloader, "train_dataloader")
    dataset, val = _first_batch(cfg.val_dataloader, "val_dataloader")
    records = [dataset.get_data_info(index) for index in range(min(_BATCH, len(dataset)))]
    counts = ClassCounts.of(dataset.metainfo)
    return HeadData(train, val, records, counts, class_names(dataset), cfg.model)


def _loaded(config: str) -> Any:
    """Return the tiny variant with small images and with score thresholds of 0."""
    cfg = load_config(config, tiny=True).cfg
    given = parse_options(task_of(cfg.task).options(cfg.model))
    options = {".".join(path): value for path, value in given.items()}
    for size in _SIZES:
        try:
            options |= image_size_settings(cfg.to_dict(), size)
            break
        except ConfigError:  # the config keeps the size of its images, or needs squares
            continue
    return load_config(config, tiny=True, options=options, allow_new=True)


def _first_batch(cfg: Mapping[str, Any], where: str) -> tuple[Any, Any]:
    dataset = build_dataset(cfg["dataset"], where=f"{where}.dataset")
    settings = {**cfg, "num_workers": 0, "batch_size": min(_BATCH, cfg.get("batch_size", 1))}
    return dataset, next(islice(build_loader(settings, dataset, seed=_SEED), 1))
