"""The model of a cell: the config of its head with another backbone and neck."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from visionzoo.analysis.matrix.data import HeadData
from visionzoo.analysis.matrix.parts import text_encoder
from visionzoo.config.signatures import arguments_of
from visionzoo.models.part_configs import parts_in, resolved, takes
from visionzoo.models.wiring import backbone_levels, reads_one_width

if TYPE_CHECKING:
    from visionzoo.analysis.matrix.cells import Cell

# Settings of backbones that read pairs, which the head's config determines.
_OF_PAIRS = ("dims", "in_channels", "both_directions")


def model_config(cell: Cell, model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ``model`` of a cell.

    The backbone and neck of the head's config keep their settings there. A part that reads phrases gets a text encoder.
    A head that reads maps of one width gets the last level of a backbone without a neck.

    Args:
        cell: the cell.
        model: ``model`` of the head's config.
    """
    made = copy.deepcopy(dict(model))
    given, neck = made["backbone"], made.get("neck") or None
    if not (_is_same(given, cell.backbone.cfg) and _is_same(neck, cell.neck.cfg)):
        made["backbone"] = _backbone(cell, given)
        made["neck"] = copy.deepcopy(cell.neck.cfg)
        if cell.neck.cfg is None:
            _choose_level(made)
    if reads_phrases(made) and not made.get("text_encoder"):
        made["text_encoder"] = copy.deepcopy(text_encoder())
    return made


def reads_phrases(model: Mapping[str, Any]) -> bool:
    """Return True if a part of a model reads phrases: it has an argument ``text_channels``.

    Example:
        >>> reads_phrases({"type": "TaskModel", "backbone": {"type": "VGG"}, "head": {"type": "WiCoHead"}})
        True
    """
    return any(takes(cfg, "text_channels") for _, cfg, _ in parts_in(model))


def _is_same(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> bool:
    return (one or {}).get("type") == (other or {}).get("type")


def _backbone(cell: Cell, given: Mapping[str, Any]) -> dict[str, Any]:
    cfg = copy.deepcopy(dict(cell.backbone.cfg or {}))
    names = arguments_of(resolved(cfg)).names
    return cfg | {name: given[name] for name in _OF_PAIRS if name in given and name in names}


def _choose_level(model: dict[str, Any]) -> None:
    levels = backbone_levels(model["backbone"])
    if len(levels.channels) == 1 or not reads_one_width(model):
        return
    backbone = model["backbone"]
    if takes(backbone, "out_strides"):
        backbone["out_strides"] = levels.strides[-1:]
    else:
        backbone["out_indices"] = tuple(backbone.get("out_indices") or range(len(levels.strides)))[-1:]
