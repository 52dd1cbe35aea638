"""Channels, strides and class counts of a model, filled in from its backbone, so that a config states none twice.

Backbones and necks declare ``out_channels`` and ``out_strides``. Parts of other libraries do not; their values are
measured with one forward pass of zeros. These values determine the input channels of necks and heads, and the strides
of anchors, priors and RoI extractors. A value in the config is kept, but an error is raised if it differs.
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

from visionzoo.config.parts import AUXILIARY_HEAD, HEAD, PROPOSAL_HEAD, Part, parts_of, typed_parts
from visionzoo.config.signatures import Arguments, arguments_of
from visionzoo.config.tree import plain
from visionzoo.errors import ConfigError, UnknownName
from visionzoo.registry import MODELS, SCOPE, TASK_UTILS, rejections_explained

# Side in pixels of the zero image for measuring parts of other libraries: a multiple of the largest stride, 128.
_PROBE = 256

# Side in cells of the zero RoI features for measuring a shared head. The channels do not depend on it.
_CROP_PROBE = 16

# RoI extractors read the four finest levels. In a pyramid of five levels, only proposals use the coarsest level.
_ROI_LEVELS = 4

# Necks of mmdet whose ``in_channels`` is one number, although it has no annotation.
_SCALAR_NECKS = ("DilatedEncoder", "DyHead")

# Necks of mmdet that read only the last level.
_LAST_LEVEL_NECKS = ("CTResNetNeck",)

# SOLO heads resize the feature maps, so their strides differ from those of the neck.
_OWN_STRIDES = ("SOLOHead", "SOLOV2Head", "DecoupledSOLOHead", "DecoupledSOLOLightHead")

_READ_FEATURE_MAPS = (HEAD, PROPOSAL_HEAD, AUXILIARY_HEAD)

# Number of classes if config, data set and checkpoint state none and the head has no USUAL_CLASSES.
_COCO_CLASSES = 80


@dataclass(frozen=True)
class Levels:
    """Output of a part.

    Attributes:
        channels: one entry per feature map, shallow first.
        strides: one entry per feature map.
        giver: name of the part.
    """

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
        num_classes: number of classes of the data set, for heads without ``num_classes``. None: the ``USUAL_CLASSES``
            of the head, or else 80 as in COCO.

    Raises:
        ConfigError: a value in the config differs from the derived one, or two parts do not fit together.
        UnknownName: no part has the name of a type.
    """
    return build_filled(fill_model(model_cfg, replaced=replaced, num_classes=num_classes))


def build_filled(model_cfg: Mapping) -> nn.Module:
    """Build a model from the result of :func:`fill_model`. The config is not changed."""
    with DefaultScope.overwrite_default_scope(SCOPE):
        return MODELS.build(ConfigDict(copy.deepcopy(plain(model_cfg))))


def fill_model(
    model_cfg: Mapping, *, replaced: Mapping[str, Mapping] | None = None, num_classes: int | None = None
) -> ConfigDict:
    """Return a copy of ``model_cfg`` with every channel, stride and class count filled in.

    A backbone that replaces another one (``replaced["model.backbone"]``) gets the strides of the old one if it has an
    argument ``out_strides`` and its config sets neither ``out_strides`` nor ``out_indices``. The mean and deviation of
    a timm backbone also replace those of the data preprocessor.
    """
    model = ConfigDict(copy.deepcopy(plain(model_cfg)))
    _fill_classes(model, num_classes)
    if not isinstance(model.get("backbone"), Mapping):
        return model
    model = with_replaced_parts(model, replaced or {})
    with DefaultScope.overwrite_default_scope(SCOPE):
        _fill_text_channels(model)
        levels = backbone_levels(model.backbone)
        for path, neck in _necks(model):
            levels = _fill_neck(neck, levels, path)
        for path, head, _ in _dense_heads(model):
            _fill_head(head, levels, path)
        if isinstance(model.get("roi_head"), Mapping):
            _fill_roi_head(model.roi_head, levels, model.backbone)
    return model


def with_replaced_parts(model_cfg: Mapping, replaced: Mapping[str, Mapping]) -> ConfigDict:
    """Return a copy of ``model_cfg`` with what a new backbone takes over from the one that it replaces.

    These values are part of what the user chose. All others are derived again whenever the model is built.

    Args:
        model_cfg: the ``model`` of a config.
        replaced: configs that ``--cfg-options`` replaced, by path.

    Example:
        >>> new, old = dict(type="timm.resnet18"), dict(type="DiNAT", variant="tiny")
        >>> with_replaced_parts(dict(backbone=new), {"model.backbone": old}).backbone.out_strides
        (4, 8, 16, 32)
    """
    model = ConfigDict(copy.deepcopy(plain(model_cfg)))
    old = replaced.get("model.backbone")
    if old is not None and isinstance(model.get("backbone"), Mapping):
        with DefaultScope.overwrite_default_scope(SCOPE):
            _take_place_of(model, ConfigDict(copy.deepcopy(plain(old))))
    return model


