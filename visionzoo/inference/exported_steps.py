"""The resizing of an exported model's images, from the metadata of its file; this module does not import torch.

A step is a dict with ``op`` and its settings. Each function makes the same calls of OpenCV and Pillow as the transform
of the test pipeline, so the pixels are equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from PIL import Image

from visionzoo.errors import require_known

_OPENCV = {
    "nearest": cv2.INTER_NEAREST,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos": cv2.INTER_LANCZOS4,
}
_PILLOW = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "box": Image.Resampling.BOX,
    "lanczos": Image.Resampling.LANCZOS,
    "hamming": Image.Resampling.HAMMING,
}


def apply_steps(image: np.ndarray, steps: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Return the image, (H, W, 3) uint8 RGB, after all steps.

    Raises:
        UnknownName: the file has a step that this version does not support.

    Example:
        >>> step = {"op": "resize", "scale": [40, 20], "keep_ratio": True, "interpolation": "area", "backend": "cv2"}
        >>> apply_steps(np.zeros((10, 10, 3), np.uint8), [step]).shape
        (20, 20, 3)
    """
    for step in steps:
        settings = dict(step)
        name = settings.pop("op")
        require_known(name, STEPS, "step of an exported model")
        image = STEPS[name](image, **settings)
    return image


def resize(
    image: np.ndarray, *, scale: Sequence[int], keep_ratio: bool, interpolation: str, backend: str
) -> np.ndarray:
    """Resize into ``scale`` (width, height), as mmcv's ``Resize`` does; with ``keep_ratio`` either way round."""
    height, width = image.shape[:2]
    size = (scale[0], scale[1])
    if keep_ratio:
        factor = min(max(scale) / max(height, width), min(scale) / min(height, width))
        size = (int(width * float(factor) + 0.5), int(height * float(factor) + 0.5))
    if backend == "pillow":
        return np.array(Image.fromarray(image).resize(size, _PILLOW[interpolation]))
    return cv2.resize(image, size, interpolation=_OPENCV[interpolation])


def resize_crop(image: np.ndarray, *, size: int, edge: int, interpolation: str) -> np.ndarray:
    """Resize the shorter side to ``edge`` pixels and crop the centre of ``size`` x ``size``, as ``ResizeCrop`` does."""
    height, width = image.shape[:2]
    long = int(edge * max(height, width) / min(height, width))
    target = (edge, long) if width <= height else (long, edge)
    pillow = Image.fromarray(image)
    if target != (width, height):
        pillow = pillow.resize(target, _PILLOW[interpolation])
    left, top = (round((side - size) / 2.0) for side in target)
    return np.array(pillow.crop((left, top, left + size, top + size)))


def resize_to_fit(
    image: np.ndarray, *, size: Sequence[int] | None, at_least: Sequence[int] | None, multiple: int
) -> np.ndarray:
    """Resize into ``size`` (H, W) and over ``at_least``, to multiples of ``multiple``, as ``ResizeToFit`` does."""
    old = (image.shape[0], image.shape[1])
    scale = 1.0
    if size is not None:
        scale = min(scale, *(limit / side for limit, side in zip(size, old, strict=True)))
    if at_least is not None:
        scale = max(scale, *(limit / side for limit, side in zip(at_least, old, strict=True)))
    height, width = (max(int(side * scale / multiple + 0.5), 1) * multiple for side in old)
    if (height, width) == old:
        return image
    way = cv2.INTER_AREA if height * width < old[0] * old[1] else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=way)


def grey(image: np.ndarray, *, weights: Sequence[float]) -> np.ndarray:
    """Replace the three channels by their weighted mean, rounded down, as mmcv's ``RandomGrayscale`` does."""
    mean = (np.array(weights) / sum(weights) * image).sum(axis=2).astype(np.uint8)
    return np.dstack([mean] * 3)


STEPS: dict[str, Callable[..., np.ndarray]] = {
    "resize": resize,
    "resize_crop": resize_crop,
    "resize_to_fit": resize_to_fit,
    "grey": grey,
}


def padded_size(size: Sequence[int], divisor: int) -> tuple[int, int]:
    """Return (H, W) rounded up to multiples of ``divisor``.

    Example:
        >>> padded_size((20, 32), 32)
        (32, 32)
    """
    height, width = (math.ceil(side / divisor) * divisor for side in size)
    return height, width
