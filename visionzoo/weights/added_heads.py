"""Weights of a run for a model that has the heads of the run and further ones."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from visionzoo.config import load_config
from visionzoo.config.runs import run_of
from visionzoo.errors import ZooError, counted
from visionzoo.models.heads_by_name import heads_by_name
from visionzoo.weights.loading import find_weights, read_weights

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


def start_of(model: nn.Module, source: str | os.PathLike) -> Start:
    """Return how a model starts from weights that may be those of fewer heads.

    Heads of the model of which the file has no tensor keep their new values. A run of one task has its head under the
    name of the task afterwards. For a model without heads by name, the weights are used as they are.

    Args:
        model: a model with new values.
        source: a file, the folder of a run or an address.

    Raises:
        CheckpointError: the file cannot be read.
    """
    heads = getattr(model, "heads", None)
    if not isinstance(heads, Mapping | nn.ModuleDict):
        return Start(source)
    saved = read_weights(source)
    tensors = _by_head(saved, source, heads)
    own = model.state_dict()
    added = [name for name in heads if _below(own, f"{_HEADS}{name}.") and not _below(tensors, f"{_HEADS}{name}.")]
    if not added or len(added) == len(heads):
        return Start(source)
    ignore = [f"{_HEADS}{name}.*" for name in added]
    notes = [
        f"heads.{name}: not in {source}; its {counted(len(_below(own, f'{_HEADS}{name}.')), 'tensor')} start with new "
        "values"
        for name in added
    ]
    if _below(own, _WEIGHTING) or _below(tensors, _WEIGHTING):
        ignore.append(f"{_WEIGHTING}*")
        notes.append("loss_weighting: starts with new values, because the heads differ")
    return Start(tensors, tuple(ignore), tuple(notes))


def _by_head(tensors: Mapping[str, Tensor], source: str | os.PathLike, heads: Any) -> Mapping[str, Tensor]:
    """Return the weights of a run of one task under the names of a model with heads by name."""
    run = run_of(find_weights(source))
    if run is None or any(name.startswith(_HEADS) for name in tensors):
        return tensors
    try:
        cfg = load_config(run).cfg
        named = heads_by_name(cfg.model, cfg.task, f"{run}: model")
    except ZooError:  # another model, which is not loaded here; loading reports the tensors that do not fit
        return tensors
    return named.renamed(tensors) if set(named.model["heads"]) <= set(heads) else tensors


def _below(tensors: Mapping[str, Any], prefix: str) -> list[str]:
    return [name for name in tensors if name.startswith(prefix)]
