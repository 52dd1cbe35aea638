"""Channels, strides and class counts of a model, filled in from its backbone, so that a config states none twice.

Backbones and necks declare ``out_channels`` and ``out_strides``. For parts of other libraries,
which do not, one forward of zeros measures them. From these numbers the input channels of neck
and heads, and the strides of anchors, priors and RoI extractors, are filled in; a value that a
config gives explicitly stays, and must agree.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from visionzoo.config.parts import AUXILIARY_HEAD, HEAD, Part, parts_of, typed_parts
from visionzoo.config.signatures import Arguments, arguments_of
from visionzoo.config.tree import plain
from visionzoo.errors import ConfigError, UnknownName
from visionzoo.registry import MODELS, SCOPE, TASK_UTILS

# Side of the image of zeros that measures parts of other libraries: a multiple of stride 128.
_PROBE = 256

# Side of a crop of zeros.
_CROP_PROBE = 16

# RoI extractors read the levels up to stride 32 in a pyramid of five; only proposals use the coarser levels.
_ROI_LEVELS = 4

# Necks of mmdet that take one number although their signature does not show it, and necks that read the last level.
_SCALAR_NECKS = ("DilatedEncoder", "DyHead")
_LAST_LEVEL_NECKS = ("CTResNetNeck",)

# SOLO resizes its levels before it reads them, so its strides differ from those of the levels.
_OWN_STRIDES = ("SOLOHead", "SOLOV2Head", "DecoupledSOLOHead", "DecoupledSOLOLightHead")

_PROPOSAL_HEAD = "proposal head"
_READ_FEATURE_MAPS = (HEAD, _PROPOSAL_HEAD, AUXILIARY_HEAD)

# Number of classes if neither the config, the data set nor the checkpoint states it and the head has no usual number.
_COCO_CLASSES = 80


@dataclass(frozen=True)
class Levels:
    """Output of a part: channels and strides, one entry per feature map, shallow first."""

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    giver: str


def build_model(
    model_cfg: Mapping, *, replaced: Mapping[str, Mapping] | None = None, num_classes: int | None = None
) -> nn.Module:
    """Build a model whose channels and strides follow from its backbone.

    Args:
        model_cfg: the ``model`` of a config. It is not changed.
        replaced: configs that ``--cfg-options`` replaced, by path (``model.backbone``); see :func:`fill_model`.
        num_classes: number of classes of the data set, for heads that do not state theirs. None: the head's usual
            number, or else COCO's 80.

    Raises:
        ConfigError: two parts disagree.
    """
    return build_filled(fill_model(model_cfg, replaced=replaced, num_classes=num_classes))


def build_filled(model_cfg: Mapping) -> nn.Module:
    """Build a model from the result of :func:`fill_model`, which is not changed."""
    with DefaultScope.overwrite_default_scope(SCOPE):
        return MODELS.build(ConfigDict(copy.deepcopy(plain(model_cfg))))


def fill_model(
    model_cfg: Mapping, *, replaced: Mapping[str, Mapping] | None = None, num_classes: int | None = None
) -> ConfigDict:
    """Return a copy of ``model_cfg`` with every channel, stride and class count filled in.

    A backbone that replaces another one (``replaced["model.backbone"]``) gets the strides of that one if it has an
    argument for them, and its normalisation replaces that of the data preprocessor.
    """
    model = ConfigDict(copy.deepcopy(plain(model_cfg)))
    _fill_classes(model, num_classes)
    if not isinstance(model.get("backbone"), Mapping):
        return model
    with DefaultScope.overwrite_default_scope(SCOPE):
        old = (replaced or {}).get("model.backbone")
        if old is not None:
            _take_place_of(model, ConfigDict(copy.deepcopy(plain(old))))
        levels = backbone_levels(model.backbone)
        for path, neck in _necks(model):
            levels = _fill_neck(neck, levels, path)
        for path, head, _ in _dense_heads(model):
            _fill_head(head, levels, path)
        if isinstance(model.get("roi_head"), Mapping):
            _fill_roi_head(model.roi_head, levels, model.backbone)
    return model


def backbone_levels(cfg: Mapping) -> Levels:
    """Return channels and strides of a backbone, as it declares them or as one forward pass measures them."""
    return _levels_of(cfg, lambda device: torch.zeros(1, _input_channels(cfg), _PROBE, _PROBE, device=device))


def _levels_of(cfg: Mapping, make_input: Any) -> Levels:
    key = repr((plain(cfg), getattr(make_input, "key", None)))
    if key not in _measured:
        _measured[key] = _measure(cfg, make_input)
    return _measured[key]


_measured: dict[str, Levels] = {}


def _measure(cfg: Mapping, make_input: Any) -> Levels:
    """Measure on the meta device, which takes no memory, or on the CPU if the part needs real numbers."""
    try:
        return _measure_on("meta", cfg, make_input)
    except (NotImplementedError, RuntimeError, ConfigError):
        return _measure_on("cpu", cfg, make_input)


@torch.no_grad()
def _measure_on(device: str, cfg: Mapping, make_input: Any) -> Levels:
    with torch.device(device), torch.random.fork_rng(devices=[]):
        part = MODELS.build(ConfigDict(copy.deepcopy(plain(cfg))))
        part.eval()  # not chained: mmdet's ResNet returns nothing here
        channels, strides = getattr(part, "out_channels", None), getattr(part, "out_strides", None)
        if not (isinstance(channels, tuple) and isinstance(strides, tuple)):
            feats = part(make_input(device))
            feats = [feats] if isinstance(feats, Tensor) else [feat for feat in feats if isinstance(feat, Tensor)]
            channels = tuple(feat.shape[1] for feat in feats)
            strides = tuple(max(1, round(_PROBE / feat.shape[-1])) for feat in feats)
    return Levels(channels, strides, _name(cfg))


def _input_channels(cfg: Mapping) -> int:
    given = cfg.get("in_channels", 3)
    return given if isinstance(given, int) else 3


# --------------------------------------------------------------------------- backbone


def _take_place_of(model: ConfigDict, old: ConfigDict) -> None:
    """Give the new backbone the strides of the old one, and the model its normalisation."""
    new = model.backbone
    if _takes(new, "out_strides") and not {"out_indices", "out_strides"} & set(new):
        new.out_strides = backbone_levels(old).strides
    mean, std = _normalisation(new)
    preprocessor = model.get("data_preprocessor")
    if mean is not None and isinstance(preprocessor, dict) and preprocessor.get("mean") is not None:
        preprocessor.update(mean=list(mean), std=list(std))


def _normalisation(cfg: ConfigDict) -> tuple[Any, Any]:
    if not str(cfg.type).startswith("timm."):
        return None, None
    with torch.random.fork_rng(devices=[]):
        part = MODELS.build(cfg.copy())
    return part.mean, part.std


# --------------------------------------------------------------------------- neck


def _necks(model: ConfigDict) -> list[tuple[str, ConfigDict]]:
    return _listed(model.get("neck"), "model.neck")


def _fill_neck(neck: ConfigDict, levels: Levels, path: str) -> Levels:
    """Fill the input of a neck from ``levels`` and return its output levels."""
    arguments = arguments_of(_resolve(neck))
    if arguments.know("in_channels") or arguments.open:
        found: Any = levels.channels
        if _kind(neck) in _LAST_LEVEL_NECKS:
            found = levels.channels[-1]
        elif _takes_one_number(neck, arguments):
            found = _one_number(levels, path, _name(neck))
        _fill(neck, "in_channels", found, levels, path)
    if arguments.know("in_strides"):
        _fill(neck, "in_strides", levels.strides, levels, path)
    return _levels_of(neck, _Pyramid(levels))


class _Pyramid:
    """Feature maps of zeros with the channels and strides of the previous part."""

    def __init__(self, levels: Levels):
        self.levels, self.key = levels, (levels.channels, levels.strides)

    def __call__(self, device: str) -> tuple[Tensor, ...]:
        sizes = [ceil(_PROBE / stride) for stride in self.levels.strides]
        return tuple(torch.zeros(1, c, s, s, device=device) for c, s in zip(self.levels.channels, sizes))


def _takes_one_number(neck: ConfigDict, arguments: Arguments) -> bool:
    return arguments.annotation("in_channels") == "int" or _kind(neck) in _SCALAR_NECKS


def _one_number(levels: Levels, path: str, taker: str) -> int:
    if len(set(levels.channels)) > 1:
        raise ConfigError(
            f"{path}: {taker} expects feature maps of equal channels, {levels.giver} gives {levels.channels}; choose "
            "one level with out_indices, or put a neck between them"
        )
    return levels.channels[0]


# --------------------------------------------------------------------------- heads


def _dense_heads(model: ConfigDict) -> Iterator[tuple[str, ConfigDict, Part]]:
    """Yield path, config and argument of each head that reads the feature maps of the trunk."""
    for key, part in parts_of(_resolve(model) if "type" in model else None).items():
        if part.kind in _READ_FEATURE_MAPS:
            for path, head in typed_parts(model.get(key), part, f"model.{key}"):
                if isinstance(head, Mapping) and "type" in head:
                    yield path, head, part


def _fill_head(head: ConfigDict, levels: Levels, path: str) -> None:
    arguments = arguments_of(_resolve(head))
    if arguments.know("in_channels"):
        _fill(head, "in_channels", _head_channels(head, arguments, levels, path), levels, path)
    for name in ("strides", "point_strides", "in_strides"):
        if arguments.know(name) and _kind(head) not in _OWN_STRIDES:
            _fill(head, name, levels.strides, levels, path)
    for name in ("anchor_generator", "prior_generator"):
        if isinstance(head.get(name), Mapping):
            _fill_strides(head[name], levels, f"{path}.{name}")


def _fill_strides(generator: ConfigDict, levels: Levels, path: str) -> None:
    if arguments_of(_resolve(generator, TASK_UTILS)).know("strides"):
        _fill(generator, "strides", levels.strides, levels, path)


def _head_channels(head: ConfigDict, arguments: Arguments, levels: Levels, path: str) -> Any:
    """Return the channels of the levels that a head reads: one number, or a list for a head of several levels."""
    if arguments.know("in_index"):
        index = head.get("in_index", -1)
        return [levels.channels[i] for i in index] if isinstance(index, Sequence) else levels.channels[index]
    if len(levels.channels) > 1 and any(
        word in arguments.annotation("in_channels") for word in ("List", "Sequence", "list", "tuple")
    ):
        return list(levels.channels)
    return _one_number(levels, path, _name(head))


def _fill_roi_head(roi_head: ConfigDict, levels: Levels, backbone: ConfigDict) -> None:
    """Fill RoI extractors from the first four levels, and the heads of boxes and masks from the extracted crops."""
    width = _one_number(levels, "model.roi_head", _name(roi_head))
    strides = levels.strides[:_ROI_LEVELS]
    for name in ("bbox_roi_extractor", "mask_roi_extractor"):
        for path, extractor in _listed(roi_head.get(name), f"model.roi_head.{name}"):
            _fill(extractor, "out_channels", width, levels, path)
            extractor.setdefault("featmap_strides", list(strides))
            _check_roi_strides(extractor, levels, path)
    crops = levels
    for path, shared in _listed(roi_head.get("shared_head"), "model.roi_head.shared_head"):
        _continue_backbone(shared, backbone, path)
        crops = _levels_of(shared, _Crops(width))
    for name in ("bbox_head", "mask_head"):
        for path, head in _listed(roi_head.get(name), f"model.roi_head.{name}"):
            if _takes(head, "in_channels"):
                _fill(head, "in_channels", crops.channels[0], crops, path)


def _continue_backbone(shared: ConfigDict, backbone: ConfigDict, path: str) -> None:
    """Copy the settings that a part must share with the backbone which it continues, if the backbone states them."""
    source = Levels((), (), _name(backbone))
    for name in getattr(_resolve(shared), "AS_BACKBONE", ()):
        if backbone.get(name) is not None:
            _fill(shared, name, backbone[name], source, path)


class _Crops:
    """Zeros of one image's crop, of any size."""

    def __init__(self, width: int):
        self.width = self.key = width

    def __call__(self, device: str) -> Tensor:
        return torch.zeros(1, self.width, _CROP_PROBE, _CROP_PROBE, device=device)


