"""Panoptic maps: every pixel of an image belongs to one segment, or to none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from visionzoo.errors import DataError
from visionzoo.structures.arrays import as_array

UNLABELLED = 0  # id of pixels without a segment


@dataclass(frozen=True)
class PanopticCategory:
    """One category of a data set.

    Attributes:
        id: number of the category in the files of the data set.
        name: its name.
        isthing: True for countable objects, False for stuff such as sky.
        supercategory: name of the group it belongs to; may be empty.
    """

    id: int
    name: str
    isthing: bool
    supercategory: str = ""


@dataclass(frozen=True)
class Segment:
    """One segment of a panoptic map.

    Attributes:
        id: number of the segment in the map, >= 1.
        category_id: number of its category: that of the files, or the class index inside a model's pipeline.
        area: number of pixels, or the number that a file states.
        bbox: left, top, width and height in pixels.
        iscrowd: True for a group of objects whose borders are unknown.
    """

    id: int
    category_id: int
    area: int
    bbox: tuple[int, int, int, int]
    iscrowd: bool = False


class Extent(NamedTuple):
    """Pixels of one id: their number, and left, top, width and height of the box around them."""

    area: int
    bbox: tuple[int, int, int, int]


@dataclass(frozen=True)
class PanopticMap:
    """Segments of one image.

    Attributes:
        ids: (H, W) uint32, the id of the segment of each pixel; 0 for pixels without a segment.
        segments: the segments, in the order of the file.

    Example:
        >>> panoptic = PanopticMap.of_ids([[7, 7, 0], [7, 9, 9]], {7: (0, False), 9: (2, False)})
        >>> [(each.id, each.category_id, each.area, each.bbox) for each in panoptic.segments]
        [(7, 0, 3, (0, 0, 2, 2)), (9, 2, 2, (1, 1, 2, 1))]
    """

    ids: np.ndarray
    segments: tuple[Segment, ...]

    @classmethod
    def of_ids(cls, ids: Any, categories: Mapping[int, tuple[int, bool]], where: str = "panoptic map") -> PanopticMap:
        """Build a map and count area and box of every segment.

        Args:
            ids: (H, W) integer ids; 0 for pixels without a segment.
            categories: category and crowd flag of every id, in the order of the segments.
            where: name of the image in errors.

        Raises:
            DataError: an id has pixels but no category, or a category but no pixels.
        """
        array = as_array(ids).astype(np.uint32, copy=False)
        extents = extents_of(array)
        unknown, empty = set(extents) - set(categories), set(categories) - set(extents)
        if unknown or empty:
            raise DataError(
                where,
                expected="a category for every id in the map, and pixels for every id with a category",
                found=f"ids without a category: {sorted(unknown)[:6]}, ids without pixels: {sorted(empty)[:6]}",
                advice="list each segment once, with the id that its pixels have",
            )
        return cls(
            array,
            tuple(
                Segment(number, category, *extents[number], bool(is_crowd))
                for number, (category, is_crowd) in categories.items()
            ),
        )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.ids.shape[0], self.ids.shape[1]

    def mask(self, segment: Segment) -> np.ndarray:
        """Return the pixels of a segment, (H, W) bool."""
        return self.ids == segment.id

    def with_categories(self, categories: Mapping[int, int], where: str = "panoptic map") -> PanopticMap:
        """Return the map with other numbers of categories, such as class indices instead of those of a file.

        Args:
            categories: the new number of each category.
            where: name of the image in errors.

        Raises:
            DataError: a segment has a category without a new number.
        """
        for segment in self.segments:
            if segment.category_id not in categories:
                raise DataError(
                    f"{where}, segment {segment.id}",
                    expected=f"one of {len(categories)} known categories",
                    found=f"category {segment.category_id}",
                    advice="add it to the categories of the file, or remove the segment",
                )
        renumbered = (replace(each, category_id=categories[each.category_id]) for each in self.segments)
        return PanopticMap(self.ids, tuple(renumbered))

    def class_map(self, ignored: int = 255) -> np.ndarray:
        """Return the category of every pixel, (H, W) int64; ``ignored`` for pixels without a segment.

        Crowd segments have their category, as in COCO's conversion to semantic maps.

        Example:
            >>> PanopticMap.of_ids([[7, 0]], {7: (3, False)}).class_map().tolist()
            [[3, 255]]
        """
        known, inverse = np.unique(self.ids, return_inverse=True)
        categories = {UNLABELLED: ignored} | {each.id: each.category_id for each in self.segments}
        table = np.array([categories[int(number)] for number in known], dtype=np.int64)
        return table[inverse].reshape(self.ids.shape)


def extents_of(ids: np.ndarray) -> dict[int, Extent]:
    """Return number of pixels and box of every id except 0, by ascending id.

    Runs of equal ids in a row are counted instead of pixels, because there are far fewer of them.

    Args:
        ids: (H, W) unsigned integers.

    Example:
        >>> extents_of(np.array([[0, 5, 5], [5, 5, 0]]))
        {5: Extent(area=4, bbox=(0, 0, 3, 2))}
    """
    if ids.size == 0:
        return {}
    width = ids.shape[1]
    is_start = np.ones(ids.shape, dtype=bool)
    is_start[:, 1:] = ids[:, 1:] != ids[:, :-1]
    starts = np.flatnonzero(is_start)
    lengths = np.diff(starts, append=ids.size)
    rows, lefts = np.divmod(starts, width)
    known, which = np.unique(ids.ravel()[starts], return_inverse=True)
    order = np.argsort(which, kind="stable")
    firsts = np.searchsorted(which[order], np.arange(len(known)))
    areas = np.add.reduceat(lengths[order], firsts)
    left, top = (np.minimum.reduceat(values[order], firsts) for values in (lefts, rows))
    right, bottom = (np.maximum.reduceat(values[order], firsts) for values in (lefts + lengths, rows + 1))
    edges = np.stack([left, top, right - left, bottom - top], axis=1).tolist()
    found = zip(known.tolist(), areas.tolist(), edges, strict=True)
    return {number: Extent(area, (x, y, w, h)) for number, area, (x, y, w, h) in found if number != UNLABELLED}
