"""The config of a command that uses the weights of a run.

The folder of a run is a model, so its config comes with its weights. What wins:

* without a name, the config of the run;
* with the name of the released config that the run was made from, the config of the run;
* with another config, that config, if it has the same model;
* options of the command, over all of them.

A config with another model than that of the run is an error.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from visionzoo.config import LoadedConfig, diff_configs, load_config
from visionzoo.config.files import no_run
from visionzoo.config.runs import run_of
from visionzoo.errors import CheckpointError, ConfigError, ZooError, article_of, some_of
from visionzoo.weights.choosing import is_released
from visionzoo.weights.hub_model import hub_model, is_hub_model, name_of_hub_model

# The advice of an inference for a config with another model than that of the run.
AGAIN = '`visionzoo infer {run} INPUT`, or Inferencer("{run}")'
# Entries of a model on which its tensors do not depend.
_NOT_TENSORS = ("init_cfg", "train_cfg", "test_cfg", "data_preprocessor")
# Entries that differ if a model has further heads: the fusion of queries has no tensors.
_OF_HEADS = ("auxiliary_head", "loss_weighting", "panoptic_fusion_head")


def load_with_weights(
    name: str | os.PathLike | None,
    weights: str | os.PathLike | None,
    *,
    again: str,
    tiny: bool = False,
    options: Iterable[str] | Mapping[str, Any] = (),
    allow_new: bool = False,
    other_heads: bool = False,
) -> LoadedConfig:
    """Load the config for a model and its weights.

    Args:
        name: a released config, a file, the folder of a run or ``hf://ORG/REPO``; None for the config of the run of
            ``weights``.
        weights: a file, the folder of a run, an address or None.
        again: advice for an error: the command that works with the folder of the run, ``visionzoo infer {run} INPUT``.
        tiny, options, allow_new: see :func:`visionzoo.config.load_config`.
        other_heads: True if the config may have other heads than the run on the same trunk, for a training.

    Returns:
        The config. Its ``notes`` state which config is used if two differ.

    Raises:
        CheckpointError: ``weights`` is empty or of another type.
        ConfigError: no config is named, or the config has another model than the run.
        UnknownName: no released config has this name.

    Example:
        >>> load_with_weights("fpn_retinanet", None, again="").name
        'fpn_retinanet'
    """
    _require_source(weights)
    if is_hub_model(name):
        folder = hub_model(str(name))
        loaded = load_with_weights(
            folder, weights, again=again, tiny=tiny, options=options, allow_new=allow_new, other_heads=other_heads
        )
        loaded.name = name_of_hub_model(str(name))
        return loaded
    run = _run_of_weights(weights)
    if name is None:
        return load_config(run or _no_config(weights), tiny=tiny, options=options, allow_new=allow_new)
    named = _load_named(Path(name), run, tiny=tiny, options=options, allow_new=allow_new)
    if run is None or (named.run is not None and named.run.resolve() == run.resolve()):
        return named
    own = load_config(run, options=options, allow_new=allow_new)
    _require_same_model(named, own, again, other_heads)
    if own.name != named.name or Path(name).exists():
        named.notes.append(f"{named.source} is used with the weights of {run}")
        return named
    differing = diff_configs(named.cfg, own.cfg).lines()
    if differing:
        own.notes.append(
            f"{own.source} is used instead of {named.source}; {len(differing)} values differ: "
            + some_of([line.lstrip("-+~ ") for line in differing], most=3)
        )
    return own


def _no_config(weights: Any) -> NoReturn:
    """Raise the error for weights without a config."""
    if _is_missing_path(weights):
        raise no_run(Path(weights))
    expected = "a config's name, a file or the folder of a run"
    raise ConfigError("config", expected=expected, found="none", advice="add one")


def _load_named(path: Path, run: Path | None, *, tiny: bool, options: Any, allow_new: bool) -> LoadedConfig:
    """Load the config that the user names.

    Its options need to fit only the config that is used: that of the run if both have one name. A run by epochs, for
    example, may belong to a config that counts iterations.
    """
    try:
        return load_config(path, tiny=tiny, options=options, allow_new=allow_new)
    except ConfigError:
        if run is None or path.exists():
            raise
        plain = load_config(path, tiny=tiny)
        if load_config(run).name != plain.name:
            raise
        return plain


def _require_source(weights: object) -> None:
    if weights is None or (isinstance(weights, (str, os.PathLike)) and str(weights)):
        return
    raise CheckpointError(
        "weights",
        expected="a file, the folder of a run or an address",
        found="an empty text" if isinstance(weights, str) else article_of(weights),
        advice='name one, or leave it out (weights="none" for an untrained model)',
    )


def _is_missing_path(weights: str | os.PathLike | None) -> bool:
    return weights is not None and not is_released(weights) and not Path(weights).expanduser().exists()


def _run_of_weights(weights: str | os.PathLike | None) -> Path | None:
    named = weights is None or "://" in str(weights) or is_released(weights)
    path = None if named or weights is None else Path(weights).expanduser()
    return run_of(path) if path is not None and path.exists() else None


def _require_same_model(named: LoadedConfig, own: LoadedConfig, again: str, other_heads: bool) -> None:
    both = _of_common_heads(named, own) if other_heads else None
    both = both or (_tensor_settings(named), _tensor_settings(own))
    difference = diff_configs({"model": both[0]}, {"model": both[1]})
    if difference:
        paths = {**difference.changed, **difference.only_first, **difference.only_second}
        kind = "the full one, not that of --tiny" if own.tiny and not named.tiny else "another one"
        raise ConfigError(
            named.source,
            expected=f"the model of {own.run}, to which the weights belong",
            found=f"{kind} (different: {some_of(paths, most=3)})",
            advice=f"use {again.format(run=own.run)}",
        )


def _of_common_heads(named: LoadedConfig, own: LoadedConfig) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return both models as task models with the heads that both have; None if one has another form."""
    from visionzoo.models.heads_by_name import heads_by_name  # imports torch

    try:
        models = [heads_by_name(_tensor_settings(each), each.cfg.get("task") or ()).model for each in (named, own)]
    except ZooError:
        return None
    common = [name for name in models[0]["heads"] if name in models[1]["heads"]]
    first, second = (
        _without({**model, "heads": {name: model["heads"][name] for name in common}}, _OF_HEADS) for model in models
    )
    return first, second


def _tensor_settings(loaded: LoadedConfig) -> dict[str, Any]:
    from visionzoo.models.wiring import with_replaced_parts  # imports torch

    return _without(with_replaced_parts(loaded.cfg.model, loaded.replaced), _NOT_TENSORS)


def _without(value: Any, keys: tuple[str, ...]) -> Any:
    if isinstance(value, Mapping):
        return {key: _without(item, keys) for key, item in value.items() if key not in keys}
    if isinstance(value, (list, tuple)):
        return type(value)(_without(item, keys) for item in value)
    return value
