"""What a transform provides, so that inference can leave out those that load what it already has.

A transform says it by two attributes of its class: ``PROVIDES``, keys of the sample that it fills from files, and
``CHANNEL_ORDER``, ``"rgb"`` or ``"bgr"``, of the images that it loads. Loaders of mmcv, mmdet and mmseg have neither;
they, and classes that inherit from them, are known by their base class.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from visionzoo.registry import TRANSFORMS

_ANNOTATIONS = ("gt_bboxes", "gt_bboxes_labels", "gt_masks", "gt_seg_map", "gt_ignore_flags")

# Base classes of other libraries' loaders, by module and name: what they provide, and in which order of channels.
_OF_LIBRARIES: dict[str, tuple[tuple[str, ...], str | None]] = {
    "mmcv.transforms.loading.LoadImageFromFile": (("img",), "bgr"),
    "mmcv.transforms.loading.LoadAnnotations": (_ANNOTATIONS, None),
    "mmdet.datasets.transforms.loading.LoadMultiChannelImageFromFiles": (("img",), "bgr"),
    "mmdet.datasets.transforms.loading.LoadEmptyAnnotations": (_ANNOTATIONS, None),
    "mmseg.datasets.transforms.loading.LoadDepthAnnotation": (("gt_depth_map",), None),
}


def provided_by(step: Mapping[str, Any]) -> tuple[str, ...]:
    """Keys that a transform, as a config writes it, fills from files; none for one that loads nothing."""
    cls = _class_of(step)
    return tuple(getattr(cls, "PROVIDES", None) or _of_library(cls)[0])


def channel_order_of(step: Mapping[str, Any]) -> str | None:
    """``rgb`` or ``bgr`` of a transform that loads images; None for others. A loader that does not say gives RGB."""
    if "img" not in provided_by(step):
        return None
    cls = _class_of(step)
    return getattr(cls, "CHANNEL_ORDER", None) or _of_library(cls)[1] or "rgb"


def _class_of(step: Mapping[str, Any]) -> Any:
    kind = step.get("type")
    return TRANSFORMS.get(kind) if isinstance(kind, str) else kind


def _of_library(cls: Any) -> tuple[tuple[str, ...], str | None]:
    names = (f"{base.__module__}.{base.__qualname__}" for base in getattr(cls, "__mro__", ()))
    return next((_OF_LIBRARIES[name] for name in names if name in _OF_LIBRARIES), ((), None))
