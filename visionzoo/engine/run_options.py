"""What a run was asked for, from flags or Python, and how that changes its config.

Options end up in the config where it has a place for them, so that the saved config alone
repeats the run.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from visionzoo.engine.wrappers import STRATEGIES
from visionzoo.errors import ConfigError
from visionzoo.registry import DATASETS, HOOKS

# Averages follow the weights closely at first and slowly later, so short runs profit as well.
EMA = dict(ema_type="MomentumAnnealingEMA", momentum=0.0002, gamma=100, update_buffers=True)


@dataclass
class RunOptions:
    """Options of :func:`visionzoo.engine.train` and :func:`visionzoo.engine.test`.

    Attributes:
        work_dir: where everything goes; default ``work_dirs/<name>``.
        overwrite: write into a folder that is not empty, instead of ``<name>-2``.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        seed: of every random number; None takes that of the run that is resumed, else the config's, else 0.
        deterministic: only algorithms that give the same bits every time.
        resume: a checkpoint or work dir to go on from; True means the work dir's own.
        weights: file, work dir or short name to start from.
        ignore: patterns of weights that keep the model's own values.
        amp: mixed precision. accumulate: iterations per optimizer step. ema: averaged weights.
        strategy: ``ddp`` or ``fsdp``; None takes the config's.
        tta: test-time augmentation (test only).
        max_samples: only the first N samples of every data set.
        dry_run: build everything, run one batch, write nothing.
        quiet, verbose, no_progress: how much is shown.
        command: the command line, to be saved.
    """

    work_dir: str | Path | None = None
    overwrite: bool = False
    device: str = "cpu"
    seed: int | None = None
    deterministic: bool = False
    resume: str | Path | bool = False
    weights: str | Path | None = None
    ignore: Sequence[str] = ()
    amp: bool = False
    accumulate: int | None = None
    ema: bool = False
    strategy: str | None = None
    tta: bool = False
    max_samples: int | None = None
    dry_run: bool = False
    quiet: bool = False
    verbose: bool = False
    no_progress: bool = False
    command: Sequence[str] = field(default_factory=list)


def apply_options(cfg: Config, options: RunOptions, name: str) -> None:
    """Write what was asked for into ``cfg``.

    Raises:
        ConfigError: an option that does not go with the config.
    """
    seed = options.seed if options.seed is not None else (cfg.get("randomness") or {}).get("seed")
    cfg.randomness = {**(cfg.get("randomness") or {}), "seed": 0 if seed is None else int(seed)}
    cfg.randomness.deterministic = options.deterministic or bool(cfg.randomness.get("deterministic"))
    cfg.experiment_name = name
    if options.amp:
        _set_amp(cfg)
    if options.accumulate is not None:
        if options.accumulate < 1:
            raise ConfigError(
                "--accumulate", expected="a whole number above 0", found=f"{options.accumulate}", advice="use 1 or more"
            )
        cfg.optim_wrapper.accumulative_counts = options.accumulate
    if options.ema:
        cfg.ema = cfg.get("ema") or True
    if options.max_samples is not None:
        _limit_samples(cfg, options.max_samples)
    if options.strategy is not None:
        cfg.merge_from_dict({"env_cfg.dist_cfg.strategy": options.strategy})
    _check_strategy(cfg)


def _set_amp(cfg: Config) -> None:
    kind = cfg.optim_wrapper.get("type", "OptimWrapper")
    if kind not in ("OptimWrapper", "AmpOptimWrapper"):
        raise ConfigError(
            "--amp", expected="optim_wrapper of type OptimWrapper", found=f"{kind}", advice="set its type by hand"
        )
    cfg.optim_wrapper.type = "AmpOptimWrapper"


def _limit_samples(cfg: Config, most: int) -> None:
    if most < 1:
        raise ConfigError("--max-samples", expected="a whole number above 0", found=f"{most}", advice="use 1 or more")
    for split in ("train", "val", "test"):
        loader = cfg.get(f"{split}_dataloader")
        if loader is not None:
            _innermost(loader.dataset).indices = most


def _innermost(dataset: Any) -> Any:
    """The data set inside wrappers that repeat or balance one."""
    while isinstance(dataset.get("dataset"), Mapping):
        dataset = dataset.dataset
    kind = dataset.get("type")
    cls = DATASETS.get(kind) if isinstance(kind, str) else kind
    if cls is not None and not _takes_indices(cls):
        raise ConfigError(
            "--max-samples", expected="a data set with the argument indices", found=f"{kind}", advice="leave it out"
        )
    return dataset


def _takes_indices(cls: type) -> bool:
    return any("indices" in inspect.signature(base).parameters for base in cls.__mro__[:-1])


def strategy_of(cfg: Config) -> str:
    """``ddp`` unless the config says ``env_cfg=dict(dist_cfg=dict(strategy="fsdp"))``."""
    return (cfg.get("env_cfg", {}).get("dist_cfg") or {}).get("strategy", "ddp")


def _check_strategy(cfg: Config) -> None:
    strategy = strategy_of(cfg)
    if strategy not in STRATEGIES:
        raise ConfigError(
            "--strategy", expected=f"one of {', '.join(STRATEGIES)}", found=f"{strategy!r}", advice="choose one of them"
        )
    if strategy == "fsdp" and cfg.get("ema"):
        raise ConfigError(
            "--strategy fsdp", expected="a run without averaged weights", found="ema", advice="leave one of them out"
        )


def training_hooks(cfg: Config) -> list[dict]:
    """The hooks that always run and those that ``ema``, ``early_stopping`` and the config's own list ask for.

    Raises:
        ConfigError: an argument that the hook does not have.
    """
    always = [dict(type="FiniteLossHook"), dict(type="TrainingProgressHook")]
    hooks = [*always, *(cfg.get("custom_hooks") or [])]
    if cfg.get("ema"):
        given = cfg.ema if isinstance(cfg.ema, Mapping) else {}
        base = {} if {"ema_type", "momentum"} & set(given) else EMA
        hooks.append(_checked("ema", {**base, **given, "type": "EMAHook"}))
    if cfg.get("early_stopping"):
        if not isinstance(cfg.early_stopping, Mapping) or "monitor" not in cfg.early_stopping:
            raise ConfigError(
                "early_stopping",
                expected="dict(monitor='coco/bbox_mAP', patience=5)",
                found="no monitor",
                advice="add it",
            )
        hooks.append(_checked("early_stopping", {**cfg.early_stopping, "type": "ZooEarlyStoppingHook"}))
    return hooks


def _checked(key: str, hook: dict) -> dict:
    arguments = {name: value for name, value in hook.items() if name != "type"}
    accepted: set[str] = set()
    for base in HOOKS.get(hook["type"]).__mro__:  # type: ignore[union-attr]
        accepted |= set(inspect.signature(base).parameters) if base is not object else set()
    if key == "ema":
        accepted |= {"momentum", "gamma", "interval", "update_buffers", "device"}
    unknown = sorted(set(arguments) - accepted)
    if unknown:
        known = ", ".join(sorted(accepted - {"args", "kwargs"}))
        raise ConfigError(f"{key}.{unknown[0]}: expected one of {known}; found no such argument; remove or rename it")
    return hook
