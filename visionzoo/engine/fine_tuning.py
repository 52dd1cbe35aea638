"""What a run that starts from weights changes: new tensors of classes, layers of a linear probe, an early end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config

from visionzoo.config import LoadedConfig
from visionzoo.config.options import OPTIONS, SOURCE
from visionzoo.config.run_length import length_of
from visionzoo.config.short_options import monitored
from visionzoo.engine.class_names import MOST
from visionzoo.engine.numbering import Numbered
from visionzoo.engine.run_options import RunOptions
from visionzoo.errors import ConfigError, some_of
from visionzoo.models.class_counts import ClassCounts, Counts
from visionzoo.option_names import option
from visionzoo.weights.class_tensors import class_tensors

# Patience of a fine-tuning in epochs: a share of its length, and at least this number.
_SHARE, _LEAST = 5, 10

# Keys of a data set's config on which the data does not depend.
_NOT_DATA = ("pipeline", "indices", "serialize_data", "lazy_init")


@dataclass(frozen=True)
class Tuning:
    """What a run changes about its weights.

    Attributes:
        renewed: names of the tensors that are not loaded, because they belong to the classes.
        trained: names of the only tensors that a linear probe trains; None for every other training.
        notes: sentences for the user.
    """

    renewed: tuple[str, ...] = ()
    trained: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()


def tuning_of(cfg: Config, options: RunOptions, data: Numbered, counts: Counts) -> Tuning:
    """Return what a run changes about its weights.

    Args:
        cfg: the config before class counts are filled in.
        options: options of the run.
        data: the data sets of the run.
        counts: class counts of the run; None if they are unknown.

    Raises:
        ConfigError: the head is to be replaced or probed, and no tensor of the model, or no data, has classes.
    """
    is_probe = bool(cfg.get("linear_probe"))
    if is_probe and cfg.get("freeze"):
        raise ConfigError(
            "linear_probe", expected="a config without freeze", found=f"{cfg['freeze']}", advice="remove one of both"
        )
    if is_probe and counts is None:
        raise ConfigError(
            "linear_probe", expected="data with classes", found="data without", advice="freeze parts by name (freeze)"
        )
    others = {} if counts is None else data.others
    if not (is_probe or others or options.replace_head):
        return Tuning()
    names = tuple(class_tensors(cfg.model, counts or ClassCounts(1)))
    if options.replace_head and not names:
        raise _without_classes(option("replace_head", True))
    if is_probe and not names:
        raise _without_classes("linear_probe")
    of_others = {task: _of_head(names, task) for task in others}
    renewed = names if options.replace_head else tuple(name for own in of_others.values() for name in own)
    notes = [_note_on_others(data, task, own) for task, own in of_others.items()]
    notes += [_note_on_head(renewed)] if options.replace_head and None not in others else []
    return Tuning(renewed, _of_main_heads(names) if is_probe else None, tuple(notes))


def _of_head(names: tuple[str, ...], task: str | None) -> tuple[str, ...]:
    """Return the names of the tensors of the head of a task; all names for a model of one task."""
    return names if task is None else tuple(name for name in names if name.startswith(f"heads.{task}."))


def _of_main_heads(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names without those of auxiliary heads, which give no predictions."""
    return tuple(name for name in names if not name.startswith("auxiliary_head"))


def _without_classes(where: str) -> ConfigError:
    return ConfigError(
        where,
        expected="a model with layers that give classes",
        found="none, no tensor depends on the number of classes",
        advice="leave it out, or freeze parts by name (freeze)",
    )


def _note_on_others(data: Numbered, task: str | None, renewed: tuple[str, ...]) -> str:
    own, others = some_of(data.classes_of(task) or (), MOST), data.others[task]
    return f"{others.source}: expected the classes of the data ({own}), found {others}; {_note_on_head(renewed)}"


def _note_on_head(renewed: tuple[str, ...]) -> str:
    return f"{len(renewed)} tensors start with new values: {some_of(renewed, 4)}"


def early_stopping_of(loaded: LoadedConfig, options: RunOptions, data: Numbered) -> dict[str, Any] | None:
    """Return the early stopping of a fine-tuning; None for another run, and for a run that sets it.

    A run is a fine-tuning if it starts from weights and learns other data: its data set is set in the command, the
    weights are those of other classes, or the head is replaced. The patience is a fifth of the epochs, at least 10; a
    run that is not longer has no early stopping.
    """
    cfg = loaded.cfg
    starts = bool(options.weights) and not options.resume
    if not starts or not cfg.get("val_dataloader") or cfg.get("early_stopping") is not None:
        return None
    if not (options.replace_head or data.others or _names_data(loaded)):
        return None
    patience = _patience(cfg)
    return None if patience is None else {**monitored(cfg.to_dict()), **patience, "required": False}


def _names_data(loaded: LoadedConfig) -> bool:
    """Return True if options of the command set the training data."""
    start = "train_dataloader.dataset."
    set_here = (path for path, source in loaded.origins.items() if source in (SOURCE, OPTIONS))
    named = (path.removeprefix(start).split(".") for path in set_here if path.startswith(start))
    return any(not set(keys) & set(_NOT_DATA) for keys in named)


def _patience(cfg: Mapping[str, Any]) -> dict[str, int] | None:
    """Return the patience of a run in epochs, or in validations if its length is in iterations."""
    length = length_of(cfg)
    if length is None:
        return None
    count = length.count if length.by_epoch else length.count // max(1, cfg["train_cfg"].get("val_interval") or 1)
    patience = max(_LEAST, count // _SHARE)
    return {"epochs" if length.by_epoch else "patience": patience} if patience < count else None
