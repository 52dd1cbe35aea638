"""Annotations whose ``category_id`` is a class index, as in some versions of COCONut-XL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from visionzoo.datasets.panoptic.files import PanopticImage, in_label_order
from visionzoo.structures.panoptic import PanopticCategory

Segment = dict[str, Any]


def with_ids(
    annotations: Any, images: Mapping[int | str, PanopticImage], categories: Sequence[PanopticCategory]
) -> int:
    """Replace class indices by ids of categories, and return the number of segments that had one.

    The segments of one source have class indices if 0 occurs, which is not the id of a category, and all numbers are
    below the number of categories. A source is a data set in a merged file, or else the whole file.

    Args:
        annotations: a list of entries with ``image_id`` and ``segments_info``, not checked yet; segments are changed.
        images: the images by id.
        categories: the categories of the file.

    Example:
        >>> cat, sky = PanopticCategory(3, "cat", True), PanopticCategory(8, "sky", False)
        >>> segments = [{"id": 1, "category_id": 0}, {"id": 2, "category_id": 1}]
        >>> with_ids([{"image_id": 4, "segments_info": segments}], {}, [sky, cat]), segments
        (2, [{'id': 1, 'category_id': 3}, {'id': 2, 'category_id': 8}])
    """
    if any(each.id == 0 for each in categories) or not isinstance(annotations, list):
        return 0
    ids = [each.id for each in in_label_order(categories)]
    count = 0
    for segments in _by_source(annotations, images).values():
        if _are_indices(segments, len(ids)):
            count += len(segments)
            for segment in segments:
                segment["category_id"] = ids[segment["category_id"]]
    return count


def _by_source(annotations: list[Any], images: Mapping[int | str, PanopticImage]) -> dict[str, list[Segment]]:
    sources = defaultdict[str, list[Segment]](list)
    for entry in annotations:
        segments = entry.get("segments_info") if isinstance(entry, dict) else None
        if isinstance(segments, list):
            number = entry.get("image_id")
            image = images.get(number) if isinstance(number, int | str) else None
            sources[image.source if image else ""] += _objects(segments)
    return sources


def _objects(segments: list[Any]) -> Iterator[Segment]:
    return (segment for segment in segments if isinstance(segment, dict))


def _are_indices(segments: list[Segment], count: int) -> bool:
    numbers = [segment.get("category_id") for segment in segments]
    return 0 in numbers and all(type(number) is int and 0 <= number < count for number in numbers)
