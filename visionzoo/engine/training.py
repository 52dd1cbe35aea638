"""Train a model from a config, from its first or any later iteration."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import nn

from visionzoo.config import LoadedConfig
from visionzoo.engine.checkpoints import LAST, saved_seed
from visionzoo.engine.dry_run import dry_run
from visionzoo.engine.freezing import freeze
from visionzoo.engine.loaders import build_dataset, class_names
from visionzoo.engine.loops import Interrupted
from visionzoo.engine.measures import as_text, per_class_tables, scalars, write_measures
from visionzoo.engine.runner import ZooRunner
from visionzoo.engine.settings import RunOptions, apply_options, strategy_of
from visionzoo.engine.setup import (
    check,
    listening,
    make_runner,
    note_to_user,
    processes,
    training_parts,
)
from visionzoo.engine.workdir import (
    default_folder,
    kept_if_it_works,
    new_work_dir,
    remove_old_run,
    resume_point,
    write_run,
)
from visionzoo.errors import ConfigError
from visionzoo.models.wiring import fill_model
from visionzoo.system import distributed
from visionzoo.system.atomic import write_text
from visionzoo.weights.loading import find_weights, load_weights, without_pretrained
from visionzoo.weights.normalisation import warn_of_other_normalisation


def train(loaded: LoadedConfig, **options: Any) -> dict[str, Any]:
    """Train the model of a config.

    Args:
        loaded: what :func:`visionzoo.config.load_config` gave; its ``cfg`` is completed in place.
        **options: fields of :class:`visionzoo.engine.RunOptions`.

    Returns:
        ``work_dir``, ``checkpoint`` (last), ``best``, ``epoch``, ``iter``, ``seed`` and the last ``metrics``; what
        one batch needs with ``dry_run``.

    Raises:
        ConfigError: the config or an option is wrong. OutputError: the work dir cannot be written.
        CheckpointError: nothing to resume, or weights that do not fit. RunFailed: the loss became NaN.
        Interrupted: asked to stop; its ``checkpoint`` is what ``resume`` takes.
    """
    asked = RunOptions(**options)
    check(loaded, verbose=asked.verbose)
    if loaded.cfg.get("train_dataloader") is None or loaded.cfg.get("train_cfg") is None:
        raise ConfigError(
            loaded.source, expected="train_dataloader and train_cfg", found="none", advice="this config only tests"
        )
    if asked.resume and asked.weights:
        raise ConfigError(
            "--weights", expected="it alone", found="--resume too, which brings its own", advice="leave one of them out"
        )
    usual = Path(loaded.cfg.get("work_dir") or default_folder(loaded.name))
    apply_options(loaded.cfg, asked, loaded.name)
    with processes(loaded.cfg, asked) as device:
        return _train_on(device, loaded, asked, usual)


def _train_on(device: torch.device, loaded: LoadedConfig, asked: RunOptions, usual: Path) -> dict[str, Any]:
    """One process's part. What it builds is gone when it returns, before the processes part."""
    dataset = build_dataset(loaded.cfg.train_dataloader.dataset, where="train_dataloader.dataset")
    classes = class_names(dataset)
    complete_model(loaded, None if classes is None else len(classes))
    for text in loaded.notes:
        note_to_user(asked)(text)
    if asked.dry_run:
        return dry_run(loaded, asked, device, dataset, partial(prepare, loaded=loaded, options=asked))
    checkpoint, folder = distributed.from_first(lambda: _places(asked, usual))
    loaded.cfg.work_dir = str(folder)
    if checkpoint is not None and asked.seed is None:
        _go_on_with_its_seed(loaded, checkpoint)
    text = loaded.cfg.pretty_text
    with kept_if_it_works(folder):
        runner = make_runner(
            loaded,
            asked,
            device,
            folder,
            prepare=partial(prepare, loaded=loaded, options=asked),
            num_classes=None if classes is None else len(classes),
            config_text=text,
            resume=checkpoint is not None,
            load_from=None if checkpoint is None else str(checkpoint),
            **training_parts(loaded, asked, device, dataset),
        )
    distributed.from_first(lambda: _write_first(loaded, asked, folder, checkpoint, str(device), text))
    return _run(runner, loaded, asked)