def _check_roi_strides(extractor: ConfigDict, levels: Levels, path: str) -> None:
    given = tuple(extractor.featmap_strides)
    if given != levels.strides[: len(given)]:
        raise ConfigError(_disagreement(path, "featmap_strides", given, levels.strides, levels.giver, _name(extractor)))


# --------------------------------------------------------------------------- class counts


def _fill_classes(model: ConfigDict, num_classes: int | None) -> None:
    """Fill in the number of classes of each head.

    Without a number from the data set, auxiliary heads get the number of the main head.

    Raises:
        ConfigError: a single head states a number that differs from that of the data set.
    """
    roi_head = model.get("roi_head") or {}
    stated = (model.get("head") or {}).get("num_classes")
    heads = [(path, head, part) for path, head, part in _dense_heads(model) if part.kind != _PROPOSAL_HEAD]
    for name in ("bbox_head", "mask_head"):
        heads += [(path, head, Part(HEAD)) for path, head in _listed(roi_head.get(name), f"model.roi_head.{name}")]
    for path, head, part in heads:
        if not _takes(head, "num_classes") or _takes(head, "num_things_classes"):  # panoptic heads count two kinds
            continue
        usual = getattr(_resolve(head), "USUAL_CLASSES", _COCO_CLASSES)
        of_main_head = stated if part.kind == AUXILIARY_HEAD else None
        given = head.setdefault("num_classes", num_classes or of_main_head or usual)
        # Each of several heads has its own data set, and so its own number of classes.
        if num_classes is not None and given != num_classes and not part.named:
            raise ConfigError(
                f"{path}.num_classes",
                expected=f"the data set's {num_classes} classes",
                found=f"{head.num_classes}",
                advice="leave num_classes out, or give the data set the matching classes",
            )
    _fill_batch_augments(model)


