"""Panoptic maps from instances and stuff: exactly from ground truth, by a heuristic from predictions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from visionzoo.errors import DataError
from visionzoo.structures.panoptic import PanopticMap

CONFIDENCE, OVERLAP, STUFF_AREA = 0.5, 0.5, 64 * 64


@dataclass(frozen=True)
class Region:
    """A mask with a category.

    Attributes:
        category_id: its category.
        mask: (H, W) bool.
        score: confidence of a prediction.
        iscrowd: True for a group of objects.
    """

    category_id: int
    mask: np.ndarray
    score: float = 1.0
    iscrowd: bool = False


def combined(
    instances: Iterable[Region],
    stuff: Iterable[Region],
    size: tuple[int, int],
    *,
    confidence: float = CONFIDENCE,
    overlap: float = OVERLAP,
    stuff_area: int = STUFF_AREA,
) -> PanopticMap:
    """Combine predicted instances and stuff to a panoptic map, as panopticapi does.

    Instances are placed by descending score. One is left out if more than ``overlap`` of it is covered by the whole
    masks of those placed before; the others get their free pixels. Then each kind of stuff, in its order, gets the free
    pixels of its mask, if they are at least ``stuff_area``. Segments are numbered 1, 2, 3, ... in this order.

    Args:
        instances: masks of things with scores.
        stuff: masks of stuff.
        size: (H, W) in pixels.
        confidence: instances of smaller scores are left out.
        overlap: largest covered fraction of an instance.
        stuff_area: smallest number of pixels of a kind of stuff.

    Raises:
        DataError: a mask has another size.

    Example:
        >>> cat, sky = Region(1, np.array([[True, True, False]]), 0.9), Region(7, np.ones((1, 3), bool))
        >>> combined([cat], [sky], (1, 3), stuff_area=1).ids.tolist()
        [[1, 1, 2]]
    """
    ids, covered = np.zeros(size, np.uint32), np.zeros(size, bool)
    categories: dict[int, tuple[int, bool]] = {}
    chosen = sorted((each for each in instances if each.score >= confidence), key=lambda each: -each.score)
    for region in chosen:
        mask = _mask_of(region, size)
        area = int(mask.sum())
        if area and int((mask & covered).sum()) / area <= overlap:
            covered |= mask
            _place(ids, categories, mask, region)
    for region in stuff:
        mask = _mask_of(region, size)
        if (free := int((mask & (ids == 0)).sum())) and free >= stuff_area:
            _place(ids, categories, mask, region)
    return PanopticMap.of_ids(ids, categories)


def _place(ids: np.ndarray, categories: dict[int, tuple[int, bool]], mask: np.ndarray, region: Region) -> None:
    """Give the free pixels of a mask to a new segment, if it has some."""
    free = mask & (ids == 0)
    if free.any():
        number = len(categories) + 1
        ids[free] = number
        categories[number] = region.category_id, region.iscrowd


def _mask_of(region: Region, size: tuple[int, int]) -> np.ndarray:
    if region.mask.shape != size:
        raise DataError(
            f"mask of category {region.category_id}",
            expected=f"{size[1]}x{size[0]} pixels",
            found="x".join(map(str, reversed(region.mask.shape))),
            advice="use masks in the size of the image",
        )
    return region.mask


def joined(regions: Iterable[Region], size: tuple[int, int], where: object = "panoptic map") -> PanopticMap:
    """Join masks that do not meet, such as instances and stuff of ground truth, to a panoptic map without a loss.

    Args:
        regions: masks; one without a pixel is left out.
        size: (H, W) in pixels.
        where: name of the image, for the error.

    Raises:
        DataError: two masks share a pixel, or a mask has another size.

    Example:
        >>> cat, sky = Region(1, np.array([[True, True, False]])), Region(7, np.array([[False, False, True]]))
        >>> joined([cat, sky], (1, 3)).ids.tolist()
        [[1, 1, 2]]
    """
    ids = np.zeros(size, np.uint32)
    categories: dict[int, tuple[int, bool]] = {}
    for region in regions:
        mask = _mask_of(region, size)
        shared = np.flatnonzero(ids[mask])
        if len(shared):
            other, _ = categories[int(ids[mask][shared[0]])]
            raise DataError(
                where,
                expected="masks that share no pixel",
                found=f"{len(shared)} pixels of categories {other} and {region.category_id}",
                advice="use masks of a panoptic data set, or combine them as predictions, with scores",
            )
        _place(ids, categories, mask, region)
    return PanopticMap.of_ids(ids, categories, where=f"{where}")


def regions_of(annotations: Iterable[Mapping[str, Any]]) -> Iterator[Region]:
    """Yield the masks of COCO annotations or results, which have run-length codes or polygons.

    Args:
        annotations: dicts with ``category_id`` and ``segmentation``, and ``score`` and ``iscrowd`` where they are. The
            ``segmentation`` of polygons needs ``size``, (H, W), beside it.

    Example:
        >>> from visionzoo.structures.detections import encode_mask
        >>> (region,) = regions_of([{"category_id": 1, "segmentation": encode_mask(np.array([[True, False]]))}])
        >>> region.mask.tolist()
        [[True, False]]
    """
    for each in annotations:
        mask = _decoded(each["segmentation"], each.get("size"))
        yield Region(each["category_id"], mask, float(each.get("score", 1.0)), bool(each.get("iscrowd", 0)))


def _decoded(segmentation: Any, size: tuple[int, int] | None) -> np.ndarray:
    from visionzoo.datasets.referring.segments import mask_sum

    return mask_sum(segmentation, size or segmentation["size"]) > 0
