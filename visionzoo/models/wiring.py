"""Channels, strides and class counts of a model, filled in from its backbone, so that a config states none twice.

Backbones and necks declare ``out_channels`` and ``out_strides``. Parts of other libraries do not; their values are
measured with one forward pass of zeros. These values determine the input channels of necks and heads, and the strides
of anchors, priors and RoI extractors. A value in the config is kept, but an error is raised if it differs.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, lcm
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from visionzoo.config.image_channels import image_channels
from visionzoo.config.signatures import Arguments, arguments_of
from visionzoo.config.tree import plain
from visionzoo.errors import ConfigError
from visionzoo.models.class_counts import Counts, as_counts, fill_class_counts
from visionzoo.models.level_needs import has_strided_decoder, least_levels
from visionzoo.models.meta_device import meta_device
from visionzoo.models.part_configs import (
    dense_heads,
    disagreement,
    fill,
    kind_of,
    listed,
    name_of,
    necks_of,
    parts_in,
    require_pairs,
    resolved,
    roi_heads,
    takes,
)
from visionzoo.registry import MODELS, SCOPE, TASK_UTILS, rejections_explained

# Side in pixels of the zero image for measuring parts of other libraries: a multiple of the largest stride, 128.
_PROBE = 256

# Side in cells of the zero RoI features for measuring a shared head. The channels do not depend on it.
_CROP_PROBE = 16

# RoI extractors read the four finest levels. In a pyramid of five levels, only proposals use the coarsest level.
_ROI_LEVELS = 4

# Pixel decoders with deformable attention read the four finest levels, as their strides in mmdet.
_MASK_LEVELS = 4

# Necks of mmdet whose ``in_channels`` is one number, although it has no annotation.
_SCALAR_NECKS = ("DilatedEncoder", "DyHead")

# Necks of mmdet that read only the last level.
_LAST_LEVEL_NECKS = ("CTResNetNeck",)

# SOLO heads resize the feature maps, so their strides differ from those of the neck.
_OWN_STRIDES = ("SOLOHead", "SOLOV2Head", "DecoupledSOLOHead", "DecoupledSOLOLightHead")


@dataclass(frozen=True)
class Levels:
    """Output of a part.

    Attributes:
        channels: one entry per feature map, shallow first.
        strides: one entry per feature map.
        giver: name of the part.
        indices: ``out_indices`` of the part, one per feature map; None for a part without them.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    giver: str
    indices: tuple[int, ...] | None = None