def _fill_batch_augments(model: ConfigDict) -> None:
    """Give the transforms that mix batches the number of classes of the head."""
    count = (model.get("head") or {}).get("num_classes")
    if count is None:
        return
    for path, augment in _listed((model.get("data_preprocessor") or {}).get("batch_augments"), "batch_augments"):
        if _takes(augment, "num_classes") and augment.setdefault("num_classes", count) != count:
            raise ConfigError(
                f"model.data_preprocessor.{path}.num_classes",
                expected=f"the head's {count} classes",
                found=f"{augment.num_classes}",
                advice="leave num_classes out",
            )


# --------------------------------------------------------------------------- dictionaries


def _fill(part: ConfigDict, name: str, value: Any, levels: Levels, path: str) -> None:
    """Set ``part[name]`` if the config leaves it out; a value that differs is an error naming both sides."""
    value = list(value) if isinstance(value, tuple) else value
    if part.get(name) is None:
        part[name] = value
    elif _comparable(part[name]) != _comparable(value):
        raise ConfigError(_disagreement(path, name, part[name], value, levels.giver, _name(part)))


def _disagreement(path: str, name: str, given: Any, found: Any, giver: str, taker: str) -> str:
    return (
        f"{path}.{name}: {taker} expects {given}, but {giver} gives {found}; remove {name}, which is then filled in, "
        "or change one of the two"
    )


