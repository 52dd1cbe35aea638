"""Measure a model with its data set's metric."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import nn

from visionzoo.config import LoadedConfig
from visionzoo.engine.loaders import build_dataset, class_names
from visionzoo.engine.loops import Interrupted
from visionzoo.engine.measures import per_class_tables, scalars, write_measures
from visionzoo.engine.runner import ZooRunner
from visionzoo.engine.settings import RunOptions, apply_options
from visionzoo.engine.setup import build_split, check, listening, make_runner, note_to_user, processes, progress_hook
from visionzoo.engine.training import complete_model
from visionzoo.engine.workdir import default_folder, kept_if_it_works, make_writable, new_work_dir
from visionzoo.errors import ConfigError
from visionzoo.system import distributed
from visionzoo.system.versions import versions
from visionzoo.weights.loading import find_weights, load_weights, without_pretrained
from visionzoo.weights.normalisation import warn_of_other_normalisation


def test(loaded: LoadedConfig, **options: Any) -> dict[str, Any]:
    """Measure the model of a config and write ``metrics.json`` and ``report.md``.

    Args:
        loaded: what :func:`visionzoo.config.load_config` gave.
        **options: fields of :class:`visionzoo.engine.RunOptions`. ``weights`` may be a work dir, whose best
            checkpoint is taken, else its last; the numbers then go into that folder unless ``work_dir`` is given.

    Returns:
        ``work_dir``, ``weights``, ``metrics`` (name to number) and ``per_class`` (rows by what was measured).

    Raises:
        ConfigError: the config has nothing to test. CheckpointError: the weights are missing or do not fit.
        OutputError: the work dir cannot be written.
    """
    asked = RunOptions(**options)
    check(loaded, verbose=asked.verbose)
    if asked.weights is None:
        raise ConfigError(
            "--weights", expected="a checkpoint or a work dir to measure", found="none", advice="name one"
        )
    if loaded.cfg.get("test_dataloader") is None or loaded.cfg.get("test_evaluator") is None:
        raise ConfigError(
            loaded.source, expected="test_dataloader and test_evaluator", found="none", advice="add them to test"
        )
    apply_options(loaded.cfg, asked, loaded.name)
    weights = find_weights(asked.weights)
    with processes(loaded.cfg, asked) as device:
        return _test_on(device, loaded, asked, weights)


def _test_on(device: torch.device, loaded: LoadedConfig, asked: RunOptions, weights: Path) -> dict[str, Any]:
    """One process's part. What it builds is gone when it returns, before the processes part."""
    split = dict(loaded.cfg.test_dataloader)
    dataset = build_dataset(split["dataset"], where="test_dataloader.dataset")
    classes = class_names(dataset)
    complete_model(loaded, None if classes is None else len(classes))
    if asked.tta:
        _augment(loaded.cfg)
        dataset = build_dataset(loaded.cfg.test_dataloader.dataset, where="test_dataloader.dataset")
    folder = distributed.from_first(lambda: _folder(asked, loaded))

    def prepare(model: nn.Module) -> None:
        load_weights(without_pretrained(getattr(model, "module", model)), weights)
        warn_of_other_normalisation(getattr(model, "module", model), weights)

    with kept_if_it_works(folder):
        runner = make_runner(
            loaded,
            asked,
            device,
            folder,
            log_name="test",
            prepare=prepare,
            num_classes=None if classes is None else len(classes),
            config_text="",
            test_dataloader=build_split(loaded.cfg, "test", device, dataset),
            test_cfg=loaded.cfg.get("test_cfg") or {},
            test_evaluator=loaded.cfg.test_evaluator,
            default_hooks=_measuring_hooks(loaded.cfg),
            custom_hooks=[progress_hook(loaded.cfg, asked)],
        )
        return _run(runner, loaded, asked, weights)


def _folder(options: RunOptions, loaded: LoadedConfig) -> Path:
    """Where the numbers go: ``--work-dir``, else the folder that the weights come from, else a new one."""
    if options.work_dir is not None:
        return new_work_dir(Path(options.work_dir), overwrite=options.overwrite)
    source = Path(str(options.weights))
    folder = source if source.is_dir() else source.parent
    if (folder / "run.json").is_file():
        make_writable(folder)
        return folder
    return new_work_dir(default_folder(f"{loaded.name}_test"), overwrite=options.overwrite)


def _measuring_hooks(cfg: Config) -> dict[str, Any]:
    """The hooks that training alone needs are left out."""
    given = dict(cfg.get("default_hooks") or {})
    logger = given.get("logger", dict(type="LoggerHook"))
    return dict(param_scheduler=None, checkpoint=None, sampler_seed=None, logger=logger)


def _augment(cfg: Config) -> None:
    """Measure every image at several scales and mirrored; the model merges what it finds.

    Raises:
        ConfigError: the config does not say how.
    """
    if cfg.get("tta_model") is None or cfg.get("tta_pipeline") is None:
        raise ConfigError(
            "--tta",
            expected="tta_model and tta_pipeline in the config",
            found="none",
            advice="add them, or leave --tta out",
        )
    cfg.model = {**cfg.tta_model, "module": cfg.model}
    dataset = cfg.test_dataloader.dataset
    while "dataset" in dataset:
        dataset = dataset.dataset
    dataset.pipeline = cfg.tta_pipeline


def _run(runner: ZooRunner, loaded: LoadedConfig, options: RunOptions, weights: Path) -> dict[str, Any]:
    note = note_to_user(options)
    note(f"testing {loaded.name} with {weights} on {runner.device}")
    try:
        with listening(runner):
            metrics = runner.test()
        tables = per_class_tables(runner.test_evaluator)
        facts = {
            "name": loaded.name,
            "config": str(loaded.path),
            "weights": str(weights),
            "samples": len(runner.test_dataloader.dataset),
            "tta": options.tta,
            "device": str(runner.device),
            "versions": versions(),
        }
        if distributed.is_first():
            write_measures(Path(runner.work_dir), facts, metrics, tables)
        return {"work_dir": runner.work_dir, "weights": str(weights), "metrics": scalars(metrics), "per_class": tables}
    finally:
        runner.close()


test.__test__ = False  # type: ignore[attr-defined]  # not one of pytest's

__all__ = ["Interrupted", "test"]
