"""Weights of a run for a model with the trunk of the run and other heads, or with heads under other names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from visionzoo.config import load_config
from visionzoo.config.runs import run_of
from visionzoo.errors import ZooError, counted
from visionzoo.models.heads_by_name import HeadsByName, heads_by_name
from visionzoo.weights.loading import find_weights, weights_of
from visionzoo.weights.stated_variants import require_stated_variants
from visionzoo.weights.weight_file import read_weight_file

_HEADS, _WEIGHTING = "heads.", "loss_weighting."


@dataclass(frozen=True)
class Start:
    """Initial weights of a model.

    Attributes:
        source: what :func:`visionzoo.weights.loading.load_weights` reads: a file, or tensors by name.
        ignore: patterns of tensors that keep the model's new values.
        notes: sentences for the user.
    """

    source: Any
    ignore: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def start_of(
    model: nn.Module, source: str | os.PathLike, model_cfg: Mapping[str, Any], task: str | Sequence[str]
) -> Start:
    """Return how a model starts from the weights of a run on the same trunk.

    Heads that the run does not have keep their new values, and heads that only the run has are left out. The head of a
    run of one task is that of the task. The weighting of the losses starts with new values, because what it learns
    belongs to one training. Weights of a model of another form are used as they are.

    Args:
        model: a model with new values.
        source: a file, the folder of a run or an address.
        model_cfg, task: the ``model`` and the ``task`` of its config.

    Raises:
        CheckpointError: the file cannot be read, or states another variant of a part.
    """
    named, saved = _named(model_cfg, task), _named_of_run(source)
    if named is None or (saved is None and not _is_by_name(model_cfg)):
        return Start(source)
    file = read_weight_file(source)
    require_stated_variants(model, file.meta, file.path)
    stored = weights_of(file.contents, str(file.path))
    own = {named.name_of(name): name for name in model.state_dict()}
    tensors = {name if saved is None else saved.name_of(name): value for name, value in stored.items()}
    added, left_out = _only_first(own, tensors), _only_first(tensors, own)
    prefixes = tuple(f"{_HEADS}{head}." for head in left_out)
    kept = {own.get(name, name): value for name, value in tensors.items() if not name.startswith(prefixes)}
    new = [own[name] for head in added for name in own if name.startswith(f"{_HEADS}{head}.")]
    notes = [f"{head}: {source} has no such head; its {_count(own, head)} start with new values" for head in added]
    notes += [f"{head}: the config has no such head; its {_count(tensors, head)} are left out" for head in left_out]
    if any(name.startswith(_WEIGHTING) for name in (*own, *tensors)):
        new.append(f"{_WEIGHTING}*")
        notes.append("loss_weighting: starts with new values")
    if not added and not left_out and (saved is None or saved.prefixes == named.prefixes):
        return Start(source, tuple(new), tuple(notes))
    return Start(kept, tuple(new), tuple(notes))


def _is_by_name(model_cfg: Mapping[str, Any]) -> bool:
    return model_cfg.get("heads") is not None


def _named(model_cfg: Mapping[str, Any], task: str | Sequence[str]) -> HeadsByName | None:
    """Return a model with heads by name; None if it has another form."""
    try:
        return heads_by_name(model_cfg, task)
    except ZooError:  # the tensors that do not fit are reported when they are loaded
        return None


def _named_of_run(source: str | os.PathLike) -> HeadsByName | None:
    run = run_of(find_weights(source))
    try:
        cfg = None if run is None else load_config(run).cfg
    except ZooError:  # a file in a damaged folder is only a file
        return None
    return None if cfg is None or cfg.get("model") is None else _named(cfg.model, cfg.get("task") or ())


def _only_first(names: Iterable[str], others: Iterable[str]) -> list[str]:
    """Return the heads of which only the first names have a tensor, in their order."""
    known = _heads(others)
    return [head for head in _heads(names) if head not in known]


def _heads(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(name.split(".")[1] for name in names if name.startswith(_HEADS)))


def _count(names: Iterable[str], head: str) -> str:
    return counted(sum(name.startswith(f"{_HEADS}{head}.") for name in names), "tensor")