def backbone_levels(cfg: Mapping) -> Levels:
    """Return the channels and strides of a backbone, declared or measured with one forward pass."""
    return _levels_of(cfg, lambda device: torch.zeros(1, _input_channels(cfg), _PROBE, _PROBE, device=device))


def trunk_levels(model_cfg: Mapping) -> Levels:
    """Return the channels and strides of the feature maps that the heads of a model read.

    Args:
        model_cfg: the ``model`` of a config, with a backbone.

    Example:
        >>> trunk_levels(dict(backbone=dict(type="BossNet", variant="tiny"))).strides
        (4, 8, 16, 32)
    """
    model = fill_model(model_cfg)
    with DefaultScope.overwrite_default_scope(SCOPE):
        levels = backbone_levels(model.backbone)
        for path, neck in _necks(model):
            levels = _fill_neck(neck, levels, path)
    return levels


def _levels_of(cfg: Mapping, make_input: Any) -> Levels:
    key = repr((plain(cfg), getattr(make_input, "key", None)))
    if key not in _measured:
        _measured[key] = _measure(cfg, make_input)
    return _measured[key]


_measured: dict[str, Levels] = {}


def _measure(cfg: Mapping, make_input: Any) -> Levels:
    """Measure on the meta device, which takes no memory. If this fails, measure on the CPU."""
    try:
        return _measure_on("meta", cfg, make_input)
    except Exception:  # parts of other libraries raise errors of any type on the device meta
        with rejections_explained(_name(cfg)):
            return _measure_on("cpu", cfg, make_input)


@torch.no_grad()
def _measure_on(device: str, cfg: Mapping, make_input: Any) -> Levels:
    with torch.device(device), torch.random.fork_rng(devices=[]):
        part = MODELS.build(ConfigDict(copy.deepcopy(plain(cfg))))
        part.eval()  # not chained: ``eval`` of mmdet's ResNet returns None
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


# --------------------------------------------------------------------------- text


def _fill_text_channels(model: ConfigDict) -> None:
    """Set ``text_channels`` of each part that reads phrases to the channels of the text encoder."""
    encoder = model.get("text_encoder")
    if not isinstance(encoder, Mapping):
        return
    heads = ((path, head) for path, head, _ in _dense_heads(model))
    for path, part in (("model.backbone", model.backbone), *_necks(model), *heads):
        if _takes(part, "text_channels"):
            levels = _levels_of(encoder, _no_text)
            _fill(part, "text_channels", levels.channels[0], levels, path)


def _no_text(device: str) -> Any:
    raise ConfigError(
        "model.text_encoder",
        expected="a text encoder that declares out_channels and out_strides",
        found="one without them",
        advice="set both as tuples of one number, such as (768,) and (1,)",
    )


# --------------------------------------------------------------------------- backbone


def _take_place_of(model: ConfigDict, old: ConfigDict) -> None:
    """Give the new backbone the strides of the old one, and the preprocessor the normalisation of the new one."""
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
        channels: Any = levels.channels
        if _kind(neck) in _LAST_LEVEL_NECKS:
            channels = levels.channels[-1]
        elif _takes_one_number(neck, arguments):
            channels = _one_number(levels, path, _name(neck))
        _fill(neck, "in_channels", channels, levels, path)
    if arguments.know("in_strides"):
        _fill(neck, "in_strides", levels.strides, levels, path)
    return _levels_of(neck, _Pyramid(levels))


class _Pyramid:
    """Zero feature maps with the channels and strides of the output of the previous part."""

    def __init__(self, levels: Levels):
        self.levels, self.key = levels, (levels.channels, levels.strides)

    def __call__(self, device: str) -> tuple[Tensor, ...]:
        sizes = [ceil(_PROBE / stride) for stride in self.levels.strides]
        return tuple(torch.zeros(1, c, s, s, device=device) for c, s in zip(self.levels.channels, sizes))


def _takes_one_number(neck: ConfigDict, arguments: Arguments) -> bool:
    return arguments.annotation("in_channels") in ("int", "Count") or _kind(neck) in _SCALAR_NECKS


def _one_number(levels: Levels, path: str, taker: str) -> int:
    if len(set(levels.channels)) > 1:
        raise ConfigError(
            path,
            expected=f"feature maps with the same number of channels for {taker}",
            found=f"{levels.channels} from {levels.giver}",
            advice="choose one level with out_indices, or put a neck between them",
        )
    return levels.channels[0]


# --------------------------------------------------------------------------- heads


