"""The zoo as Python sees it: what there is, a model by its name, and inference."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visionzoo.config import config_names, find_config, load_config
from visionzoo.errors import ConfigError, InputError, one_of

if TYPE_CHECKING:
    from torch import nn

    from visionzoo.inference.inferencer import Inferencer

__all__ = ["Inferencer", "get_model", "list_models"]


def __getattr__(name: str) -> Any:
    """``Inferencer`` brings torch, so it is imported when asked for."""
    if name != "Inferencer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from visionzoo.inference.inferencer import Inferencer

    return Inferencer


def list_models(pattern: str | None = None, task: str | None = None) -> list[str]:
    """Names of the zoo's models, sorted; prints nothing and imports no torch.

    Args:
        pattern: only names that match it (``rcnet_*``) or that contain it (``gfl``).
        task: only models of this task, ``detection`` or ``instances``.

    Raises:
        InputError: no model has this task.

    >>> list_models("fpn_*")
    ['fpn_retinanet']
    """
    names = [name for name in config_names() if pattern is None or _matches(name, pattern)]
    if task is None:
        return names
    tasks = {name: tasks_of(name) for name in config_names()}
    known = set(chain.from_iterable(tasks.values()))
    if task not in known:
        raise InputError(f"--task {task}", expected="the task of a model", found="none", advice=f"{one_of(known)}")
    return [name for name in names if task in tasks[name]]


def _matches(name: str, pattern: str) -> bool:
    return pattern in name or fnmatchcase(name, pattern)


def tasks_of(name: str) -> tuple[str, ...]:
    """Return the tasks of a model; one, or several for a model of several heads."""
    task = load_config(name).cfg.get("task")
    return (task,) if isinstance(task, str) else tuple(task or ())


def headline(name: str) -> str:
    """The first line of a config's docstring."""
    text = ast.get_docstring(ast.parse(find_config(name).read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


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
    """A model of the zoo, in eval mode.

    Args:
        name: a model of the zoo or a config file.
        weights: file, work dir or address. None leaves the initial values of a training from scratch and never
            touches the network, also not for the backbone's pretrained weights.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        tiny: the config's tiny variant.
        backbone_only: only the backbone, (B, 3, H, W) to a tuple of feature maps; its ``out_channels`` and
            ``out_strides`` say what. Weights are those of the whole model.
        num_classes: classes to find. Default: the checkpoint's, else COCO's 80.
        ignore: patterns of tensors not to load, ``["bbox_head.retina_cls.*"]``, for another number of classes.
        trust_pickle: let the file of weights run code while it loads.
        overrides: changes of the config. A plain name is a part of the model, ``neck=dict(type="mmdet.FPN")``; other
            places are dotted paths, ``**{"model.neck.num_outs": 4}``.

    Raises:
        UnknownName: no model is called so.
        ConfigError: the config does not load or build.
        CheckpointError: the weights cannot be read or do not fit.
    """
    from visionzoo.weights.ready_model import ready_model

    loaded = load_config(Path(name), tiny=tiny, options=_options(overrides))
    model = ready_model(
        loaded,
        weights,
        device=device,
        num_classes=num_classes,
        ignore=ignore,
        trust_pickle=trust_pickle,
    )
    return _backbone_of(model, loaded) if backbone_only else model


def _options(overrides: dict[str, Any]) -> dict[str, Any]:
    return {path if "." in path else f"model.{path}": value for path, value in overrides.items()}


def _backbone_of(model: nn.Module, loaded: Any) -> nn.Module:
    """The backbone, told its channels and strides if it does not say them itself."""
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
