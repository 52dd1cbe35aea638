"""Build a runner from the plan of a run: loaders, hooks and the initial weights of the model."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.model import BaseModule
from torch import nn
from torch.utils.data import DataLoader

from visionzoo.engine.environment import note_to_user
from visionzoo.engine.freezing import as_patterns, freeze, train_only, trained_share
from visionzoo.engine.loaders import build_loader
from visionzoo.engine.log_files import no_list_of_parameters
from visionzoo.engine.plan import RunPlan, nothing_to_train
from visionzoo.engine.run_length import fit_to_length
from visionzoo.engine.run_options import strategy_of, training_hooks
from visionzoo.engine.runner import ZooRunner
from visionzoo.errors import ConfigError, some_of
from visionzoo.models.part_configs import name_of, resolved
from visionzoo.option_names import option
from visionzoo.registry import SCOPE
from visionzoo.system import distributed
from visionzoo.weights.added_heads import start_of
from visionzoo.weights.loading import find_weights, load_weights, without_pretrained
from visionzoo.weights.normalisation import warn_of_other_normalisation


def make_runner(plan: RunPlan, folder: Path, **kwargs: Any) -> ZooRunner:
    """Return the runner of a plan. It writes to ``folder``; ``kwargs`` are the arguments for training or testing."""
    cfg = plan.cfg
    return ZooRunner(
        model=cfg.model,
        work_dir=str(folder),
        device=plan.device,
        strategy=strategy_of(cfg),
        notes=note_to_user(plan.options),
        best_metric=plan.best_metric,
        verbose=plan.options.verbose and not plan.options.quiet,
        launcher="pytorch" if distributed.world_size() > 1 else "none",
        env_cfg=cfg.get("env_cfg") or {},
        log_processor=cfg.get("log_processor"),
        log_level=cfg.get("log_level", "INFO"),
        visualizer=_visualizer(cfg),
        default_scope=SCOPE,
        randomness=dict(cfg.randomness),
        experiment_name=plan.name,
        cfg=cfg,
        config_text=plan.config_text,
        new_rates=plan.new_rates,
        **kwargs,
    )


def _visualizer(cfg: Config) -> dict | None:
    given = dict(cfg.get("visualizer") or {})
    if cfg.get("vis_backends") is not None:
        given.setdefault("vis_backends", cfg.vis_backends)
    return given or None


def build_split(plan: RunPlan, split: str) -> DataLoader | None:
    """Return the loader of ``train``, ``val`` or ``test``, or None if the plan has no such data set.

    If the training data have fewer samples than a batch and ``drop_last`` would leave none, all are one batch, unless
    an option of the command sets the batch size.

    Raises:
        ConfigError: the loader has no batches.
    """
    if split not in plan.datasets:
        return None
    cfg, key, dataset = plan.cfg, f"{split}_dataloader", plan.datasets[split]
    mp_cfg = (cfg.get("env_cfg") or {}).get("mp_cfg")
    build = partial(build_loader, dataset=dataset, seed=plan.seed, mp_cfg=mp_cfg, device=plan.device)
    loader = build(cfg[key])
    most = len(dataset) // distributed.world_size()
    if len(loader) == 0 and most and split == "train" and not plan.batch_is_fixed:
        loader = build({**cfg[key], "batch_size": most})
    if len(loader) == 0:
        raise ConfigError(
            key,
            expected="at least one batch",
            found=f"{len(dataset)} samples for a batch of {cfg[key].batch_size} with drop_last",
            advice=f"use {option('batch_size', max(most, 1))} or a smaller one",
        )
    if split == "train":
        _require_all_tasks(cfg, loader)
    return loader


def _require_all_tasks(cfg: Config, loader: DataLoader) -> None:
    """Raise an error if the weighting of the losses needs all tasks in every batch, and a batch lacks some.

    Raises:
        ConfigError: the message names the tasks.
    """
    weighting = cfg.model.get("loss_weighting")
    batches: Any = getattr(loader.batch_sampler, "batches", None)
    if weighting is None or not getattr(resolved(weighting), "NEEDS_ALL", False) or not hasattr(batches, "lacking"):
        return
    if lacking := batches.lacking():
        raise ConfigError(
            "train_dataloader",
            expected=f"a batch with samples of all tasks, which {name_of(weighting)} needs",
            found=f"batches of {batches.batch_size} without {', '.join(lacking)}",
            advice="use a larger batch, or sampling weights that are less different",
        )


def _smaller_batch(cfg: Config, loader: DataLoader) -> list[str]:
    """Return what the log states about a batch that is smaller than that of the config."""
    given, used = cfg.train_dataloader.get("batch_size", 1), getattr(loader.batch_sampler, "batch_size", None)
    return [] if used in (given, None) else [f"batch size {given} -> {used} (all samples)"]


def progress_hook(plan: RunPlan) -> dict:
    """Return the config of the progress display: a bar on a terminal, lines elsewhere.

    With ``-q``, and in all processes except the first, nothing is shown.
    """
    options = plan.options
    if options.quiet or not distributed.is_first():
        style = "none"
    else:
        style = "bar" if sys.stderr.isatty() and not options.no_progress else "lines"
    return dict(type="ProgressHook", style=style)


def training_parts(plan: RunPlan) -> dict[str, Any]:
    """Return the runner's arguments for training: initial weights, loaders, loops, optimizer and hooks."""
    cfg = plan.cfg
    train, val = build_split(plan, "train"), build_split(plan, "val")
    batches, smaller = (1, []) if train is None else (len(train), _smaller_batch(cfg, train))
    fitted = fit_to_length(cfg, batches, facts=smaller)
    for line in fitted.notes:
        note_to_user(plan.options)(line)
    hooks = [*training_hooks(cfg), progress_hook(plan)]
    return dict(
        prepare=partial(prepare, plan=plan),
        train_dataloader=train,
        train_cfg=cfg.train_cfg,
        optim_wrapper=cfg.optim_wrapper,
        param_scheduler=fitted.param_scheduler,
        auto_scale_lr=cfg.get("auto_scale_lr"),
        val_dataloader=val,
        val_cfg=None if val is None else cfg.get("val_cfg") or {},
        val_evaluator=None if val is None else cfg.get("val_evaluator"),
        default_hooks=fitted.default_hooks,
        custom_hooks=hooks,
    )


