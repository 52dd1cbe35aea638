"""Transforms that cut off parts of an image, so that what a model finds is not at its place in the original image.

Such a class states ``CROPS = True``. Those of mmcv, mmdet and mmseg, and classes that inherit from them, are recognised
by their base class.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from visionzoo.datasets.transforms.providing import class_of

_OF_LIBRARIES = (
    "mmcv.transforms.processing.CenterCrop",
    "mmdet.datasets.transforms.transforms.MinIoURandomCrop",
    "mmdet.datasets.transforms.transforms.RandomCenterCropPad",
    "mmdet.datasets.transforms.transforms.RandomCrop",
    "mmseg.datasets.transforms.transforms.RandomCrop",
)


def cropping_steps(pipeline: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the class names of the transforms of a pipeline that cut off parts of the image.

    Example:
        >>> cropping_steps([dict(type="LoadImage"), dict(type="ResizeCrop", size=224), dict(type="PackTaskInputs")])
        ['ResizeCrop']
    """
    return [cls.__name__ for cls in map(class_of, pipeline) if _crops(cls)]


def _crops(cls: Any) -> bool:
    names = (f"{base.__module__}.{base.__qualname__}" for base in getattr(cls, "__mro__", ()))
    return getattr(cls, "CROPS", False) or any(name in _OF_LIBRARIES for name in names)
