"""Build data sets and loaders from a config.

Differences from mmengine's builder: each sample is seeded (see ``seeding``), options that need workers are dropped if
there are no workers, and the start method of workers is set for the loader instead of the whole process.
"""

from __future__ import annotations

import copy
import random
import signal
from collections.abc import Callable, Mapping
from functools import partial
from types import FrameType
from typing import Any

import numpy as np
import torch
from mmengine.registry import DefaultScope
from torch.utils.data import BatchSampler, Subset

from visionzoo.config.data_parts import inner_data_sets, with_inner_data_sets
from visionzoo.engine.seeding import SeededBatches, SeededDataset, first_indices
from visionzoo.engine.workers import CarriesErrors, ZooLoader
from visionzoo.errors import ConfigError, DataError, UnknownName
from visionzoo.option_names import option
from visionzoo.registry import DATA_SAMPLERS, DATASETS, FUNCTIONS, SCOPE, TRANSFORMS
from visionzoo.structures.task_sample import TASKS

# Entries of metainfo that describe the classes; see :mod:`visionzoo.engine.numbering`.
_COMPARED = ("classes", "class_keys", "category_ids", "palette")
# Keys of metainfo that are only names for messages.
_NAMES = ("annotations",)

# Time for the main process to finish an iteration and to save, in which a worker outlives SIGTERM.
_SECONDS_AFTER_SIGTERM = 60

_WITH_WORKERS = ("persistent_workers", "prefetch_factor", "timeout", "multiprocessing_context")


def build_dataset(cfg: Mapping, *, where: str) -> Any:
    """Build a data set and read its annotations.

    Args:
        cfg: config of the data set. An integer ``indices`` >= 1 keeps the first ``indices`` samples, or all if there
            are fewer.
        where: path of the data set in the config, for messages.

    Raises:
        DataError: the data set has no samples.
        ConfigError: ``indices`` is less than 1, or data sets that are concatenated have different metainfo.
    """
    cfg, most = _without_limit(_concatenating_classes(copy.deepcopy(dict(cfg))))
    if isinstance(cfg.get("datasets"), Mapping):
        parts = [(path, part) for path, part in inner_data_sets(cfg) if isinstance(part, Mapping)]
        cfg = with_inner_data_sets(cfg, {path: build_dataset(part, where=f"{where}.{path}") for path, part in parts})
    try:
        dataset = _built(cfg)
    except (ValueError, TypeError) as error:
        if "need at least one array" in str(error):  # mmengine raises this when it packs an empty list
            raise _empty(where) from error
        if not _is_about_metainfo(error):
            raise
        raise _other_metainfo(where, error) from error
    if most is not None:
        dataset = _shortened(dataset, most)
    if len(dataset) == 0:
        raise _empty(where)
    return dataset


def _built(cfg: dict) -> Any:
    with DefaultScope.overwrite_default_scope(SCOPE):
        _check_steps(cfg)
        dataset = DATASETS.build(cfg)
        if hasattr(dataset, "full_init"):
            dataset.full_init()
    return dataset


def _check_steps(cfg: Mapping) -> None:
    """Build every step of the pipelines of a data set once, so that a step that rejects its arguments is named."""
    steps = cfg.get("pipeline")
    for step in steps if isinstance(steps, (list, tuple)) else []:
        if isinstance(step, Mapping):
            TRANSFORMS.build(copy.deepcopy(dict(step)))
    for _, one in inner_data_sets(cfg):
        if isinstance(one, Mapping):
            _check_steps(one)


def _concatenating_classes(cfg: Any) -> Any:
    """Return a config whose ConcatDatasets accept other classes, which are compared by name after they are built."""
    if not isinstance(cfg, Mapping):
        return cfg
    made = with_inner_data_sets(cfg, {path: _concatenating_classes(part) for path, part in inner_data_sets(cfg)})
    if str(cfg.get("type")).rpartition(".")[2] == "ConcatDataset":
        given = cfg.get("ignore_keys") or []
        # "annotations" is a name for messages
        made["ignore_keys"] = [*([given] if isinstance(given, str) else given), *_COMPARED, "annotations"]
    return made


