"""Configs of parts: their names, classes and arguments, and values that are filled in or must agree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from mmengine.config import ConfigDict

from visionzoo.config.image_channels import SETTINGS
from visionzoo.config.parts import AUXILIARY_HEAD, HEAD, PROPOSAL_HEAD, ROI_HEAD, Part, parts_of, typed_parts
from visionzoo.config.signatures import arguments_of
from visionzoo.errors import ConfigError, UnknownName
from visionzoo.registry import MODELS, own_parts

_READ_FEATURE_MAPS = (HEAD, PROPOSAL_HEAD, AUXILIARY_HEAD)


def necks_of(model: ConfigDict) -> list[tuple[str, ConfigDict]]:
    """Return path and config of each neck of a model, in order."""
    return listed(model.get("neck"), "model.neck")


def dense_heads(model: ConfigDict) -> Iterator[tuple[str, ConfigDict, Part]]:
    """Yield path, config and :class:`Part` of each head that reads the feature maps of the trunk."""
    for path, cfg, part in parts_in(model):
        if part.kind in _READ_FEATURE_MAPS:
            yield path, cfg, part


def roi_heads(model: ConfigDict) -> Iterator[tuple[str, ConfigDict, Part]]:
    """Yield path, config and :class:`Part` of each RoI head."""
    for path, cfg, part in parts_in(model):
        if part.kind == ROI_HEAD:
            yield path, cfg, part


def parts_in(model: ConfigDict) -> Iterator[tuple[str, ConfigDict, Part]]:
    """Yield path, config and :class:`Part` of each part of a model that has a type, also of the parts inside a part.

    Example:
        >>> model = ConfigDict(type="TaskModel", backbone=dict(type="DiNAT"), head=dict(type="SCNNHead"))
        >>> [(path, part.kind) for path, cfg, part in parts_in(model)]
        [('model.backbone', 'backbone'), ('model.head', 'head')]
    """
    parts = parts_of(resolved(model) if "type" in model else None)
    for path, cfg, part in _typed(model, parts, "model"):
        yield path, cfg, part
        for below, own, inside in _typed(cfg, getattr(resolved(cfg), "PARTS", {}), path):
            yield below, own, replace(inside, named=part.named)


def _typed(owner: Mapping, parts: Mapping[str, Part], path: str) -> Iterator[tuple[str, ConfigDict, Part]]:
    for key, part in parts.items():
        for place, cfg in typed_parts(owner.get(key), part, f"{path}.{key}"):
            if isinstance(cfg, Mapping) and "type" in cfg:
                yield place, cfg, part  # type: ignore[misc]


def listed(parts: Any, path: str) -> list[tuple[str, ConfigDict]]:
    """Return path and config of each dict with a type in a value, which is a dict, a list of dicts, or None."""
    if isinstance(parts, Mapping):
        return [(path, parts)] if "type" in parts else []  # type: ignore[list-item]
    if isinstance(parts, (list, tuple)):
        return [(f"{path}.{i}", part) for i, part in enumerate(parts) if isinstance(part, Mapping) and "type" in part]
    return []


def fill(part: ConfigDict, name: str, value: Any, giver: str, path: str) -> None:
    """Set ``part[name]`` if the config has no value.

    Args:
        part: config of the part that uses the value.
        name: the argument.
        value: the value that follows from another part or from the data.
        giver: what the value follows from, for messages.
        path: dotted path of ``part``.

    Raises:
        ConfigError: the config has another value. The message names both sides.

    Example:
        >>> head = ConfigDict(type="mmdet.RetinaHead")
        >>> fill(head, "in_channels", 16, "mmdet.FPN", "model.bbox_head")
        >>> head.in_channels
        16
    """
    value = list(value) if isinstance(value, tuple) else value
    if part.get(name) is None:
        part[name] = value
    elif _comparable(part[name]) != _comparable(value):
        raise disagreement(path, name, part[name], value, giver, name_of(part))


def disagreement(path: str, name: str, given: Any, derived: Any, giver: str, taker: str) -> ConfigError:
    """Return the error for a value in the config that differs from the one that follows from ``giver``."""
    return ConfigError(
        f"{path}.{name}",
        expected=f"{derived} from {giver}",
        found=f"{given} for {taker}",
        advice=f"remove {name}, which is then filled in, or change {giver}",
    )


def _comparable(value: Any) -> Any:
    """Return strides as plain numbers, because a config may give them as 8 or (8, 8)."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(v[0] if isinstance(v, Sequence) and len(set(v)) == 1 else v for v in value)
    return value


def name_of(cfg: Mapping) -> str:
    """Return the type of a part as text."""
    kind = cfg["type"]
    return kind if isinstance(kind, str) else getattr(kind, "__name__", str(kind))


def kind_of(cfg: Mapping) -> str:
    """Return the class name without the scope of its library."""
    return name_of(cfg).rpartition(".")[2]


def resolved(cfg: Mapping, registry: Any = MODELS) -> Any:
    """Return the class of a part.

    Raises:
        UnknownName: no part has the name.
    """
    kind = cfg["type"]
    if not isinstance(kind, str):
        return kind
    part = registry.get(kind)
    if part is None:
        raise UnknownName(kind, kind=registry.name, known=registry.known_names(kind.partition(".")[0]))
    return part.func if isinstance(part, partial) else part


def reads_pairs(cfg: Mapping) -> bool:
    """Return True if a part reads pairs of images or their maps, as ``READS_PAIRS`` of its class states."""
    return bool(getattr(resolved(cfg), "READS_PAIRS", False))


def pair_backbone() -> str:
    """Return the backbone that runs a backbone of single images on both images of a pair.

    It declares ``READS_PAIRS``, and a backbone in ``PARTS``.

    Example:
        >>> pair_backbone()
        'SiamesePair'
    """
    return next(name for name, cls in sorted(own_parts("backbones").items()) if _runs_on_pairs(cls))


def _runs_on_pairs(cls: Any) -> bool:
    holds_backbone = any(part.kind == "backbone" for part in getattr(cls, "PARTS", {}).values())
    return holds_backbone and getattr(cls, "READS_PAIRS", False)


def require_pairs(new: Mapping, old: Mapping) -> None:
    """Raise an error if a backbone of single images replaces one of pairs, and its config states no channels.

    Raises:
        ConfigError: the message states how the backbone runs on both images.

    Example:
        >>> require_pairs({"type": "MICDIREncoder"}, {"type": "ICNetEncoder"})
    """
    if reads_pairs(old) and not reads_pairs(new) and not set(SETTINGS) & set(new):
        raise ConfigError(
            "model.backbone",
            expected=f"a backbone of pairs of images, such as {name_of(old)}",
            found=f"{name_of(new)}, which reads single images",
            advice=f"set model.backbone.type={pair_backbone()} and model.backbone.backbone.type={name_of(new)}",
        )


def takes(cfg: Mapping, name: str) -> bool:
    """Return True if the class of the type in ``cfg`` has the argument ``name``."""
    return arguments_of(resolved(cfg)).know(name)
