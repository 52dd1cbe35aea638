"""Keys that a transform loads. Inference omits the transforms that load what it already has.

Two attributes of a transform's class describe it. ``PROVIDES`` names the keys of the sample that it sets from files.
``CHANNEL_ORDER`` is ``"rgb"`` or ``"bgr"``, the channel order of the images that it loads. Loaders of mmcv, mmdet and
mmseg have neither; they, and classes that inherit from them, are recognised by their base class.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from visionzoo.registry import TRANSFORMS

_ANNOTATIONS = ("gt_bboxes", "gt_bboxes_labels", "gt_masks", "gt_seg_map", "gt_ignore_flags")

# Keys and channel order of other libraries' loaders, by module and name of the base class.
_OF_LIBRARIES: dict[str, tuple[tuple[str, ...], str | None]] = {
    "mmcv.transforms.loading.LoadImageFromFile": (("img",), "bgr"),
    "mmcv.transforms.loading.LoadAnnotations": (_ANNOTATIONS, None),
    "mmdet.datasets.transforms.loading.LoadMultiChannelImageFromFiles": (("img",), "bgr"),
    "mmdet.datasets.transforms.loading.LoadEmptyAnnotations": (_ANNOTATIONS, None),
    "mmseg.datasets.transforms.loading.LoadDepthAnnotation": (("gt_depth_map",), None),
}


def provided_by(step: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the keys that a transform sets from files; empty if it loads nothing.

    Args:
        step: the transform in a config, ``dict(type=...)``.

    Example:
        >>> provided_by(dict(type="PackTaskInputs"))
        ()
    """
    cls = class_of(step)
    return tuple(getattr(cls, "PROVIDES", None) or _of_library(cls)[0])


def channel_order_of(step: Mapping[str, Any]) -> str | None:
    """Return ``rgb`` or ``bgr`` for a transform that loads images, and None for others.

    Loaders without ``CHANNEL_ORDER`` return RGB.
    """
    if "img" not in provided_by(step):
        return None
    cls = class_of(step)
    return getattr(cls, "CHANNEL_ORDER", None) or _of_library(cls)[1] or "rgb"


def class_of(step: Mapping[str, Any]) -> Any:
    """Return the class of a transform in a config; None if it is unknown."""
    kind = step.get("type")
    return TRANSFORMS.get(kind) if isinstance(kind, str) else kind


def _of_library(cls: Any) -> tuple[tuple[str, ...], str | None]:
    names = (f"{base.__module__}.{base.__qualname__}" for base in getattr(cls, "__mro__", ()))
    return next((_OF_LIBRARIES[name] for name in names if name in _OF_LIBRARIES), ((), None))
