"""Python interface of the zoo: list the models, build a model by name, run inference."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from itertools import chain
from typing import TYPE_CHECKING, Any

from visionzoo.config import config_names, find_config, load_config
from visionzoo.errors import ConfigError, InputError, one_of
from visionzoo.system.deferred_imports import deferred_imports

if TYPE_CHECKING:
    from torch import nn

    from visionzoo.inference.inferencer import Inferencer

UNTRAINED = "none"
_OTHER_WORDS = frozenset(("pretrained", "checkpoint", "checkpoint_path", "ckpt", "pretrained_weights"))

__all__ = ["Inferencer", "get_model", "list_models"]


def __getattr__(name: str) -> Any:
    """Import ``Inferencer`` on first use, because it imports torch."""
    if name != "Inferencer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with deferred_imports():
        from visionzoo.inference.inferencer import Inferencer

    return Inferencer


def list_models(pattern: str | None = None, task: str | None = None) -> list[str]:
    """Return the names of the models of the zoo, sorted. This imports no torch.

    Args:
        pattern: only names that match it (``rcnet_*``) or contain it (``gfl``).
        task: only models of this task, ``detection``.

    Raises:
        InputError: no model has this task.

    Example:
        >>> list_models("fpn_*")
        ['fpn_retinanet']
    """
    names = [name for name in config_names() if pattern is None or _matches(name, pattern)]
    if task is None:
        return names
    tasks = {name: tasks_of(name) for name in config_names()}
    known = set(chain.from_iterable(tasks.values()))
    if task not in known:
        raise InputError(f"task {task!r}", expected="the task of a model", found="none", advice=f"{one_of(known)}")
    return [name for name in names if task in tasks[name]]


def _matches(name: str, pattern: str) -> bool:
    return pattern in name or fnmatchcase(name, pattern)


def tasks_of(name: str) -> tuple[str, ...]:
    """Return the tasks of a model: one, or several for a model with several heads.

    Example:
        >>> tasks_of("scnn_culane")
        ('lanes',)
    """
    task = load_config(name).cfg.get("task")
    return (task,) if isinstance(task, str) else tuple(task or ())


def headline(name: str) -> str:
    """Return the first line of the docstring of a config."""
    text = ast.get_docstring(ast.parse(find_config(name).read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


@deferred_imports()
def get_model(
    name: str | os.PathLike,
    weights: str | os.PathLike | None = None,
    device: str = "cpu",
    *,
    tiny: bool = False,
    backbone_only: bool = False,
    num_classes: int | None = None,
    ignore: Iterable[str] = (),
    trust_pickle: bool = False,
    **overrides: Any,
) -> nn.Module:
    """Build a model of the zoo, in eval mode.

    Args:
        name: a model of the zoo, a config file, the folder of a run or ``hf://ORG/REPO@REV``.
        weights: a file, the folder of a run or an address; ``"released"`` or ``"released:ID"`` for the weights that the
            card lists, fetched and converted. With None the model has the weights of the run, if ``name``
            is one, else the initial values of a training from scratch, as with ``"none"``. Nothing is downloaded then,
            not even pretrained weights of the backbone.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        tiny: build the tiny variant of the config.
        backbone_only: return only the backbone, which maps images (B, 3, H, W) to a tuple of feature maps. Its
            ``out_channels`` and ``out_strides`` describe them. ``weights`` are those of the whole model.
        num_classes: number of classes. Default: that of the checkpoint, else the 80 of COCO.
        ignore: patterns of tensors that are not loaded, ``["bbox_head.retina_cls.*"]``, for another number of classes.
        trust_pickle: let the file of weights run code while it loads.
        overrides: changes of the config. A plain name is a part of the model, ``neck=dict(type="mmdet.FPN")``. Other
            values have dotted paths, ``**{"model.neck.num_outs": 4}``.

    Returns:
        The model, or its backbone.

    Raises:
        UnknownName: no model has this name.
        ConfigError: the config cannot be loaded or built.
        CheckpointError: the weights cannot be read or do not fit.
        InputError: ``pretrained`` or another word for ``weights`` is given.

    Example:
        >>> import torch
        >>> backbone = get_model("dinat_mini_imagenet", tiny=True, backbone_only=True)
        >>> [tuple(feat.shape) for feat in backbone(torch.zeros(1, 3, 64, 64))]
        [(1, 128, 2, 2)]
    """
    from visionzoo.weights.choosing import chosen_weights
    from visionzoo.weights.ready_model import ready_model
    from visionzoo.weights.runs import load_with_weights

    _refuse_words_of_others(overrides)
    loaded = load_with_weights(name, weights, again='get_model("{run}")', tiny=tiny, options=_options(overrides))
    model = ready_model(
        loaded,
        loaded.run if weights is None else None if str(weights) == UNTRAINED else chosen_weights(loaded, weights),
        device=device,
        num_classes=num_classes,
        ignore=ignore,
        trust_pickle=trust_pickle,
    )
    return _backbone_of(model, loaded) if backbone_only else model


def _refuse_words_of_others(overrides: Mapping[str, Any]) -> None:
    """Raise an error for the arguments with which other libraries load weights."""
    for word in overrides.keys() & _OTHER_WORDS:
        raise InputError(
            "get_model",
            expected="the argument weights",
            found=f"{word}",
            advice="use weights=PATH (a file, work dir or address), or leave it out for an untrained model",
        )


def _options(overrides: dict[str, Any]) -> dict[str, Any]:
    return {path if "." in path else f"model.{path}": value for path, value in overrides.items()}


def _backbone_of(model: nn.Module, loaded: Any) -> nn.Module:
    """Return the backbone of a model. Set its channels and strides if it does not have these attributes."""
    from visionzoo.models.wiring import backbone_levels, fill_model

    backbone = getattr(model, "backbone", None)
    if backbone is None:
        raise ConfigError(
            loaded.source, expected="a model with a backbone", found=f"{type(model).__name__} without one"
        )
    levels = backbone_levels(fill_model(loaded.cfg.model, replaced=loaded.replaced).backbone)
    if not hasattr(backbone, "out_channels"):
        backbone.out_channels = levels.channels
    if not hasattr(backbone, "out_strides"):
        backbone.out_strides = levels.strides
    return backbone
