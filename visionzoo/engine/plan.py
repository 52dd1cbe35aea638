"""Plan of a training, test or dry run: all values that are fixed before the run starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import torch
from mmengine.config import Config

from visionzoo.config import LoadedConfig
from visionzoo.engine.best_metric import best_metric_of
from visionzoo.engine.checkpoints import read_resumable, require_same_averaging, seed_in
from visionzoo.engine.class_names import saved_classes
from visionzoo.engine.environment import check, processes
from visionzoo.engine.numbering import build_numbered
from visionzoo.engine.run_options import RunOptions, apply_options, has_averaging
from visionzoo.engine.workdir import default_folder, make_writable, new_work_dir, resume_point, resumed_checkpoint
from visionzoo.errors import ConfigError
from visionzoo.models.wiring import fill_model
from visionzoo.system import distributed
from visionzoo.weights.loading import find_weights

Purpose = Literal["train", "test", "dry run"]

# Splits that each purpose reads.
_SPLITS = {"train": ("train", "val"), "dry run": ("train", "val"), "test": ("test",)}


@dataclass(frozen=True)
class RunPlan:
    """All values that are fixed before a run starts.

    Attributes:
        purpose: ``train``, ``test`` or ``dry run``.
        name: name of the config.
        path: file of the config.
        options: options of the run.
        cfg: the config with the options applied and every channel, stride and class count filled in.
        config_text: text of ``cfg`` for checkpoints and ``config.py``; empty unless the purpose is ``train``.
        folder: folder of the results (training: the work dir). It exists and is writable. None for a dry run.
        checkpoint: the checkpoint to resume, or None.
        device: device of the model.
        seed: seed of all random numbers.
        datasets: data set by split (``train``, ``val``, ``test``).
        classes: class names of the first data set; None if it has no classes.
        weights: initial weights of training, or weights to test; None for training without initial weights.
        best_metric: ``greater`` or ``less`` by metric, for the metrics that may select the best checkpoint, in order of
            priority.
        notes: notes to the user about parts that options replaced, and about the classes of the data sets.
    """

    purpose: Purpose
    name: str
    path: Path
    options: RunOptions
    cfg: Config
    config_text: str
    folder: Path | None
    checkpoint: Path | None
    device: torch.device
    seed: int
    datasets: Mapping[str, Any]
    classes: tuple[str, ...] | None
    weights: str | Path | None
    best_metric: Mapping[str, str]
    notes: tuple[str, ...]


@contextmanager
def planned(loaded: LoadedConfig, options: RunOptions, purpose: Purpose) -> Iterator[RunPlan]:
    """Check a config, initialise the process group if there are several processes, and yield the plan of the run.

    Args:
        loaded: a loaded config. Missing values in its ``cfg`` are filled in, in place.
        options: options of the run.
        purpose: ``train``, ``test`` or ``dry run``.

    Raises:
        ConfigError: the config or an option is wrong.
        DataError: a data set cannot be read.
        OutputError: the folder of the results cannot be written.
        CheckpointError: there is nothing to resume, or the weights do not exist.
    """
    check(loaded, verbose=options.verbose)
    (_require_testing if purpose == "test" else _require_training)(loaded, options)
    usual = Path(loaded.cfg.get("work_dir") or default_folder(loaded.name))
    apply_options(loaded.cfg, options, loaded.name)
    weights = (
        find_weights(str(options.weights)) if purpose == "test" else options.weights or loaded.cfg.get("load_from")
    )
    with processes(loaded.cfg, options) as device:
        yield _plan(loaded, options, purpose, device, usual, weights)


def _require_training(loaded: LoadedConfig, options: RunOptions) -> None:
    _require_keys(
        loaded.cfg,
        ("train_dataloader", "train_cfg"),
        where=loaded.source,
        advice="add both, or use a config for training",
    )
    if options.resume and options.weights:
        raise ConfigError(
            "--weights",
            expected="only one of --weights and --resume",
            found="both",
            advice="remove one of them (--resume loads the weights of its checkpoint)",
        )


def _require_testing(loaded: LoadedConfig, options: RunOptions) -> None:
    if options.weights is None:
        raise ConfigError("--weights", expected="a checkpoint or a work dir", found="none", advice="add --weights PATH")
    _require_keys(
        loaded.cfg, ("test_dataloader", "test_evaluator"), where=loaded.source, advice="add both to the config"
    )


def _require_keys(cfg: Config, keys: Sequence[str], *, where: str, advice: str) -> None:
    """Raise :class:`ConfigError` if one of ``keys`` is missing from the config or None."""
    present = [key for key in keys if cfg.get(key) is not None]
    if len(present) < len(keys):
        found = f"only {present[0]}" if present else "none"
        raise ConfigError(where, expected=" and ".join(keys), found=found, advice=advice)


def _plan(
    loaded: LoadedConfig,
    options: RunOptions,
    purpose: Purpose,
    device: torch.device,
    usual: Path,
    weights: str | Path | None,
) -> RunPlan:
    cfg = loaded.cfg
    if purpose == "test" and options.tta:
        _require_keys(
            cfg, ("tta_model", "tta_pipeline"), where="--tta", advice="add both to the config, or remove --tta"
        )
        _innermost(cfg.test_dataloader.dataset).pipeline = cfg.tta_pipeline
    if purpose == "dry run":
        _without_workers(cfg)
    splits = [split for split in _SPLITS[purpose] if cfg.get(f"{split}_dataloader") is not None]
    fixed = purpose == "test" or bool(options.resume)
    learned = saved_classes(_source_of_classes(options, purpose, usual, weights))
    data = build_numbered(cfg, splits, learned, fixed=fixed, ignore=options.ignore)
    _fill(loaded, None if data.classes is None else len(data.classes))
    if purpose == "test" and options.tta:
        cfg.model = {**cfg.tta_model, "module": cfg.model}
    checkpoint, folder = distributed.from_first(lambda: _places(loaded.name, options, purpose, usual))
    if purpose == "train":
        cfg.work_dir = str(folder)
    if checkpoint is not None:
        _check_resumable(cfg, checkpoint, takes_seed=options.seed is None)
    return RunPlan(
        purpose=purpose,
        name=loaded.name,
        path=loaded.path,
        options=options,
        cfg=cfg,
        config_text=cfg.pretty_text if purpose == "train" else "",
        folder=folder,
        checkpoint=checkpoint,
        device=device,
        seed=cfg.randomness.seed,
        datasets=MappingProxyType(data.datasets),
        classes=data.classes,
        weights=weights,
        best_metric=best_metric_of(cfg.get("task")),
        notes=(*loaded.notes, *data.notes),
    )


def _source_of_classes(options: RunOptions, purpose: Purpose, usual: Path, weights: str | Path | None) -> Path | None:
    """Return the checkpoint whose classes the data must match or may follow, or None."""
    if options.resume and purpose != "test":
        return resumed_checkpoint(options.resume, options.work_dir, usual)
    return None if weights is None else find_weights(weights)


def _fill(loaded: LoadedConfig, num_classes: int | None) -> None:
    """Write channels, strides and class counts into the config, so that the saved config is complete."""
    loaded.cfg.model = fill_model(loaded.cfg.model, replaced=loaded.replaced, num_classes=num_classes)
    loaded.replaced.clear()


def _without_workers(cfg: Config) -> None:
    for split in _SPLITS["dry run"]:
        if cfg.get(f"{split}_dataloader") is not None:
            cfg[f"{split}_dataloader"].num_workers = 0


def _innermost(dataset: Any) -> Any:
    while "dataset" in dataset:
        dataset = dataset.dataset
    return dataset


def _places(name: str, options: RunOptions, purpose: Purpose, usual: Path) -> tuple[Path | None, Path | None]:
    """Return the checkpoint to resume or None, and the folder of the results, which now exists and is writable.

    For a dry run, both are None.
    """
    if purpose == "dry run":
        return None, None
    if purpose == "test":
        return None, _folder_of_test(name, options)
    if options.resume:
        return resume_point(options.resume, options.work_dir, usual)
    return None, new_work_dir(Path(options.work_dir or usual), overwrite=options.overwrite)


def _folder_of_test(name: str, options: RunOptions) -> Path:
    """Return the folder of the results.

    It is ``--work-dir``, else the folder of the weights if it has a ``run.json``, else ``work_dirs/NAME_test``.
    """
    if options.work_dir is not None:
        return new_work_dir(Path(options.work_dir), overwrite=options.overwrite)
    source = Path(str(options.weights))
    folder = source if source.is_dir() else source.parent
    if (folder / "run.json").is_file():
        make_writable(folder)
        return folder
    return new_work_dir(default_folder(f"{name}_test"), overwrite=options.overwrite)


def _check_resumable(cfg: Config, checkpoint: Path, *, takes_seed: bool) -> None:
    """Check a checkpoint to resume before anything is built, and take its seed, so that the order of samples is equal.

    Raises:
        CheckpointError: the run cannot resume from it.
    """
    contents = read_resumable(checkpoint, map_location="meta")
    require_same_averaging(contents, checkpoint, has_ema=has_averaging(cfg))
    seed = seed_in(contents["meta"])
    if takes_seed and seed is not None:
        cfg.randomness.seed = seed
