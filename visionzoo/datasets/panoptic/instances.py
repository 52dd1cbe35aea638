"""Instances and boxes of panoptic maps, in the formats of COCO and of COCONut's scripts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from visionzoo.datasets.panoptic.files import PanopticFile, PanopticImage
from visionzoo.datasets.panoptic.polygons import polygons_of
from visionzoo.errors import require_known
from visionzoo.structures.detections import encode_mask
from visionzoo.structures.panoptic import PanopticCategory, PanopticMap, Segment

# rle: run-length codes, lossless; coconut: polygons, boxes and gaps in the ids as COCONut's script writes them.
FORMS = ("rle", "coconut")
Maps = Iterable[tuple[PanopticImage, PanopticMap]]


def instances_record(file: PanopticFile, maps: Maps, form: str = "rle", *, with_stuff: bool = False) -> dict[str, Any]:
    """Convert panoptic maps to a COCO record of instances.

    Args:
        file: images and categories.
        maps: the annotated images with their maps, see :func:`visionzoo.datasets.panoptic.maps.maps_in`.
        form: ``rle``: one run-length code for each segment, which loses nothing. ``coconut``: polygons that equal
            those of COCONut's script, see :mod:`visionzoo.datasets.panoptic.polygons`.
        with_stuff: True to convert stuff too.

    Returns:
        ``images``, ``annotations`` and ``categories``. Images without annotation are there, without instances.

    Raises:
        UnknownName: unknown ``form``.
    """
    require_known(form, FORMS, "form of instances")
    used = [each for each in file.categories if each.isthing or with_stuff]
    annotations: list[dict[str, Any]] = []
    spent = 0
    sizes: dict[int | str, tuple[int, int]] = {}
    for image, panoptic in maps:
        sizes[image.id] = panoptic.size
        for segment in segments_of(panoptic, used):
            spent += 1
            instance = lossless(panoptic, segment) if form == "rle" else as_coconut(panoptic, segment)
            if instance:
                annotations.append({"id": spent, "image_id": image.id, **instance})
    return {
        **file.info,
        "images": [_image(each, sizes.get(each.id)) for each in file.images],
        "annotations": annotations,
        "categories": [category_record(each) for each in used],
    }


def segments_of(panoptic: PanopticMap, used: Sequence[PanopticCategory]) -> Iterator[Segment]:
    """Yield the segments of some categories, in the order of the map."""
    ids = {each.id for each in used}
    return (each for each in panoptic.segments if each.category_id in ids)


def lossless(panoptic: PanopticMap, segment: Segment) -> dict[str, Any]:
    """Return the fields of a COCO annotation: the mask as run-length code, area and box [x, y, width, height].

    Example:
        >>> panoptic = PanopticMap.of_ids([[7, 7, 0]], {7: (1, False)})
        >>> lossless(panoptic, panoptic.segments[0])["bbox"]
        [0, 0, 2, 1]
    """
    return {
        "category_id": segment.category_id,
        "iscrowd": int(segment.iscrowd),
        "area": segment.area,
        "bbox": list(segment.bbox),
        "segmentation": encode_mask(panoptic.mask(segment)),
    }


def as_coconut(panoptic: PanopticMap, segment: Segment) -> dict[str, Any] | None:
    """Return the fields of a COCO annotation as COCONut's script writes them, or None if no polygon remains.

    The box is the largest minus the smallest index of a pixel, which is one less than the number of pixels.

    Example:
        >>> panoptic = PanopticMap.of_ids([[7] * 6] * 4, {7: (1, False)})
        >>> as_coconut(panoptic, panoptic.segments[0])["bbox"]
        [0.0, 0.0, 5.0, 3.0]
    """
    x, y, width, height = segment.bbox
    if segment.iscrowd:
        outline: Any = _run_lengths(panoptic.mask(segment))
    else:
        outline = polygons_of(panoptic.mask(segment))
    if not outline:
        return None
    return {
        "category_id": segment.category_id,
        "iscrowd": int(segment.iscrowd),
        "area": segment.area,
        "segmentation": outline,
        "bbox": [float(x), float(y), width - 1.0, height - 1.0],
    }


def _run_lengths(mask: np.ndarray) -> dict[str, Any]:
    """Return COCO's uncompressed code: lengths of alternating runs in column order; the first run is of zeros."""
    flat = np.concatenate([[False], mask.flatten(order="F")])
    starts = np.flatnonzero(flat[1:] != flat[:-1])
    counts = np.diff(np.concatenate([[0], starts, [mask.size]]))
    return {"counts": counts.tolist(), "size": list(mask.shape)}


def _image(image: PanopticImage, size: tuple[int, int] | None) -> dict[str, Any]:
    """Return an image of a COCO record; the size is that of its map, else the stated one."""
    height, width = size or (image.height, image.width)
    return {"id": image.id, "file_name": image.file_name, "height": height, "width": width}


def category_record(category: PanopticCategory) -> dict[str, Any]:
    """Return a category as panoptic files write it.

    Example:
        >>> category_record(PanopticCategory(1, "person", True))
        {'id': 1, 'name': 'person', 'supercategory': '', 'isthing': 1}
    """
    facts = {"id": category.id, "name": category.name, "supercategory": category.supercategory}
    return {**facts, "isthing": int(category.isthing)}


def boxes_record(file: PanopticFile, maps: Maps) -> list[dict[str, Any]]:
    """Return the boxes of all things, in the form of COCONut's script for object detection.

    Boxes are [left, top, right, bottom] from the edges of the pixels.

    Example:
        >>> image = PanopticImage(4, "4.jpg", mask="4.png")
        >>> file = PanopticFile("a.json", [image], (PanopticCategory(1, "person", True),))
        >>> (record,) = boxes_record(file, [(image, PanopticMap.of_ids([[7, 7, 0]], {7: (1, False)}))])
        >>> record["bbox_infos"]
        [{'bbox': [0, 0, 2, 1], 'category_id': 1, 'id': 7, 'isthing': 1}]
    """
    things = [each for each in file.categories if each.isthing]
    return [
        {
            "image_id": image.id,
            "file_name": image.file_name,
            "bbox_infos": [_box(segment) for segment in segments_of(panoptic, things)],
        }
        for image, panoptic in maps
    ]


def _box(segment: Segment) -> dict[str, Any]:
    x, y, width, height = segment.bbox
    edges = [x, y, x + width, y + height]
    return {"bbox": edges, "category_id": segment.category_id, "id": segment.id, "isthing": 1}
