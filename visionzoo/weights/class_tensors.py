"""Tensors of a model that belong to its classes. They start with new values when a model learns other classes."""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import redirect_stdout
from typing import Any

import torch

from visionzoo.config.tree import plain
from visionzoo.models.class_counts import ClassCounts, Counts, as_counts
from visionzoo.models.wiring import build_model

# Arguments whose values follow from the classes.
_OF_CLASSES = ("num_classes", "num_things_classes", "num_stuff_classes", "class_weight")


def class_tensors(model_cfg: Mapping[str, Any], num_classes: int | Counts) -> list[str]:
    """Return the sorted names of the tensors whose shapes depend on the number of classes.

    Args:
        model_cfg: the ``model`` of a config. It is not changed.
        num_classes: number of classes of the data, >= 1, or its numbers of things and stuff; a dict of them by task for
            a model of several tasks.

    Example:
        >>> from visionzoo.config import load_config
        >>> class_tensors(load_config("rcnet_retinanet", tiny=True).cfg.model, 3)
        ['bbox_head.retina_cls.bias', 'bbox_head.retina_cls.weight']
    """
    open_cfg = _without_counts(plain(model_cfg))
    counts = as_counts(num_classes)
    shapes, others = (_shapes(open_cfg, each) for each in (counts, _with_another(counts)))
    return sorted(name for name, shape in shapes.items() if others.get(name) != shape)


def _with_another(counts: Counts) -> Counts:
    if isinstance(counts, Mapping):
        return {task: _one_more(own) for task, own in counts.items()}
    return None if counts is None else _one_more(counts)


def _one_more(counts: ClassCounts) -> ClassCounts:
    return ClassCounts(counts.total + 1, None if counts.things is None else counts.things + 1)


def _shapes(model_cfg: Mapping[str, Any], num_classes: Counts) -> dict[str, tuple[int, ...]]:
    with torch.random.fork_rng(devices=[]), redirect_stdout(io.StringIO()):
        model = build_model(model_cfg, num_classes=num_classes)
    return {name: tuple(value.shape) for name, value in model.state_dict().items() if hasattr(value, "shape")}


def _without_counts(value: Any) -> Any:
    """Return a copy without the numbers of classes that a config states."""
    if isinstance(value, Mapping):
        return {key: _without_counts(item) for key, item in value.items() if key not in _OF_CLASSES}
    if isinstance(value, (list, tuple)):
        return type(value)(_without_counts(item) for item in value)
    return value