def _dense_heads(model: ConfigDict) -> Iterator[tuple[str, ConfigDict, Part]]:
    """Yield path, config and :class:`Part` of each head that reads the feature maps of the trunk."""
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
    """Return the input channels of a head.

    They are those at ``in_index``, or a list if the head accepts only a list, or accepts one and there are several
    levels, or else one number.
    """
    if arguments.know("in_index"):
        index = head.get("in_index", -1)
        return [levels.channels[i] for i in index] if isinstance(index, Sequence) else levels.channels[index]
    accepted = arguments.annotation("in_channels")
    takes_list = any(word in accepted for word in ("List", "Sequence", "list", "tuple"))
    if takes_list and (len(levels.channels) > 1 or not any(word in accepted for word in ("|", "Union"))):
        return list(levels.channels)
    return _one_number(levels, path, _name(head))


def _fill_roi_head(roi_head: ConfigDict, levels: Levels, backbone: ConfigDict) -> None:
    """Fill RoI extractors from the first four levels, and box and mask heads from the extracted or shared features."""
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
    """Copy the settings in ``AS_BACKBONE`` of a shared head from the config of the backbone, if it has them."""
    source = Levels((), (), _name(backbone))
    for name in getattr(_resolve(shared), "AS_BACKBONE", ()):
        if backbone.get(name) is not None:
            _fill(shared, name, backbone[name], source, path)


class _Crops:
    """Zero RoI features of one crop. Their size is arbitrary."""

    def __init__(self, width: int):
        self.width = self.key = width

    def __call__(self, device: str) -> Tensor:
        return torch.zeros(1, self.width, _CROP_PROBE, _CROP_PROBE, device=device)


def _check_roi_strides(extractor: ConfigDict, levels: Levels, path: str) -> None:
    given = tuple(extractor.featmap_strides)
    if given != levels.strides[: len(given)]:
        strides = levels.strides[: len(given)]
        raise _disagreement(path, "featmap_strides", given, strides, levels.giver, _name(extractor))


# --------------------------------------------------------------------------- class counts


def _fill_classes(model: ConfigDict, num_classes: int | None) -> None:
    """Fill in the number of classes of each head.

    Without a number from the data set, auxiliary heads get the number of the main head.

    Raises:
        ConfigError: a head, other than one of several ``heads``, has a number that differs from that of the data set.
    """
    roi_head = model.get("roi_head") or {}
    stated = (model.get("head") or {}).get("num_classes")
    heads = [(path, head, part) for path, head, part in _dense_heads(model) if part.kind != PROPOSAL_HEAD]
    for name in ("bbox_head", "mask_head"):
        heads += [(path, head, Part(HEAD)) for path, head in _listed(roi_head.get(name), f"model.roi_head.{name}")]
    for path, head, part in heads:
        # Panoptic heads have two numbers, of things and of stuff.
        if not _takes(head, "num_classes") or _takes(head, "num_things_classes"):
            continue
        usual = getattr(_resolve(head), "USUAL_CLASSES", _COCO_CLASSES)
        of_main_head = stated if part.kind == AUXILIARY_HEAD else None
        given = head.setdefault("num_classes", num_classes or of_main_head or usual)
        # Each of several ``heads`` can have another data set, and therefore another number of classes.
        if num_classes is not None and given != num_classes and not part.named:
            raise ConfigError(
                f"{path}.num_classes",
                expected=f"the data set's {num_classes} classes",
                found=f"{head.num_classes}",
                advice="leave num_classes out, or give the data set the matching classes",
            )
    _fill_batch_augments(model)


def _fill_batch_augments(model: ConfigDict) -> None:
    """Set ``num_classes`` of the batch augmentations, which mix images, to that of the head."""
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
    """Set ``part[name]`` if the config has no value.

    Raises:
        ConfigError: the config has another value. The message names both parts.
    """
    value = list(value) if isinstance(value, tuple) else value
    if part.get(name) is None:
        part[name] = value
    elif _comparable(part[name]) != _comparable(value):
        raise _disagreement(path, name, part[name], value, levels.giver, _name(part))


def _disagreement(path: str, name: str, given: Any, derived: Any, giver: str, taker: str) -> ConfigError:
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


def _listed(parts: Any, path: str) -> list[tuple[str, ConfigDict]]:
    """Return path and config of each dict with a type in a value, which is a dict, a list of dicts, or None."""
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
    part = registry.get(kind)
    if part is None:
        raise UnknownName(kind, kind=registry.name, known=registry.known_names(kind.partition(".")[0]))
    return part.func if isinstance(part, partial) else part


def _takes(cfg: Mapping, name: str) -> bool:
    """Return True if the class of the type in ``cfg`` has the argument ``name``."""
    return arguments_of(_resolve(cfg)).know(name)
