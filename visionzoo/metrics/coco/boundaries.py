"""Boundary AP: COCO AP with the smaller of mask IoU and boundary IoU (Cheng et al., CVPR 2021).

As in the authors' code, a crowd of the truth is compared only by its mask.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from visionzoo.metrics.boundaries import boundary_width, inner_boundary


def boundary_evaluation(evaluation: type, truth: Any, results: Any, index: Callable[..., Any]) -> Any:
    """Return an evaluation that compares masks by the smaller of both IoUs.

    A second evaluation of the same implementation has the boundaries as its masks, in the same order. Only its IoUs
    are used.

    Args:
        evaluation: the class of pycocotools or of faster-coco-eval.
        truth, results: indices of both sides.
        index: function from the sections of a record to an index.
    """
    edges = evaluation(*(_with_boundaries(side, index) for side in (truth, results)), "segm")

    class BoundaryEvaluation(evaluation):  # type: ignore[misc]
        """Evaluation of masks whose IoUs are limited by those of their boundaries."""

        def evaluate(self) -> None:
            edges.params = self.params
            edges._prepare()
            super().evaluate()

        def computeIoU(self, image: int, category: int) -> Any:  # noqa: N802 (the name of both implementations)
            ious = super().computeIoU(image, category)
            if not len(ious):
                return ious
            limited = np.minimum(ious, edges.computeIoU(image, category))
            return np.where(crowds[image, category], ious, limited)

    crowds = _crowds(truth)
    return BoundaryEvaluation(truth, results, "segm")


def _crowds(truth: Any) -> dict[tuple[int, int], list[bool]]:
    """Return which objects of each image and category are crowds, in the order of the record."""
    crowds: dict[tuple[int, int], list[bool]] = {}
    for each in truth.dataset["annotations"]:
        crowds.setdefault((each["image_id"], each["category_id"]), []).append(bool(each.get("iscrowd", 0)))
    return crowds


def _with_boundaries(side: Any, index: Callable[..., Any]) -> Any:
    """Return an index whose masks are the boundaries of those of ``side``."""
    record = side.dataset
    annotations = [{**each, "segmentation": boundary_rle(side.annToRLE(each))} for each in record["annotations"]]
    return index(images=record["images"], categories=record["categories"], annotations=annotations)


def boundary_rle(rle: dict[str, Any]) -> dict[str, Any]:
    """Return the boundary of a mask in run lengths.

    Args:
        rle: compressed run lengths of pycocotools, of the whole image.

    Example:
        >>> from pycocotools import mask
        >>> rle = mask.encode(np.asfortranarray(np.ones((3, 4), np.uint8)))
        >>> int(mask.area(boundary_rle(rle)))
        10
    """
    from pycocotools import mask as masks

    left, top, width, height = (int(side) for side in masks.toBbox(rle))
    pixels = masks.decode(rle)
    box = pixels[top : top + height, left : left + width]
    box[...] = inner_boundary(box == 1, boundary_width(pixels.shape))
    return masks.encode(pixels)