def _is_about_metainfo(error: Exception) -> bool:
    return any(words in str(error) for words in ("meta information of", "should be the same with the first dataset"))


def _other_metainfo(where: str, error: Exception) -> ConfigError:
    return ConfigError(
        where,
        expected="data sets with the same metainfo",
        but=" ".join(str(error).split()),
        advice='to train on several annotation files, add ignore_keys=["ann_file"]',
    )


def _empty(where: str) -> DataError:
    return DataError(
        where, expected="at least one sample", found="none", advice="check data_root, ann_file and filter_cfg"
    )


def _without_limit(cfg: dict) -> tuple[dict, int | None]:
    most = cfg.get("indices")
    return ({k: v for k, v in cfg.items() if k != "indices"}, most) if isinstance(most, int) else (cfg, None)


def _shortened(dataset: Any, most: int) -> Any:
    if most < 1:
        raise ConfigError(
            option("max_samples"), expected="a whole number above 0", found=f"{most}", advice="use 1 or more"
        )
    kept = first_indices(dataset, most)
    if hasattr(dataset, "get_subset_"):
        dataset.get_subset_(list(kept))
        return dataset
    return Subset(dataset, kept)


def class_names(dataset: Any) -> tuple[str, ...] | None:
    """Return the class names in the metadata of a data set, or None if it has no classes."""
    classes = (getattr(dataset, "metainfo", None) or {}).get("classes")
    return None if classes is None else tuple(classes)


def classes_by_task(dataset: Any) -> dict[str, tuple[str, ...] | None]:
    """Return the class names of each task of a joint data set, None without classes; empty for other data sets."""
    by_task = (getattr(dataset, "metainfo", None) or {}).get(TASKS) or {}
    return {task: tuple(meta["classes"]) if (meta or {}).get("classes") else None for task, meta in by_task.items()}


def build_loader(
    cfg: Mapping, dataset: Any, *, seed: int, mp_cfg: Mapping | None = None, device: torch.device | None = None
) -> ZooLoader:
    """Return a loader over ``dataset`` whose order and samples are seeded.

    Args:
        cfg: config of a dataloader; its ``dataset`` is ignored.
        dataset: data set from :func:`build_dataset`.
        seed: seed of the order and of every sample.
        mp_cfg: ``mp_start_method`` and ``opencv_num_threads`` of the workers.
        device: device of the model; memory is pinned only for CUDA.

    Example:
        >>> cfg = dict(batch_size=2, sampler=range(3), collate_fn=list)
        >>> list(build_loader(cfg, [10, 11, 12], seed=0))
        [[10, 11], [12]]
    """
    settings, mp_cfg = copy.deepcopy(dict(cfg)), dict(mp_cfg or {})
    settings.pop("dataset", None)
    with DefaultScope.overwrite_default_scope(SCOPE):
        batches = _build_batches(settings, dataset, seed)
        collate: Any = _build_function(settings.pop("collate_fn", None) or dict(type="pseudo_collate"))
        user_init = _build_function(settings.pop("worker_init_fn", None))
    workers = settings.pop("num_workers", 0)
    if workers:
        settings.setdefault("multiprocessing_context", mp_cfg.get("mp_start_method"))
    else:
        settings = {key: value for key, value in settings.items() if key not in _WITH_WORKERS}
    settings["pin_memory"] = bool(settings.get("pin_memory")) and device is not None and device.type == "cuda"
    return ZooLoader(
        SeededDataset(dataset, seed),  # type: ignore[arg-type]
        batch_sampler=SeededBatches(batches, seed),  # type: ignore[arg-type]
        collate_fn=CarriesErrors(collate),
        num_workers=workers,
        worker_init_fn=partial(start_worker, seed=seed, user_init=user_init, threads=mp_cfg.get("opencv_num_threads")),
        generator=torch.Generator().manual_seed(seed),  # without it, each iteration draws from the global generator
        **settings,
    )


