"""The model of one task, written as a task model of several heads: its config, and the names of its weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from torch import Tensor

from visionzoo.config.parts import AUXILIARY_HEAD, FUSION_HEAD, HEAD, PROPOSAL_HEAD, ROI_HEAD, parts_of
from visionzoo.config.tree import plain
from visionzoo.errors import ConfigError
from visionzoo.models.library_heads import is_of_library
from visionzoo.models.part_configs import name_of, resolved, takes
from visionzoo.models.wiring import trunk_levels

TASK_MODEL = "TaskModel"

# Settings that mmdet and mmseg write in the model, and the task model in the head.
_SETTINGS = ("train_cfg", "test_cfg")

# Kinds of heads that give the results of a model.
_OF_MODEL = (HEAD, PROPOSAL_HEAD, ROI_HEAD)

# Base classes of models by their heads; imported when they are needed, which takes seconds.
_BASES = {
    ("bbox_head",): ("mmdet.models.detectors", "SingleStageDetector"),
    ("mask_head",): ("mmdet.models.detectors.single_stage_instance_seg", "SingleStageInstanceSegmentor"),
    ("panoptic_head",): ("mmdet.models.detectors", "MaskFormer"),
    ("decode_head",): ("mmseg.models.segmentors", "EncoderDecoder"),
    ("rpn_head", "roi_head"): ("mmdet.models.detectors", "TwoStageDetector"),
}

# Settings of mmdet's preprocessor that TaskPreprocessor has as well.
_OF_PREPROCESSOR = ("mean", "std", "pad_size_divisor", "pad_value")


@dataclass(frozen=True)
class HeadsByName:
    """A model with heads by name.

    Attributes:
        model: config of the task model, without ``auxiliary_head``.
        prefixes: new beginning of the names of weights by the old one; all other names stay.
        omitted: auxiliary heads, whose weights only training uses, by the beginning of the names of their weights.
    """

    model: dict[str, Any]
    prefixes: Mapping[str, str]
    omitted: tuple[str, ...] = ()

    def name_of(self, weight: str) -> str:
        """Return the name in the task model of a weight.

        Example:
            >>> model = dict(type="TaskModel", backbone={}, head=dict(type="SCNNHead"))
            >>> heads_by_name(model, "lanes").name_of("head.fc.bias")
            'heads.lanes.fc.bias'
        """
        old = next((prefix for prefix in self.prefixes if weight.startswith(prefix)), None)
        return weight if old is None else self.prefixes[old] + weight.removeprefix(old)

    def renamed(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return weights under their names in the task model, without those of auxiliary heads."""
        return {self.name_of(name): value for name, value in tensors.items() if not name.startswith(self.omitted)}


def heads_by_name(model: Mapping[str, Any], task: str | Sequence[str], where: str = "model") -> HeadsByName:
    """Return the model of a config as a task model of several heads.

    A head of ``TaskModel(head=...)`` gets the name of its task. A detector of mmdet with a dense head, two stages or
    mask queries, and an ``EncoderDecoder`` of mmseg, become task models with the same heads and the same results.

    Args:
        model: the ``model`` of a config. It is not changed.
        task: the ``task`` of the config.
        where: name of the model in errors.

    Raises:
        ConfigError: the model has parts or computations that a task model does not have, or one head and not one task.

    Example:
        >>> detector = dict(type="mmdet.RetinaNet", backbone={}, bbox_head=dict(type="mmdet.RetinaHead"))
        >>> found = heads_by_name(detector, "detection")
        >>> found.model["heads"], found.prefixes
        ({'detection': {'type': 'mmdet.RetinaHead'}}, {'bbox_head.': 'heads.detection.bbox_head.'})
    """
    own: dict[str, Any] = copy.deepcopy(plain(model))
    tasks = [task] if isinstance(task, str) else list(task)
    if own.get("heads") is None and len(tasks) != 1:
        found, advice = ", ".join(tasks) or "none", 'set it in the config, such as task = "detection"'
        raise ConfigError(where, expected="one task, whose name the head gets", found=found, advice=advice)
    if own.get("type") == TASK_MODEL:
        return _of_task_model(own, tasks)
    kind = resolved(own)
    heads = [name for name, part in parts_of(kind).items() if part.kind in _OF_MODEL and own.get(name) is not None]
    if not _is_plain(kind, own, heads):
        raise _not_joinable(own, where)
    return _of_library_model(own, tasks[0], heads, where)