def prepare(model: nn.Module, *, plan: RunPlan) -> None:
    """Initialise a new model or load its initial weights, then freeze the parts that are not trained."""
    if next(model.parameters(), None) is None:
        raise nothing_to_train(plan.name)
    note, resumed, source = note_to_user(plan.options), bool(plan.options.resume), plan.weights
    if resumed or plan.purpose == "dry run" or source:
        without_pretrained(model)
    if not resumed and isinstance(model, BaseModule):
        with no_list_of_parameters():
            model.init_weights()
    if source and not resumed:
        start = start_of(model, source, plan.cfg.model, plan.tasks)
        report = load_weights(model, start.source, ignore=(*plan.ignore, *start.ignore), where=str(source))
        warn_of_other_normalisation(model, find_weights(source))
        note(
            f"loaded {report.loaded} tensors from {source}"
            + (f", ignored {len(report.ignored)}" if report.ignored else "")
        )
        for line in start.notes:
            note(line)
    if plan.cfg.get("freeze"):
        frozen = freeze(model, plan.cfg["freeze"])
        note(f"frozen: {len(frozen)} tensors ({', '.join(as_patterns(plan.cfg['freeze']))}); {trained_share(model)}")
    if plan.trained is not None:
        train_only(model, plan.trained)
        note(f"linear probe: only {some_of(plan.trained, 4)} learn; {trained_share(model)}")
