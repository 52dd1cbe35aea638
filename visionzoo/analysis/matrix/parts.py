"""The parts of the matrix: backbones, necks and heads of the registries, each as the config of a small variant.

Parts of the zoo and of plugins are those of the registries, in their variant ``tiny``. Parts of mmdet and mmseg are
those that the configs use, as in their tiny variants. timm has too many models, so it is represented by families.

A head needs a model, data and a task, so a head is found in the configs: two configs have the same head if task, model,
number of axes and types of the heads are equal. The one with the fewest parts, then with the shortest name, represents
the head. A head with an argument ``dims`` is also there for the other numbers of axes of the data of its task.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from mmengine.config import ConfigDict

from visionzoo.config import config_names, load_config
from visionzoo.config.loading import has_tiny
from visionzoo.config.parts import AUXILIARY_HEAD, FUSION_HEAD, HEAD, PROPOSAL_HEAD
from visionzoo.config.signatures import default_of
from visionzoo.config.tree import plain
from visionzoo.errors import UnknownName
from visionzoo.models.part_configs import listed, parts_in, resolved, takes
from visionzoo.registry import own_parts

NO_NECK = "no neck"

# Families of timm, each as its smallest model; options reduce the others.
TIMM: Mapping[str, Mapping[str, Any]] = {
    "resnet10t": {},
    "regnetx_002": {},
    "convnext_atto": {},
    "efficientnet_lite0": {},
    "mobilenetv3_small_050": {},
    "vgg11": {},
    "densenet121": {"block_config": (2, 2, 2, 2)},
    "swin_tiny_patch4_window7_224": {"embed_dim": 32, "depths": (1, 1, 2, 1), "num_heads": (1, 2, 4, 8)},
    "vit_tiny_patch16_224": {"depth": 4, "embed_dim": 64, "num_heads": 2},
    "mixnet_s": {},
    "hrnet_w18_small": {},
}

_MAIN = (HEAD, PROPOSAL_HEAD, "RoI head")
_IN_ROI_HEADS = ("shared_head", "bbox_head", "mask_head")


@dataclass(frozen=True)
class TrunkPart:
    """A backbone or a neck.

    Attributes:
        name: its type, or :data:`NO_NECK`.
        cfg: its config; None for no neck.
    """

    name: str
    cfg: Mapping[str, Any] | None


@dataclass(frozen=True)
class Head:
    """A head with its model and data.

    Attributes:
        name: its type, or the type of its detector; heads of equal types also have what differs in their names.
        task: its task.
        config: name of the config that represents it; None for a head that no config uses.
        model: ``model`` of the tiny variant of this config.
        data: name of the config with its data; another one if the head reads another number of axes than in ``config``.
    """

    name: str
    task: str
    config: str | None
    model: Mapping[str, Any] = field(default_factory=dict)
    data: str | None = None


@cache
def backbones() -> tuple[TrunkPart, ...]:
    """Return the backbones, sorted: those of the zoo and of plugins, then those of other libraries.

    Example:
        >>> "DiNAT" in [backbone.name for backbone in backbones()]
        True
    """
    timm = [TrunkPart(f"timm.{name}", {"type": f"timm.{name}", **options}) for name, options in TIMM.items()]
    return (*_own("backbones"), *_of_libraries("backbone"), *timm)


@cache
def necks() -> tuple[TrunkPart, ...]:
    """Return the necks, and first the choice of none.

    Example:
        >>> [neck.name for neck in necks()][:2]
        ['no neck', 'LanguageFusion']
    """
    return (TrunkPart(NO_NECK, None), *_own("necks"), *_of_libraries("neck"))


@cache
def heads() -> tuple[Head, ...]:
    """Return the heads, sorted by name. A head of the registries that no config uses is one without a config.

    Example:
        >>> [(head.task, head.config) for head in heads() if head.name == "HMoDEHead"]
        [('counting', 'hmode_nwpu')]
    """
    found: dict[tuple[Any, ...], list[_Candidate]] = {}
    for config in tiny_configs():
        found.setdefault(_kinds(config.model, config.task), []).append(config)
    chosen = {key: min(configs, key=_rank) for key, configs in found.items()}
    chosen = {**dict(_of_other_axes(chosen.values())), **chosen}
    names = _names(list(chosen))
    made = [Head(names[key], one.task, one.name, one.model, one.data or one.name) for key, one in chosen.items()]
    used = {kind for key in chosen for kind in key}
    made += [Head(name, "", None) for name in own_parts("heads") if name not in used]
    return tuple(sorted(made, key=lambda head: (head.name, head.task)))


def text_encoder() -> Mapping[str, Any] | None:
    """Return the text encoder that the configs use most, in its tiny variant."""
    used = [config.model["text_encoder"] for config in tiny_configs() if config.model.get("text_encoder")]
    return max(used, key=used.count, default=None)


def matching(parts: Iterable[Any], patterns: Iterable[str], kind: str) -> list[Any]:
    """Return the parts whose names match one of the patterns. Without patterns, return all.

    Raises:
        UnknownName: a pattern matches no name.

    Example:
        >>> [neck.name for neck in matching(necks(), ["rc*"], "neck")]
        ['RCNet']
    """
    parts, patterns = list(parts), list(patterns)
    for pattern in patterns:
        if not any(_fits(part.name, pattern) for part in parts):
            raise UnknownName(pattern, kind=kind, known=[part.name for part in parts])
    return [part for part in parts if not patterns or any(_fits(part.name, pattern) for pattern in patterns)]


def _fits(name: str, pattern: str) -> bool:
    return fnmatchcase(name.lower(), pattern.lower())


# --------------------------------------------------------------------------- registries


def _own(folder: str) -> list[TrunkPart]:
    return [TrunkPart(name, _tiny(name, cls)) for name, cls in sorted(own_parts(folder).items())]


def _tiny(name: str, cls: type) -> dict[str, Any]:
    has_tiny_variant = "tiny" in getattr(cls, "VARIANTS", ())
    return {"type": name, "variant": "tiny"} if has_tiny_variant else {"type": name}


# --------------------------------------------------------------------------- configs


@dataclass(frozen=True)
class _Candidate:
    name: str
    task: str
    model: Mapping[str, Any]
    data: str | None = None


@cache
def tiny_configs() -> tuple[_Candidate, ...]:
    """Return the tiny variants of all configs of one task that have a model with a backbone."""
    found = []
    for name in config_names():
        if not has_tiny(name):
            continue
        cfg = load_config(name, tiny=True).cfg
        if isinstance(cfg.get("task"), str) and isinstance(cfg.model.get("backbone"), Mapping):
            found.append(_Candidate(name, cfg.task, cfg.model))
    return tuple(found)


def _of_other_axes(configs: Iterable[_Candidate]) -> Iterator[tuple[tuple[Any, ...], _Candidate]]:
    """Yield heads with an argument ``dims`` for the other numbers of axes for which a config of their task has data."""
    configs = list(configs)
    for one in configs:
        mains = [cfg for _, cfg, part in parts_in(one.model) if part.kind == HEAD]
        of_task = {axes_of(other.model): other.name for other in configs if other.task == one.task}
        for axes, data in of_task.items():
            if axes != axes_of(one.model) and all(takes(cfg, "dims") for cfg in mains):
                model = _with_dims(one.model, axes)
                yield _kinds(model, one.task), _Candidate(one.name, one.task, model, data)


def _with_dims(model: Mapping[str, Any], axes: int) -> ConfigDict:
    made = ConfigDict(copy.deepcopy(plain(model)))
    for _, cfg, _ in parts_in(made):
        if takes(cfg, "dims"):
            cfg.dims = axes
    return made


def _rank(config: _Candidate) -> tuple[int, int, str]:
    parts = [path for path, _, _ in parts_in(config.model)]
    return len(parts), len(config.name), config.name


def _of_libraries(argument: str) -> list[TrunkPart]:
    """Return the parts of mmdet and mmseg at an argument of the models, from the configs."""
    found: dict[str, list[dict[str, Any]]] = {}
    for config in tiny_configs():
        for _, cfg in listed(config.model.get(argument), argument):
            scope, dot, _ = str(cfg["type"]).partition(".")
            if dot and scope != "timm":
                found.setdefault(cfg["type"], []).append({k: v for k, v in cfg.items() if k != "init_cfg"})
    return [TrunkPart(name, min(cfgs, key=len)) for name, cfgs in sorted(found.items())]


def _kinds(model: Mapping[str, Any], task: str) -> tuple[Any, ...]:
    """Return what makes a head: task, model, number of axes, and the types of its heads and of their parts."""
    main = [cfg for _, cfg, part in parts_in(model) if part.kind in _MAIN]
    inner = [cfg for part in main for name in _IN_ROI_HEADS for _, cfg in listed(part.get(name), name)]
    return (task, model["type"], axes_of(model), *(cfg["type"] for cfg in (*main, *inner)))


def axes_of(model: Mapping[str, Any]) -> int:
    """Return the number of spatial axes that the main head of a model reads: its ``dims``, else 2.

    Example:
        >>> axes_of({"type": "TaskModel", "head": {"type": "VoxelMorphHead", "dims": 2}})
        2
    """
    dims = [axes_of_part(cfg) for _, cfg, part in parts_in(model) if part.kind == HEAD]
    return dims[0] if dims else 2


def axes_of_part(cfg: Mapping[str, Any]) -> int:
    """Return the number of spatial axes that a part reads."""
    return cfg.get("dims", default_of(resolved(cfg), "dims")) or 2


def _names(keys: list[tuple[Any, ...]]) -> dict[tuple[Any, ...], str]:
    """Return the shortest different names of heads: type, then task, then what else differs."""
    names = {key: _short(key) for key in keys}
    for form in (_with_task, _with_axes, _with_types):
        names = {key: name if _is_single(name, names) else form(key, name) for key, name in names.items()}
    return names


def _is_single(name: str, names: Mapping[Any, str]) -> bool:
    return list(names.values()).count(name) == 1


def _short(key: tuple[Any, ...]) -> str:
    _, model, _, *types = key
    own = [kind for kind in types if "." not in kind]
    return own[-1] if own else (types[-1] if len(types) == 1 else model)


def _with_task(key: tuple[Any, ...], name: str) -> str:
    return f"{name} ({key[0]})"


def _with_axes(key: tuple[Any, ...], name: str) -> str:
    return f"{_short(key)} ({key[2]}-D)"


def _with_types(key: tuple[Any, ...], name: str) -> str:
    return f"{name} ({key[-1]})"


def kinds_in(model: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield argument and config of each part of a model that is not of the trunk."""
    for path, cfg, part in parts_in(model):
        if part.kind in (*_MAIN, AUXILIARY_HEAD, FUSION_HEAD):
            yield path.removeprefix("model."), cfg