def build_model(
    model_cfg: Mapping, *, replaced: Mapping[str, Mapping] | None = None, num_classes: int | Counts = None
) -> nn.Module:
    """Build a model whose channels and strides follow from its backbone.

    Args:
        model_cfg: the ``model`` of a config. It is not changed.
        replaced: configs that ``--cfg-options`` replaced, by path (``model.backbone``); see :func:`fill_model`.
        num_classes: number of classes of the data set, for heads without ``num_classes``, or its numbers of things and
            stuff; for several tasks, a dict of them by task. None: the ``USUAL_CLASSES`` of the head, or else those of
            COCO; see :mod:`visionzoo.models.class_counts`.

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
    model_cfg: Mapping, *, replaced: Mapping[str, Mapping] | None = None, num_classes: int | Counts = None
) -> ConfigDict:
    """Return a copy of ``model_cfg`` with every channel, stride and class count filled in.

    A backbone that replaces another one (``replaced["model.backbone"]``) gets the strides of the old one if it has an
    argument ``out_strides`` and its config sets neither ``out_strides`` nor ``out_indices``. The mean and deviation of
    a timm backbone also replace those of the data preprocessor.
    """
    model = ConfigDict(copy.deepcopy(plain(model_cfg)))
    fill_class_counts(model, as_counts(num_classes))
    if not isinstance(model.get("backbone"), Mapping):
        return model
    model = with_replaced_parts(model, replaced or {})
    with DefaultScope.overwrite_default_scope(SCOPE):
        _fill_text_channels(model)
        levels = backbone_levels(model.backbone)
        for path, neck in necks_of(model):
            levels = _fill_neck(neck, levels, path)
        for path, head, _ in dense_heads(model):
            _fill_head(head, levels, path)
        for path, head, _ in roi_heads(model):
            _fill_roi_head(head, levels, model.backbone, path)
        _fill_padding(model, levels)
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
    channels = image_channels(resolved(cfg), cfg)
    return _levels_of(cfg, lambda device: torch.zeros(1, channels, _PROBE, _PROBE, device=device))


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
        for path, neck in necks_of(model):
            levels = _fill_neck(neck, levels, path)
    return levels


def reads_one_width(model_cfg: Mapping) -> bool:
    """Return True if a head of a model takes one number of input channels, so that all its maps have one width.

    Example:
        >>> reads_one_width({"type": "mmdet.RetinaNet", "bbox_head": {"type": "mmdet.RetinaHead"}})
        True
    """
    model = ConfigDict(copy.deepcopy(plain(model_cfg)))
    return "roi_head" in model or any(_takes_one_width(head) for _, head, _ in dense_heads(model))


def _takes_one_width(head: ConfigDict) -> bool:
    arguments = arguments_of(resolved(head))
    return arguments.know("in_channels") and not arguments.know("in_index") and not _takes_list(arguments)


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
        with rejections_explained(name_of(cfg)):
            return _measure_on("cpu", cfg, make_input)


@torch.no_grad()
def _measure_on(device: str, cfg: Mapping, make_input: Any) -> Levels:
    on_device = meta_device() if device == "meta" else torch.device(device)
    with on_device, torch.random.fork_rng(devices=[]):
        part = MODELS.build(ConfigDict(copy.deepcopy(plain(cfg))))
        part.eval()  # not chained: ``eval`` of mmdet's ResNet returns None
        channels, strides = getattr(part, "out_channels", None), getattr(part, "out_strides", None)
        if not (isinstance(channels, tuple) and isinstance(strides, tuple)):
            feats = part(make_input(device))
            feats = [feats] if isinstance(feats, Tensor) else [feat for feat in feats if isinstance(feat, Tensor)]
            channels = tuple(feat.shape[1] for feat in feats)
            strides = tuple(max(1, round(_PROBE / feat.shape[-1])) for feat in feats)
    indices = getattr(part, "out_indices", None)
    return Levels(channels, strides, name_of(cfg), None if indices is None else tuple(indices))


# --------------------------------------------------------------------------- text


def _fill_text_channels(model: ConfigDict) -> None:
    """Set ``text_channels`` of each part that reads phrases to the channels of the text encoder."""
    encoder = model.get("text_encoder")
    if not isinstance(encoder, Mapping):
        return
    for path, part, _ in parts_in(model):
        if takes(part, "text_channels"):
            levels = _levels_of(encoder, _no_text)
            fill(part, "text_channels", levels.channels[0], levels.giver, path)


def _no_text(device: str) -> Any:
    raise ConfigError(
        "model.text_encoder",
        expected="a text encoder that declares out_channels and out_strides",
        found="one without them",
        advice="set both as tuples of one number, such as (768,) and (1,)",
    )


# --------------------------------------------------------------------------- backbone


def _take_place_of(model: ConfigDict, old: ConfigDict) -> None:
    """Give the new backbone the strides of the old one, and the preprocessor what the new one needs."""
    new = model.backbone
    require_pairs(new, old)
    if takes(new, "out_strides") and not {"out_indices", "out_strides"} & set(new):
        new.out_strides = backbone_levels(old).strides
    pad_for_backbone(model)
    mean, std = _normalisation(new)
    preprocessor = model.get("data_preprocessor")
    if mean is not None and isinstance(preprocessor, dict) and preprocessor.get("mean") is not None:
        preprocessor.update(mean=list(mean), std=list(std))


def pad_for_backbone(model: ConfigDict) -> None:
    """Raise the ``pad_size_divisor`` of a model to a multiple of the largest stride of its backbone.

    Some backbones read only such sizes. A divisor that the config does not state is not set.

    Example:
        >>> cfg = dict(backbone=dict(type="BossNet", variant="tiny"), data_preprocessor=dict(pad_size_divisor=16))
        >>> model = ConfigDict(cfg)
        >>> pad_for_backbone(model)
        >>> model.data_preprocessor.pad_size_divisor
        32
    """
    preprocessor = model.get("data_preprocessor")
    divisor = preprocessor.get("pad_size_divisor") if isinstance(preprocessor, dict) else None
    if isinstance(divisor, int) and divisor > 1:
        preprocessor.pad_size_divisor = lcm(divisor, *backbone_levels(model.backbone).strides)


def _normalisation(cfg: ConfigDict) -> tuple[Any, Any]:
    if not str(cfg.type).startswith("timm."):
        return None, None
    with torch.random.fork_rng(devices=[]):
        part = MODELS.build(cfg.copy())
    return part.mean, part.std


def _fill_padding(model: ConfigDict, levels: Levels) -> None:
    """Set to which sizes mmseg's preprocessor pads images. It pads test images only if ``test_cfg`` states how."""
    preprocessor = model.get("data_preprocessor")
    if not isinstance(preprocessor, dict) or "type" not in preprocessor or not takes(preprocessor, "size_divisor"):
        return
    size, divisor = preprocessor.get("size"), preprocessor.get("size_divisor")
    if size is not None and divisor is not None:
        raise ConfigError(
            "model.data_preprocessor",
            expected="size or size_divisor",
            found=f"size={size} and size_divisor={divisor}",
            advice="remove one of them",
        )
    if size is None and divisor is None:
        divisor = preprocessor["size_divisor"] = max(levels.strides)
    if preprocessor.get("test_cfg") is None:
        preprocessor["test_cfg"] = ConfigDict(size_divisor=divisor or max(levels.strides))


