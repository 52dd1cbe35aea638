"""Options of a run, from flags or Python, and the changes they make to its config.

Options are written to the config wherever it has a key for them, so the saved config is enough to repeat the run. The
limit of samples is not: it is for trying out, so ``run.json`` states it and only a resumed run uses it again.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from visionzoo.config.data_parts import data_sets
from visionzoo.config.ranges import require_in_range
from visionzoo.engine.log_files import with_tensorboard
from visionzoo.engine.wrappers import STRATEGIES
from visionzoo.errors import ConfigError
from visionzoo.option_names import option
from visionzoo.registry import DATASETS, HOOKS

# The average follows the weights closely at first and slowly later, so it also helps short runs.
EMA = dict(ema_type="MomentumAnnealingEMA", momentum=0.0002, gamma=100, update_buffers=True)


@dataclass
class RunOptions:
    """Options of :func:`visionzoo.engine.train` and :func:`visionzoo.engine.test`.

    Attributes:
        work_dir: folder of all output files; default ``work_dirs/<name>``.
        overwrite: write to a folder that is not empty, instead of ``<name>-2``.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
        seed: seed of all random numbers; None uses the seed of the resumed run, else the config's, else 0.
        deterministic: use only algorithms with bit-identical results.
        resume: a checkpoint or work dir to resume from; True resumes the run in the work dir.
        weights: file, work dir or address of the initial weights, or of the weights to test; ``released`` or an id of
            the card.
        ignore: patterns of weights that keep the model's own values.
        replace_head: the tensors that belong to the classes are not loaded (train only).
        amp: train with mixed precision.
        accumulate: iterations per optimizer step, >= 1.
        ema: average the weights.
        strategy: ``ddp`` or ``fsdp``; None uses the config's.
        tensorboard: also write the numbers as events of TensorBoard (train only).
        tta: use test-time augmentation (test only).
        exact: run the model as it is built, not its fast form (test only).
        report: write ``report.html`` with figures and images (test only); without it, only the numbers.
        max_samples: use only the first ``max_samples`` samples of every data set, >= 1.
        dry_run: build everything, run one batch, write nothing (train only).
        quiet: print no notes and no progress.
        verbose: also print mmengine's log.
        no_progress: print lines instead of a progress bar.
        command: the command line, saved in ``run.json``.

    Example:
        >>> options = RunOptions(device="auto", max_samples=8)
        >>> options.max_samples, options.seed
        (8, None)
    """

    work_dir: str | Path | None = None
    overwrite: bool = False
    device: str = "cpu"
    seed: int | None = None
    deterministic: bool = False
    resume: str | Path | bool = False
    weights: str | Path | None = None
    ignore: Sequence[str] = ()
    replace_head: bool = False
    amp: bool = False
    accumulate: int | None = None
    ema: bool = False
    strategy: str | None = None
    tensorboard: bool = False
    tta: bool = False
    exact: bool = False
    report: bool = True
    max_samples: int | None = None
    dry_run: bool = False
    quiet: bool = False
    verbose: bool = False
    no_progress: bool = False
    command: Sequence[str] = field(default_factory=list)


def apply_options(cfg: Config, options: RunOptions, name: str) -> None:
    """Write the options into ``cfg``.

    Raises:
        ConfigError: an option is out of range or does not fit the config.
        MissingExtra: an option needs a package that is not installed.
    """
    if options.seed is not None:
        require_in_range(option("seed"), options.seed, "randomness.seed")
    seed = options.seed if options.seed is not None else (cfg.get("randomness") or {}).get("seed")
    cfg.randomness = {**(cfg.get("randomness") or {}), "seed": 0 if seed is None else int(seed)}
    cfg.randomness.deterministic = options.deterministic or bool(cfg.randomness.get("deterministic"))
    cfg.experiment_name = name
    if options.amp:
        _set_amp(cfg)
    if options.accumulate is not None:
        require_in_range(option("accumulate"), options.accumulate, "optim_wrapper.accumulative_counts")
        cfg.optim_wrapper.accumulative_counts = options.accumulate
    if options.ema:
        cfg.ema = cfg.get("ema") or True
    if options.tensorboard:
        cfg.vis_backends = with_tensorboard(cfg.get("vis_backends"))
    if options.strategy is not None:
        cfg.merge_from_dict({"env_cfg.dist_cfg.strategy": options.strategy})
    _check_strategy(cfg)


def _set_amp(cfg: Config) -> None:
    kind = cfg.optim_wrapper.get("type", "OptimWrapper")
    if kind not in ("OptimWrapper", "AmpOptimWrapper"):
        raise ConfigError(
            option("amp"), expected="optim_wrapper of type OptimWrapper", found=f"{kind}", advice="set its type by hand"
        )
    cfg.optim_wrapper.type = "AmpOptimWrapper"


def limit_samples(cfg: Config, most: int | None) -> None:
    """Let every data set of ``cfg`` use at most its first ``most`` samples; None changes nothing.

    Raises:
        ConfigError: ``most`` is less than 1, or a data set cannot be limited.
    """
    if most is None:
        return
    if most < 1:
        raise ConfigError(
            option("max_samples"), expected="a whole number above 0", found=f"{most}", advice="use 1 or more"
        )
    for _, dataset in data_sets(cfg):
        _require_indices(dataset.get("type"))
        dataset.indices = most


def _require_indices(kind: Any) -> None:
    cls = DATASETS.get(kind) if isinstance(kind, str) else kind
    if cls is not None and not _takes_indices(cls):
        raise ConfigError(
            option("max_samples"),
            expected="a data set with the argument indices",
            found=f"{kind}",
            advice="leave it out",
        )


def _takes_indices(cls: type) -> bool:
    return any("indices" in inspect.signature(base).parameters for base in cls.__mro__[:-1])


def strategy_of(cfg: Config) -> str:
    """Return the strategy of several processes in ``env_cfg.dist_cfg.strategy``, by default ``ddp``.

    Example:
        >>> strategy_of(Config(dict(env_cfg=dict(dist_cfg=dict(strategy="fsdp")))))
        'fsdp'
    """
    return (cfg.get("env_cfg", {}).get("dist_cfg") or {}).get("strategy", "ddp")


def _check_strategy(cfg: Config) -> None:
    strategy = strategy_of(cfg)
    if strategy not in STRATEGIES:
        raise ConfigError(
            option("strategy"),
            expected=f"one of {', '.join(STRATEGIES)}",
            found=f"{strategy!r}",
            advice="choose one of them",
        )
    if strategy == "fsdp" and cfg.get("ema"):
        raise ConfigError(
            option("strategy", "fsdp"),
            expected="a run without averaged weights",
            found="ema",
            advice="leave one of them out",
        )


def training_hooks(cfg: Config) -> list[dict]:
    """Return the configs of the hooks that always run and of those that the config adds.

    The keys ``custom_hooks``, ``ema``, ``freeze``, ``linear_probe`` and ``early_stopping`` add hooks.

    Raises:
        ConfigError: an unknown argument of a hook, or ``early_stopping`` without ``monitor`` or without validation.
    """
    always = [dict(type="FiniteLossHook"), dict(type="TrainingProgressHook"), dict(type="CurvesHook")]
    hooks = [*always, *(cfg.get("custom_hooks") or [])]
    if cfg.get("ema"):
        given = cfg.ema if isinstance(cfg.ema, Mapping) else {}
        base = {} if {"ema_type", "momentum"} & set(given) else EMA
        hooks.append(_checked("ema", {**base, **given, "type": "EMAHook"}))
    if cfg.get("freeze"):
        hooks.append(dict(type="FrozenNormsHook", patterns=cfg["freeze"]))
    if cfg.get("linear_probe"):
        hooks.append(dict(type="FrozenPartsHook"))
    if cfg.get("early_stopping"):
        if not isinstance(cfg.early_stopping, Mapping) or "monitor" not in cfg.early_stopping:
            raise ConfigError(
                "early_stopping",
                expected="dict(monitor='coco/bbox_mAP', patience=5)",
                found="no monitor",
                advice="add it",
            )
        if not cfg.get("val_dataloader"):
            raise ConfigError(
                "early_stopping",
                expected="a config with val_dataloader, which measures the metric",
                found="none",
                advice="add it, or set early_stopping=False",
            )
        hooks.append(_checked("early_stopping", {**cfg.early_stopping, "type": "ZooEarlyStoppingHook"}))
    return hooks


def has_averaging(cfg: Config) -> bool:
    """Return True if a run of the config averages its weights.

    Example:
        >>> has_averaging(Config(dict(ema=True))), has_averaging(Config(dict(custom_hooks=[dict(type="EMAHook")])))
        (True, True)
    """
    hooks = cfg.get("custom_hooks") or []
    names = [str(hook.get("type")).rpartition(".")[2] for hook in hooks if isinstance(hook, Mapping)]
    return bool(cfg.get("ema")) or "EMAHook" in names


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
        raise ConfigError(f"{key}.{unknown[0]}: expected one of {known}, found none of them; remove or rename it")
    return hook