def complete_model(loaded: LoadedConfig, num_classes: int | None) -> None:
    """Write channels, strides and class counts into the config, so that the saved one says everything."""
    loaded.cfg.model = fill_model(loaded.cfg.model, replaced=loaded.replaced, num_classes=num_classes)
    loaded.replaced.clear()


def prepare(model: nn.Module, *, loaded: LoadedConfig, options: RunOptions) -> None:
    """Initialise a new model, or give it the weights it starts from; freeze what shall not learn."""
    note = note_to_user(options)
    source = options.weights or loaded.cfg.get("load_from")
    if options.resume or options.dry_run or source:
        without_pretrained(model)
    if not options.resume and isinstance(model, BaseModule):
        model.init_weights()
    if source and not options.resume:
        report = load_weights(model, source, ignore=options.ignore)
        warn_of_other_normalisation(model, find_weights(source))
        note(
            f"loaded {report.loaded} tensors of {source}" + (f", kept {len(report.ignored)}" if report.ignored else "")
        )
    if loaded.cfg.get("freeze"):
        frozen = freeze(model, loaded.cfg["freeze"])
        note(f"frozen: {len(frozen)} parameters ({', '.join(loaded.cfg['freeze'])})")


def _places(options: RunOptions, usual: Path) -> tuple[Path | None, Path]:
    """The checkpoint to resume, if any, and the work dir, made and proven to be writable."""
    if options.resume:
        return resume_point(options.resume, options.work_dir, usual)
    return None, new_work_dir(Path(options.work_dir or usual), overwrite=options.overwrite)


def _go_on_with_its_seed(loaded: LoadedConfig, checkpoint: Path) -> None:
    """Unless told otherwise, draw the samples that the run would have drawn, whatever the config's own seed is."""
    seed = saved_seed(checkpoint)
    if seed is not None:
        loaded.cfg.randomness.seed = seed


def _write_first(
    loaded: LoadedConfig, options: RunOptions, folder: Path, checkpoint: Path | None, device: str, text: str
) -> None:
    """Save the resolved config and what runs, in place of an earlier run's files."""
    if checkpoint is None and options.overwrite:
        remove_old_run(folder)
    if checkpoint is None:
        write_text(folder / "config.py", text)
    facts = {
        "name": loaded.name,
        "config": str(loaded.path),
        "seed": loaded.cfg.randomness.seed,
        "deterministic": loaded.cfg.randomness.deterministic,
        "device": device,
        "processes": distributed.world_size(),
        "strategy": strategy_of(loaded.cfg) if distributed.world_size() > 1 else None,
        "weights": None if options.weights is None else str(options.weights),
        "resumed_from": None if checkpoint is None else str(checkpoint),
    }
    write_run(folder, facts, options.command)


def _run(runner: ZooRunner, loaded: LoadedConfig, options: RunOptions) -> dict[str, Any]:
    note = note_to_user(options)
    note(f"training {loaded.name} on {runner.device}, seed {runner.seed}, into {runner.work_dir}")
    try:
        with listening(runner):
            runner.train()
        if distributed.is_first():
            _write_last(runner, loaded, note)
        return _outcome(runner)
    finally:
        runner.close()


def _write_last(runner: ZooRunner, loaded: LoadedConfig, note: Any) -> None:
    if not runner.metrics:
        return
    tables = per_class_tables(runner.val_evaluator)
    facts = {"name": loaded.name, "weights": _last(runner), "samples": len(runner.val_dataloader.dataset)}
    write_measures(Path(runner.work_dir), facts, runner.metrics, tables)
    note(as_text(runner.metrics, tables))


def _outcome(runner: ZooRunner) -> dict[str, Any]:
    best = runner.message_hub.get_info("best_ckpt", None)
    return {
        "work_dir": runner.work_dir,
        "checkpoint": _last(runner),
        "best": None if best is None else str(Path(runner.work_dir) / best),
        "epoch": runner.epoch,
        "iter": runner.iter,
        "seed": runner.seed,
        "metrics": scalars(runner.metrics),
    }


def _last(runner: ZooRunner) -> str | None:
    pointer = Path(runner.work_dir) / LAST
    return str(pointer.parent / pointer.read_text(encoding="utf-8").strip()) if pointer.is_file() else None


__all__ = ["Interrupted", "train"]
