"""What a test pipeline does to an image, as steps that :mod:`visionzoo.inference.exported_steps` repeats."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from visionzoo.graphs.form import NotExportable
from visionzoo.inference.exported_steps import apply_steps, padded_size
from visionzoo.inference.preparing import Preparation

# Shapes of images, (height, width): together they show the largest size that a pipeline returns.
_SHAPES = ((480, 640), (640, 480), (500, 500), (300, 900), (900, 300))


def _resize(transform: Any) -> dict[str, Any]:
    if transform.scale is None:
        raise NotExportable("pipeline: Resize by a factor has no exported form; use scale")
    return {
        "op": "resize",
        "scale": [int(side) for side in transform.scale],
        "keep_ratio": bool(transform.keep_ratio),
        "interpolation": transform.interpolation,
        "backend": transform.backend,
    }


def _grey(transform: Any) -> dict[str, Any]:
    if transform.prob < 1 or not transform.keep_channels or transform.color_format == "hsv":
        raise NotExportable("pipeline: RandomGrayscale has an exported form with prob=1 and keep_channels=True only")
    return {"op": "grey", "weights": [float(weight) for weight in transform.channel_weights]}


# Transforms of other libraries, by the name of their class. Transforms of this package have the method ``graph_step``.
_OF_LIBRARIES: dict[str, Callable[[Any], dict[str, Any]]] = {"Resize": _resize, "RandomGrayscale": _grey}


def steps_of(prepare: Preparation) -> list[dict[str, Any]]:
    """Return the steps of a pipeline, without its loaders and its last transform, which packs the sample.

    Raises:
        NotExportable: a transform has no exported form, or images are not RGB.
    """
    if prepare.order != "rgb":
        raise NotExportable("pipeline", expected="a loader of RGB images", found=prepare.order, advice="use LoadImage")
    steps = []
    for transform in prepare.transforms[:-1]:
        name = type(transform).__name__
        if hasattr(transform, "graph_step"):
            steps += [] if (step := transform.graph_step()) is None else [step]
        elif name in _OF_LIBRARIES:
            steps.append(_OF_LIBRARIES[name](transform))
        else:
            raise NotExportable(f"pipeline: the transform {name} has no exported form")
    return steps


def multiple_of(steps: Sequence[Mapping[str, Any]]) -> int:
    """Return the number that both sides of every image are multiples of after the steps.

    Example:
        >>> multiple_of([{"op": "resize_to_fit", "size": None, "at_least": None, "multiple": 16}])
        16
    """
    sizing = [step for step in steps if step["op"] != "grey"]
    return sizing[-1].get("multiple", 1) if sizing else 1


def largest_size(steps: Sequence[Mapping[str, Any]], divisor: int) -> tuple[tuple[int, int], bool]:
    """Return (H, W) that holds every image after the steps and padding, and True if all images get this size.

    Example:
        >>> largest_size([{"op": "resize_crop", "size": 8, "edge": 9, "interpolation": "bicubic"}], 1)
        ((8, 8), True)
    """
    images = (np.zeros((*shape, 3), np.uint8) for shape in _SHAPES)
    sizes = {padded_size(apply_steps(image, steps).shape[:2], divisor) for image in images}
    height, width = (max(size[axis] for size in sizes) for axis in (0, 1))
    return (height, width), len(sizes) == 1