def _build_batches(cfg: dict, dataset: Any, seed: int) -> Any:
    dataset = _first_batches(cfg, dataset)
    in_order = dict(type="DefaultSampler", shuffle=False)
    if classes_by_task(dataset):
        in_order = dict(type="JointSampler", mode="in_order")
    sampler = cfg.pop("sampler", None) or in_order
    batch_sampler = cfg.pop("batch_sampler", None)
    batch_size, drop_last = cfg.pop("batch_size", 1), cfg.pop("drop_last", False)
    if isinstance(sampler, Mapping):
        sampler = DATA_SAMPLERS.build(dict(sampler), default_args=dict(dataset=dataset, seed=seed))
    if batch_sampler is None and hasattr(sampler, "batches"):
        return sampler.batches(batch_size, drop_last)
    if batch_sampler is None:
        return BatchSampler(sampler, batch_size, drop_last)
    if not isinstance(batch_sampler, Mapping):
        return batch_sampler
    return DATA_SAMPLERS.build(dict(batch_sampler), default_args=dict(sampler=sampler, batch_size=batch_size))


def _first_batches(cfg: dict, dataset: Any) -> Any:
    """Return the samples of the first ``num_batch_per_epoch`` batches, or the whole data set if that is not set."""
    from mmengine.dist import get_world_size

    count = cfg.pop("num_batch_per_epoch", None)
    if count is None:
        return dataset
    if classes_by_task(dataset):
        raise ConfigError(
            "num_batch_per_epoch",
            expected="a data set of one task",
            found="several tasks",
            advice="set length of JointSampler, in samples",
        )
    return Subset(dataset, first_indices(dataset, count * cfg.get("batch_size", 1) * get_world_size()))


def _build_function(cfg: Any) -> Callable[..., Any] | None:
    if not isinstance(cfg, Mapping):
        return cfg
    arguments = dict(cfg)
    kind = arguments.pop("type")
    function = FUNCTIONS.get(kind) if isinstance(kind, str) else kind
    if function is None:
        raise UnknownName(kind, kind="function", known=FUNCTIONS.known_names())
    return partial(function, **arguments)


def start_worker(worker_id: int, *, seed: int, user_init: Callable[[int], None] | None, threads: int | None) -> None:
    """Initialise a worker: leave signals to the main process, seed, and limit the threads of OpenCV."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "alarm"):
        signal.signal(signal.SIGTERM, _end_later)
    random.seed(seed + worker_id)
    np.random.seed((seed + worker_id) & 0xFFFFFFFF)
    if threads is not None:
        import cv2

        cv2.setNumThreads(threads)
    if user_init is not None:
        user_init(worker_id)


def _end_later(number: int, frame: FrameType | None) -> None:
    """End a worker some time after SIGTERM.

    Schedulers and containers send it to all processes of a run. The main process then needs its workers until it has
    finished the iteration and saved a checkpoint.
    """
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(_SECONDS_AFTER_SIGTERM)


def sample_names(batch: Any) -> list[str]:
    """Return a name for each sample of a batch: its group, image path, image id, index, or position in the batch.

    Example:
        >>> sample_names({"data_samples": [{"img_path": "a.png"}, {"img_id": 7}, {}]})
        ['a.png', '7', 'number 2 of the batch']
    """
    samples = batch.get("data_samples", []) if isinstance(batch, Mapping) else []
    return [_sample_name(sample, i) for i, sample in enumerate(samples if isinstance(samples, (list, tuple)) else [])]


def _sample_name(sample: Any, number: int) -> str:
    for key in ("group", "img_path", "img_id", "sample_idx"):
        value = sample.get(key) if isinstance(sample, Mapping) else getattr(sample, key, None)
        if value is not None:
            return str(value)
    return f"number {number} of the batch"
