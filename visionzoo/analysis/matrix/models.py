"""The model of a cell: the config of its head with another backbone and neck."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mmengine.config import ConfigDict

from visionzoo.analysis.matrix.parts import Head, text_encoder
from visionzoo.config.parts import parts_of
from visionzoo.config.signatures import default_of
from visionzoo.config.tree import plain
from visionzoo.models.heads_by_name import heads_by_name
from visionzoo.models.level_needs import least_levels
from visionzoo.models.part_configs import dense_heads, pair_backbone, parts_in, reads_pairs, resolved, takes
from visionzoo.models.wiring import backbone_levels, pad_for_backbone, reads_one_width, trunk_levels

if TYPE_CHECKING:
    from visionzoo.analysis.matrix.cells import Cell

# Settings of backbones that read pairs, which the head's config determines.
_OF_PAIRS = ("dims", "in_channels", "both_directions")

_AUXILIARY = "auxiliary_head"


def model_config(cell: Cell, model: Mapping[str, Any]) -> ConfigDict:
    """Return the ``model`` of a cell.

    The backbone and neck of the head's config keep their settings there. A backbone of single images under a head that
    reads pairs runs on both images. A part that reads phrases gets a text encoder; a model of mmdet or mmseg, which has
    none, becomes a task model with the same heads. A head that reads maps of one width gets the last map of a trunk
    whose maps have several.

    Args:
        cell: the cell.
        model: ``model`` of the head's config.
    """
    made = ConfigDict(copy.deepcopy(plain(model)))
    given, neck = made.backbone, made.get("neck")
    if not (_is_same(given, cell.backbone.cfg) and _is_same(neck, cell.neck.cfg)):
        if _trunk_reads_phrases(cell) and "text_encoder" not in parts_of(resolved(made)):
            made = _as_task_model(made, cell.head.task)
        made.backbone = _backbone(cell, given)
        made.neck = copy.deepcopy(cell.neck.cfg)
        if reads_phrases(made) and not made.get("text_encoder"):
            made.text_encoder = copy.deepcopy(text_encoder())
        _return_all_maps(made)
        _choose_variant(made)
        _choose_level(made)
        pad_for_backbone(made)
    return made


def model_of(head: Head, model: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the model of a head for its data: that of the data, with the parts of a head from another config.

    Args:
        head: the head.
        model: ``model`` of the config with the data.
    """
    if head.data in (None, head.config):
        return model
    return {**model, **{name: value for name, value in head.model.items() if name != "data_preprocessor"}}


def trunk_of(model: Mapping[str, Any]) -> ConfigDict:
    """Return backbone, neck and text encoder of a model, without its heads."""
    return ConfigDict({key: model[key] for key in ("backbone", "neck", "text_encoder") if model.get(key) is not None})


def whole_backbone(cell: Cell, model: Mapping[str, Any], made: Mapping[str, Any]) -> ConfigDict | None:
    """Return the backbone of a cell with all its maps if the cell uses only some of them, else None.

    Args:
        cell: the cell.
        model: ``model`` of the head's config.
        made: result of :func:`model_config`.
    """
    whole = ConfigDict(_backbone(cell, model["backbone"]))
    has_all = len(backbone_levels(made["backbone"]).strides) >= len(backbone_levels(whole).strides)
    return None if has_all else whole


def reads_phrases(model: Mapping[str, Any]) -> bool:
    """Return True if a part of a model reads phrases: it has an argument ``text_channels``.

    Example:
        >>> reads_phrases({"type": "TaskModel", "backbone": {"type": "VGG"}, "head": {"type": "WiCoHead"}})
        True
    """
    return any(takes(cfg, "text_channels") for _, cfg, _ in parts_in(model))


def head_reads_pairs(model: Mapping[str, Any]) -> bool:
    """Return True if a head of a model reads the maps of pairs of images."""
    return any(reads_pairs(cfg) for _, cfg, _ in dense_heads(ConfigDict(model)))


def _trunk_reads_phrases(cell: Cell) -> bool:
    return any(part.cfg is not None and takes(part.cfg, "text_channels") for part in (cell.backbone, cell.neck))


def _as_task_model(model: ConfigDict, task: str) -> ConfigDict:
    """Return a model of mmdet or mmseg as a task model with the same heads, also those that only training uses."""
    made = heads_by_name(model, task).model
    (head,) = made.pop("heads").values()
    auxiliary = model.get(_AUXILIARY)
    return ConfigDict({**made, "head": head} | ({} if auxiliary is None else {_AUXILIARY: auxiliary}))


def _is_same(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> bool:
    return (one or {}).get("type") == (other or {}).get("type")


def _backbone(cell: Cell, given: Mapping[str, Any]) -> dict[str, Any]:
    cfg = copy.deepcopy(dict(cell.backbone.cfg or {}))
    if head_reads_pairs(cell.head.model) and not reads_pairs(cfg):
        cfg = {"type": pair_backbone(), "backbone": cfg}
    return cfg | {name: given[name] for name in _OF_PAIRS if name in given and takes(cfg, name)}


def _return_all_maps(model: ConfigDict) -> None:
    """Raise ``num_outs`` of the neck to the number of maps of the backbone; a neck of a pyramid accepts no fewer."""
    neck = model.get("neck")
    if neck is None or not takes(neck, "num_outs"):
        return
    maps = len(backbone_levels(model.backbone).strides)
    if (neck.get("num_outs") or default_of(resolved(neck), "num_outs") or maps) < maps:
        neck.num_outs = maps


def _choose_variant(model: ConfigDict) -> None:
    """Choose another variant of the backbone if the tiny one gives fewer maps than the heads read."""
    cfg, least = model.backbone, max((least_levels(head) for _, head, _ in dense_heads(model)), default=1)
    if "variant" not in cfg or len(trunk_levels(trunk_of(model)).strides) >= least:
        return
    for variant in resolved(cfg).VARIANTS:
        if len(backbone_levels({**cfg, "variant": variant}).strides) >= least:
            cfg.variant = variant
            return


def _choose_level(model: ConfigDict) -> None:
    """Choose the last map of the backbone if the heads need maps of one width and those of the trunk differ."""
    cfg, widths = model.backbone, set(trunk_levels(trunk_of(model)).channels)
    if len(widths) == 1 or not reads_one_width(model):
        return
    levels = backbone_levels(cfg)
    if takes(cfg, "out_strides"):
        cfg.out_strides = levels.strides[-1:]
    elif levels.indices is not None:
        cfg.out_indices = levels.indices[-1:]
