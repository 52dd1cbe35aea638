"""Short options: names for settings that every config has, ``--epochs``, ``--lr``, ``--image-size``.

Each short option becomes values by dotted path, as ``--cfg-options`` gives them. A config without the setting refuses
the option by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from visionzoo.config.data_parts import LOADERS, data_sets
from visionzoo.config.image_size import image_size_settings
from visionzoo.config.options import parse_options
from visionzoo.config.ranges import require_in_range
from visionzoo.config.run_length import length_of
from visionzoo.config.tree import MISSING, all_paths, lookup, with_value
from visionzoo.errors import ConfigError, some_of

_SHOWN = 4


@dataclass
class Settings:
    """Values that short options set.

    Attributes:
        options: from a dotted path to its value, for ``load_config(options=...)``.
        notes: one line for each short option.
    """

    options: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def short_settings(cfg: Mapping[str, Any], chosen: Mapping[str, Any], *, training: bool = True) -> Settings:
    """Return the values that short options set in a config.

    Args:
        cfg: the values of the loaded config.
        chosen: from the name of a short option (``batch_size``) to its value.
        training: False for a test, where ``batch_size`` is that of the test data.

    Raises:
        ConfigError: a value is not allowed, or the config does not have the setting.

    Example:
        >>> from visionzoo.config import load_config
        >>> settings = short_settings(load_config("fpn_retinanet").cfg.to_dict(), {"epochs": 24, "lr": 0.001})
        >>> settings.options["train_cfg.max_epochs"], settings.options["auto_scale_lr.enable"]
        (24, False)
        >>> settings.notes[1]
        '--lr 0.001: optim_wrapper.optimizer.lr=0.001, auto_scale_lr.enable=False'
    """
    settings = Settings()
    for name, value in chosen.items():
        flag = f"--{name.replace('_', '-')}"
        make = _OF_A_TEST.get(name, _MAKERS[name]) if not training else _MAKERS[name]
        options, remark = make(cfg, value)
        _require_apart(flag, options, settings.options)
        settings.options |= options
        facts = some_of((f"{path}={value!r}" for path, value in options.items()), most=_SHOWN)
        typed = flag if value is True else f"{flag} {_as_typed(value)}"
        settings.notes.append(f"{typed}: {facts}{f'; {remark}' if remark else ''}")
    return settings


def _require_apart(flag: str, new: Mapping[str, Any], old: Mapping[str, Any]) -> None:
    """Raise an error if two short options set one path to different values."""
    for path, value in new.items():
        if path in old and old[path] != value:
            raise ConfigError(
                flag,
                expected=f"one option that sets {path}",
                found=f"two, which set {old[path]!r} and {value!r}",
                advice="remove one of them",
            )


def require_no_conflict(settings: Settings, cfg_options: Any) -> None:
    """Raise an error if a short option and ``--cfg-options`` set a path to different values.

    Raises:
        ConfigError: the message names the path and both values.
    """
    for path, value in parse_options(cfg_options).items():
        dotted = ".".join(path)
        if dotted in settings.options and settings.options[dotted] != value:
            raise ConfigError(
                f"--cfg-options {dotted}",
                expected="one value",
                found=f"{value!r} and {settings.options[dotted]!r} of a short option",
                advice="remove one of the two options",
            )


def with_whole_pipelines(options: Mapping[str, Any], cfg: Mapping[str, Any]) -> dict[str, Any]:
    """Return options in which a step of a pipeline is set by the whole pipeline if the type of its data set is set too.

    A new type drops the arguments of the old part that are set in the same command, also if only a step of them is.

    Args:
        options: from a dotted path to its value.
        cfg: the values of a config that has the new data sets.
    """
    whole: dict[str, Any] = {}
    for dotted, value in options.items():
        part, marker, step = dotted.partition(".pipeline.")
        if marker and f"{part}.type" in options:
            path = f"{part}.pipeline"
            old = whole.get(path, lookup(cfg, tuple(path.split("."))))
            whole[path] = with_value(old, tuple(step.split(".")), value)
        else:
            whole[dotted] = value
    return whole


Made = tuple[dict[str, Any], str]


def _epochs(cfg: Mapping[str, Any], count: int) -> Made:
    require_in_range("--epochs", count, "train_cfg.max_epochs")
    length = length_of(cfg)
    if length is None:
        raise _without("--epochs", "train_cfg.max_epochs or train_cfg.max_iters")
    if length.by_epoch:
        return {"train_cfg.max_epochs": count}, ""
    if "type" not in cfg["train_cfg"]:
        raise _without("--epochs", "train_cfg.type")
    loop = {"type": "EpochBasedTrainLoop", "max_epochs": count, "val_interval": 1}
    return {f"train_cfg.{key}": value for key, value in loop.items()}, ""


def _batch_size(cfg: Mapping[str, Any], count: int) -> Made:
    require_in_range("--batch-size", count, "train_dataloader.batch_size")
    path = _existing(cfg, "--batch-size", "train_dataloader.batch_size")
    scaling = cfg.get("auto_scale_lr") or {}
    rate = lookup(cfg, ("optim_wrapper", "optimizer", "lr"))
    stays = "the learning rate stays" + (f" {rate:g}" if isinstance(rate, (int, float)) else "")
    return {path: count}, "the learning rate follows" if scaling.get("enable") else stays


def _test_batch_size(cfg: Mapping[str, Any], count: int) -> Made:
    require_in_range("--batch-size", count, "test_dataloader.batch_size")
    return {_existing(cfg, "--batch-size", "test_dataloader.batch_size"): count}, ""


def _lr(cfg: Mapping[str, Any], rate: float) -> Made:
    require_in_range("--lr", rate, "optim_wrapper.optimizer.lr")
    path = _existing(cfg, "--lr", "optim_wrapper.optimizer.lr")
    scaled = (cfg.get("auto_scale_lr") or {}).get("enable")
    return {path: rate, **({"auto_scale_lr.enable": False} if scaled else {})}, ""


def _workers(cfg: Mapping[str, Any], count: int) -> Made:
    require_in_range("--workers", count, "train_dataloader.num_workers")
    options: dict[str, Any] = {}
    for loader in (name for name in LOADERS if cfg.get(name)):
        options[f"{loader}.num_workers"] = count
        without = {"persistent_workers": False, "prefetch_factor": None} if count == 0 else {}
        options |= {f"{loader}.{key}": value for key, value in without.items() if cfg[loader].get(key)}
    return options, ""


def _classes(cfg: Mapping[str, Any], text: str) -> Made:
    names = [name.strip() for name in text.split(",")]
    if not all(names) or len(set(names)) < len(names):
        raise ConfigError(
            "--classes", expected="different names with commas between them", found=repr(text), advice="write cat,dog"
        )
    return {f"{path}.classes": names for path, part in data_sets(cfg) if _takes_classes(part)}, ""


def _takes_classes(part: Mapping[str, Any]) -> bool:
    from visionzoo.config.resolving import find_anywhere
    from visionzoo.config.signatures import arguments_of

    found = find_anywhere(str(part.get("type")))
    if found is not None and "classes" not in arguments_of(found).names:
        raise ConfigError(
            "--classes",
            expected="data sets with the argument classes",
            found=f"{part.get('type')}",
            advice="leave --classes out",
        )
    return True


def _freeze(cfg: Mapping[str, Any], patterns: list[str]) -> Made:
    return {"freeze": list(patterns)}, ""


def _linear_probe(cfg: Mapping[str, Any], chosen: bool) -> Made:
    if cfg.get("freeze"):
        raise ConfigError(
            "--linear-probe", expected="a config without freeze", found=f"{cfg['freeze']}", advice="remove one of both"
        )
    return {"linear_probe": chosen}, ""


def _num_classes(cfg: Mapping[str, Any], count: int) -> Made:
    require_in_range("--num-classes", count, "num_classes")
    paths = [path for path in all_paths(cfg.get("model"), "model") if path.endswith(".num_classes")]
    stated = {path: count for path in paths if lookup(cfg, tuple(path.split("."))) is not None}
    return {"num_classes": count, **stated}, ""


def _layer_decay(cfg: Mapping[str, Any], factor: float) -> Made:
    require_in_range("--layer-decay", factor, "optim_wrapper.paramwise_cfg.layer_decay")
    return _rates_by_layer(cfg, "--layer-decay", {"layer_decay": factor})


def _head_lr_multiplier(cfg: Mapping[str, Any], factor: float) -> Made:
    require_in_range("--head-lr-multiplier", factor, "optim_wrapper.paramwise_cfg.head_lr_mult")
    return _rates_by_layer(cfg, "--head-lr-multiplier", {"head_lr_mult": factor})


def _rates_by_layer(cfg: Mapping[str, Any], flag: str, settings: Mapping[str, float]) -> Made:
    """Return the settings of the constructor LayerDecay. The weight decay of a config stays as it is."""
    _existing(cfg, flag, "optim_wrapper.optimizer")
    used = cfg["optim_wrapper"].get("constructor") or _USUAL_CONSTRUCTOR
    if used not in (_USUAL_CONSTRUCTOR, _BY_LAYER):
        raise ConfigError(
            flag,
            expected=f"an optim_wrapper with the constructor {_USUAL_CONSTRUCTOR} or {_BY_LAYER}",
            found=f"{used}",
            advice="set paramwise_cfg by hand",
        )
    given = cfg["optim_wrapper"].get("paramwise_cfg") or {}
    decay = {} if used == _BY_LAYER or "decay_all" in given else {"decay_all": True}
    options = {f"optim_wrapper.paramwise_cfg.{key}": value for key, value in {**settings, **decay}.items()}
    return {"optim_wrapper.constructor": _BY_LAYER, **options}, ""


_USUAL_CONSTRUCTOR, _BY_LAYER = "DefaultOptimWrapperConstructor", "LayerDecay"


def _patience(cfg: Mapping[str, Any], count: int) -> Made:
    require_in_range("--patience", count, "early_stopping.patience")
    return _early_stopping(cfg, "--patience", {"patience": count})


def _early_stop(cfg: Mapping[str, Any], epochs: int) -> Made:
    if epochs == 0:
        return {"early_stopping": False}, ""
    require_in_range("--early-stop", epochs, "early_stopping.epochs")
    return _early_stopping(cfg, "--early-stop", {"epochs": epochs})


def _early_stopping(cfg: Mapping[str, Any], flag: str, patience: Mapping[str, int]) -> Made:
    if not cfg.get("val_dataloader"):
        raise _without(flag, "val_dataloader")
    if cfg.get("early_stopping"):
        other = {"epochs": None} if "patience" in patience and cfg["early_stopping"].get("epochs") else {}
        return {f"early_stopping.{key}": value for key, value in {**patience, **other}.items()}, ""
    return {"early_stopping": {**monitored(cfg), **patience}}, ""


def monitored(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metric by which a training is stopped early: that of its best checkpoint, else that of the task.

    Example:
        >>> monitored({})
        {'monitor': 'auto', 'min_delta': 1e-06}
    """
    saved = lookup(cfg, ("default_hooks", "checkpoint"))
    saved = saved if isinstance(saved, Mapping) else {}
    best, rule = saved.get("save_best"), saved.get("rule")
    metric = {"monitor": best, "rule": rule} if isinstance(best, str) and isinstance(rule, str) else {"monitor": "auto"}
    return {**metric, "min_delta": _SMALLEST}


_SMALLEST = 1e-6  # a metric that stays equal, such as 0, is not an improvement


def _existing(cfg: Mapping[str, Any], flag: str, path: str) -> str:
    if lookup(cfg, tuple(path.split("."))) is MISSING:
        raise _without(flag, path)
    return path


def _without(flag: str, path: str) -> ConfigError:
    return ConfigError(flag, expected=f"a config with {path}", found="none", advice=f"leave {flag} out")


def _as_typed(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


_MAKERS: dict[str, Callable[[Mapping[str, Any], Any], Made]] = {
    "epochs": _epochs,
    "batch_size": _batch_size,
    "lr": _lr,
    "image_size": lambda cfg, text: (image_size_settings(cfg, text), ""),
    "workers": _workers,
    "classes": _classes,
    "num_classes": _num_classes,
    "freeze": _freeze,
    "linear_probe": _linear_probe,
    "layer_decay": _layer_decay,
    "head_lr_multiplier": _head_lr_multiplier,
    "early_stop": _early_stop,
    "patience": _patience,
}
_OF_A_TEST: dict[str, Callable[[Mapping[str, Any], Any], Made]] = {"batch_size": _test_batch_size}