# --------------------------------------------------------------------------- neck


def _fill_neck(neck: ConfigDict, levels: Levels, path: str) -> Levels:
    """Fill the input of a neck from ``levels`` and return its output levels."""
    arguments = arguments_of(resolved(neck))
    if arguments.know("in_channels") or arguments.open:
        channels: Any = levels.channels
        if kind_of(neck) in _LAST_LEVEL_NECKS:
            channels = levels.channels[-1]
        elif _takes_one_number(neck, arguments):
            channels = _one_number(levels, path, name_of(neck))
        fill(neck, "in_channels", channels, levels.giver, path)
    if arguments.know("in_strides"):
        fill(neck, "in_strides", levels.strides, levels.giver, path)
    return _levels_of(neck, _Pyramid(levels))


class _Pyramid:
    """Zero feature maps with the channels and strides of the output of the previous part."""

    def __init__(self, levels: Levels):
        self.levels, self.key = levels, (levels.channels, levels.strides)

    def __call__(self, device: str) -> tuple[Tensor, ...]:
        sizes = [ceil(_PROBE / stride) for stride in self.levels.strides]
        return tuple(torch.zeros(1, c, s, s, device=device) for c, s in zip(self.levels.channels, sizes))


def _takes_one_number(neck: ConfigDict, arguments: Arguments) -> bool:
    return arguments.annotation("in_channels") in ("int", "Count") or kind_of(neck) in _SCALAR_NECKS


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


def _fill_head(head: ConfigDict, levels: Levels, path: str) -> None:
    arguments = arguments_of(resolved(head))
    levels = _levels_for_masks(head, levels, path)
    if arguments.know("in_channels"):
        fill(head, "in_channels", _head_channels(head, arguments, levels, path), levels.giver, path)
    for name in ("strides", "point_strides", "in_strides"):
        if arguments.know(name) and kind_of(head) not in _OWN_STRIDES:
            fill(head, name, levels.strides, levels.giver, path)
    for name in ("anchor_generator", "prior_generator"):
        if isinstance(head.get(name), Mapping):
            _fill_strides(head[name], levels, f"{path}.{name}")