def _of_task_model(own: dict[str, Any], tasks: Sequence[str]) -> HeadsByName:
    auxiliary = ("auxiliary_head.",) if own.pop("auxiliary_head", None) is not None else ()
    if own.get("heads") is not None:
        return HeadsByName(own, {}, auxiliary)
    head = own.pop("head")
    return HeadsByName({**own, "heads": {tasks[0]: head}}, {"head.": f"heads.{tasks[0]}."}, auxiliary)


def _is_plain(kind: Any, own: Mapping[str, Any], heads: list[str]) -> bool:
    """Return True if a model of mmdet or mmseg only passes the feature maps of its trunk to its head or two heads."""
    parts = {name for name, part in parts_of(kind).items() if part.kind in (AUXILIARY_HEAD, FUSION_HEAD)}
    known = {"type", "data_preprocessor", "backbone", "neck", "init_cfg", *heads, *parts, *_SETTINGS}
    return (
        _computes_as_base(kind, heads)
        and {name for name, value in own.items() if value is not None} <= known
        and not any(isinstance(own.get(name), (list, tuple)) for name in ("neck", *heads))
        and all(is_of_library(resolved(own[name])) for name in heads if name != "roi_head")
        and (own.get("test_cfg") or {}).get("mode", "whole") == "whole"
    )


def _computes_as_base(kind: Any, heads: list[str]) -> bool:
    """Return True if a class has the methods of the base class of mmdet or mmseg that has these heads."""
    if tuple(heads) not in _BASES or not isinstance(kind, type):
        return False
    module, name = _BASES[tuple(heads)]
    base = getattr(import_module(module), name)
    same = all(getattr(kind, each, None) is getattr(base, each) for each in ("loss", "predict", "extract_feat"))
    return issubclass(kind, base) and same


def _of_library_model(own: dict[str, Any], task: str, heads: list[str], where: str) -> HeadsByName:
    parts = parts_of(resolved(own))
    fusion = [key for key, part in parts.items() if part.kind == FUSION_HEAD and own.get(key) is not None]
    auxiliary = [key for key, part in parts.items() if part.kind == AUXILIARY_HEAD and own.get(key) is not None]
    kept = fusion if heads == ["decode_head"] else [*_SETTINGS, *fusion]
    inner = own[heads[0]] if len(heads) == 1 else {"type": "TwoStageHead", **{name: own[name] for name in heads}}
    head = {**inner, **{key: own[key] for key in kept if own.get(key) is not None}}
    trunk = {key: own[key] for key in ("backbone", "neck", "init_cfg") if own.get(key) is not None}
    if own.get("data_preprocessor") is not None:
        trunk["data_preprocessor"] = _preprocessor_of(own, where)
    model = {"type": TASK_MODEL, **trunk, "heads": {task: head}}
    prefixes = {f"{name}.": f"heads.{task}.{name}." for name in heads}
    return HeadsByName(model, prefixes, tuple(f"{key}." for key in auxiliary))


def _preprocessor_of(own: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the preprocessor of a model of mmdet or mmseg as ``TaskPreprocessor``.

    mmseg pads training images to ``size``, and test images to a multiple of ``size_divisor``, by default of the largest
    stride.
    """
    given = own["data_preprocessor"]
    if given.get("bgr_to_rgb") or given.get("rgb_to_bgr"):
        raise ConfigError(
            f"{where}.data_preprocessor",
            expected="images whose channels keep their order",
            found="bgr_to_rgb or rgb_to_bgr",
            advice="train with RGB images (LoadImage)",
        )
    settings = {key: given[key] for key in _OF_PREPROCESSOR if given.get(key) is not None}
    if takes(given, "size_divisor"):
        divisor = given.get("size_divisor") or (given.get("test_cfg") or {}).get("size_divisor")
        settings["pad_size_divisor"] = divisor or max(trunk_levels(own).strides)
        settings["pad_value"] = given.get("pad_val") or 0
    return {"type": "TaskPreprocessor", **settings}


def _not_joinable(own: Mapping[str, Any], where: str) -> ConfigError:
    return ConfigError(
        where,
        expected="a TaskModel, a plain detector or mask classifier of mmdet, or an EncoderDecoder of mmseg",
        found=f"{name_of(own)} ({', '.join(key for key in own if key.endswith('head') and own[key] is not None)})",
        advice="train its head in a TaskModel, with heads=dict(NAME=dict(type=...))",
    )