def _comparable(value: Any) -> Any:
    """Return strides as plain numbers, because a config may give them as 8 or (8, 8)."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(v[0] if isinstance(v, Sequence) and len(set(v)) == 1 else v for v in value)
    return value


def _listed(parts: Any, path: str) -> list[tuple[str, ConfigDict]]:
    """Return path and config of the parts under one key, which holds one part, a list of parts, or none."""
    if isinstance(parts, Mapping):
        return [(path, parts)] if "type" in parts else []  # type: ignore[list-item]
    if isinstance(parts, (list, tuple)):
        return [(f"{path}.{i}", part) for i, part in enumerate(parts) if isinstance(part, Mapping) and "type" in part]
    return []


def _name(cfg: Mapping) -> str:
    kind = cfg["type"]
    return kind if isinstance(kind, str) else getattr(kind, "__name__", str(kind))


def _kind(cfg: Mapping) -> str:
    """Return the class name without the scope of its library."""
    return _name(cfg).rpartition(".")[2]


def _resolve(cfg: Mapping, registry: Any = MODELS) -> Any:
    kind = cfg["type"]
    if not isinstance(kind, str):
        return kind
    found = registry.get(kind)
    if found is None:
        raise UnknownName(kind, kind=registry.name, known=registry.known_names(kind.partition(".")[0]))
    return found.func if isinstance(found, partial) else found


def _takes(cfg: Mapping, name: str) -> bool:
    """Return True if the class of a config has the argument ``name``."""
    return arguments_of(_resolve(cfg)).know(name)