def _fill_strides(generator: ConfigDict, levels: Levels, path: str) -> None:
    if arguments_of(resolved(generator, TASK_UTILS)).know("strides"):
        fill(generator, "strides", levels.strides, levels.giver, path)


def _levels_for_masks(head: ConfigDict, levels: Levels, path: str) -> Levels:
    """Return the levels that a head with a pixel decoder reads, and fill in the strides of the decoder."""
    if not has_strided_decoder(head):
        return levels
    decoder, given = head.pixel_decoder, len(levels.strides)
    if given < (least := least_levels(head)):
        raise ConfigError(
            path,
            expected=f"at least {least} feature maps for {name_of(head)}",
            found=f"{given} with strides {levels.strides} from {levels.giver}",
            advice="add levels with out_indices or a neck, or lower num_transformer_feat_level and num_levels",
        )
    levels = Levels(levels.channels[:_MASK_LEVELS], levels.strides[:_MASK_LEVELS], levels.giver)
    fill(decoder, "strides", levels.strides, levels.giver, f"{path}.pixel_decoder")
    return levels


def _head_channels(head: ConfigDict, arguments: Arguments, levels: Levels, path: str) -> Any:
    """Return the input channels of a head.

    They are those at ``in_index``, or a list if the head accepts only a list, or accepts one and there are several
    levels, or else one number.
    """
    if arguments.know("in_index"):
        return _channels_at(head.get("in_index", -1), levels, path)
    accepted = arguments.annotation("in_channels")
    if _takes_list(arguments) and (len(levels.channels) > 1 or not any(word in accepted for word in ("|", "Union"))):
        return list(levels.channels)
    return _one_number(levels, path, name_of(head))


def _takes_list(arguments: Arguments) -> bool:
    return any(word in arguments.annotation("in_channels") for word in ("List", "Sequence", "list", "tuple"))


def _channels_at(index: int | Sequence[int], levels: Levels, path: str) -> Any:
    """Return the channels of the level or levels at ``index``."""
    count = len(levels.channels)
    indices = list(index) if isinstance(index, Sequence) else [index]
    if absent := [i for i in indices if not -count <= i < count]:
        raise ConfigError(
            f"{path}.in_index",
            expected=f"one of the {count} feature maps of {levels.giver}, 0 to {count - 1}",
            found=f"{absent[0]}",
            advice="choose other levels, or add levels with out_indices or a neck",
        )
    channels = [levels.channels[i] for i in indices]
    return channels if isinstance(index, Sequence) else channels[0]


def _fill_roi_head(roi_head: ConfigDict, levels: Levels, backbone: ConfigDict, at: str) -> None:
    """Fill RoI extractors from the first four levels, and box and mask heads from the extracted or shared features."""
    width = _one_number(levels, at, name_of(roi_head))
    strides = levels.strides[:_ROI_LEVELS]
    for name in ("bbox_roi_extractor", "mask_roi_extractor"):
        for path, extractor in listed(roi_head.get(name), f"{at}.{name}"):
            fill(extractor, "out_channels", width, levels.giver, path)
            extractor.setdefault("featmap_strides", list(strides))
            _check_roi_strides(extractor, levels, path)
    crops = levels
    for path, shared in listed(roi_head.get("shared_head"), f"{at}.shared_head"):
        _continue_backbone(shared, backbone, path)
        crops = _levels_of(shared, _Crops(width))
    for name in ("bbox_head", "mask_head"):
        for path, head in listed(roi_head.get(name), f"{at}.{name}"):
            if takes(head, "in_channels"):
                fill(head, "in_channels", crops.channels[0], crops.giver, path)


def _continue_backbone(shared: ConfigDict, backbone: ConfigDict, path: str) -> None:
    """Copy the settings in ``AS_BACKBONE`` of a shared head from the config of the backbone, if it has them."""
    for name in getattr(resolved(shared), "AS_BACKBONE", ()):
        if backbone.get(name) is not None:
            fill(shared, name, backbone[name], name_of(backbone), path)


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
        raise disagreement(path, "featmap_strides", given, strides, levels.giver, name_of(extractor))
