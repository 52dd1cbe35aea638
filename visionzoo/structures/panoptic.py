"""Panoptic maps: every pixel of an image belongs to one segment, or to none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
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


class Runs(NamedTuple):
    """Pixels of a map as runs of equal ids. A run ends with its row at the latest.

    Attributes:
        starts: (R,) int64, index of the first pixel of each run in the flat map, ascending.
        ids: (R,) id of each run.
    """

    starts: np.ndarray
    ids: np.ndarray


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
        runs = runs_of(array)
        extents = _extents(runs, array.shape)
        wrong = {
            "ids without a category": sorted(set(extents) - set(categories)),
            "ids without pixels": sorted(set(categories) - set(extents)),
        }
        if any(wrong.values()):
            raise DataError(
                where,
                expected="a category for every id in the map, and pixels for every id with a category",
                found=", ".join(f"{what}: {numbers[:6]}" for what, numbers in wrong.items() if numbers),
                advice="list each segment once, with the id that its pixels have",
            )
        segments = (
            Segment(number, category, *extents[number], bool(is_crowd))
            for number, (category, is_crowd) in categories.items()
        )
        panoptic = cls(array, tuple(segments))
        panoptic.__dict__["runs"] = runs
        return panoptic

    @cached_property
    def runs(self) -> Runs:
        """Runs of equal ids; the array must not be changed after they are counted."""
        return runs_of(self.ids)

    @cached_property
    def extents(self) -> dict[int, Extent]:
        """Number of pixels and box of every id except 0, counted from the pixels."""
        return _extents(self.runs, self.ids.shape)

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
        return self.with_segments(renumbered)

    def with_segments(self, segments: Iterable[Segment]) -> PanopticMap:
        """Return the map with other facts about the same segments; pixels are not counted again."""
        panoptic = PanopticMap(self.ids, tuple(segments))
        panoptic.__dict__.update({name: self.__dict__[name] for name in ("runs", "extents") if name in self.__dict__})
        return panoptic

    def class_map(self, ignored: int = 255) -> np.ndarray:
        """Return the category of every pixel, (H, W) int64; ``ignored`` for pixels without a segment.

        Crowd segments have their category, as in COCO's conversion to semantic maps.

        Example:
            >>> PanopticMap.of_ids([[7, 0]], {7: (3, False)}).class_map().tolist()
            [[3, 255]]
        """
        known, which = np.unique(self.runs.ids, return_inverse=True)
        categories = {UNLABELLED: ignored} | {each.id: each.category_id for each in self.segments}
        table = np.array([categories[int(number)] for number in known], dtype=np.int64)
        lengths = np.diff(self.runs.starts, append=self.ids.size)
        return np.repeat(table[which], lengths).reshape(self.ids.shape)


def extents_of(ids: np.ndarray) -> dict[int, Extent]:
    """Return number of pixels and box of every id except 0, by ascending id.

    Args:
        ids: (H, W) unsigned integers.

    Example:
        >>> extents_of(np.array([[0, 5, 5], [5, 5, 0]]))
        {5: Extent(area=4, bbox=(0, 0, 3, 2))}
    """
    return _extents(runs_of(ids), ids.shape)


def runs_of(ids: np.ndarray) -> Runs:
    """Return the runs of equal ids in the rows of a map; there are far fewer of them than pixels.

    Args:
        ids: (H, W) integers.

    Example:
        >>> runs_of(np.array([[0, 5, 5], [5, 5, 0]]))
        Runs(starts=array([0, 1, 3, 5]), ids=array([0, 5, 5, 0]))
    """
    flat = ids.ravel()
    is_start = np.empty(flat.size, dtype=bool)
    np.not_equal(flat[1:], flat[:-1], out=is_start[1:])
    is_start.reshape(ids.shape)[:, :1] = True
    starts = np.flatnonzero(is_start)
    return Runs(starts, flat[starts])


def _extents(runs: Runs, shape: tuple[int, ...]) -> dict[int, Extent]:
    if not len(runs.starts):
        return {}
    order = runs.ids.argsort(kind="stable")  # runs of an id are adjacent and stay in the order of rows
    numbers, starts = runs.ids[order], runs.starts[order]
    is_first = np.append(True, numbers[1:] != numbers[:-1])
    firsts, lasts = np.flatnonzero(is_first), np.flatnonzero(np.append(is_first[1:], True))
    lengths = np.diff(runs.starts, append=shape[0] * shape[1])[order]
    rows, lefts = np.divmod(starts, shape[1])
    areas, left = np.add.reduceat(lengths, firsts), np.minimum.reduceat(lefts, firsts)
    right = np.maximum.reduceat(lefts + lengths, firsts)
    edges = np.stack([left, rows[firsts], right - left, rows[lasts] + 1 - rows[firsts]], axis=1).tolist()
    found = zip(numbers[firsts].tolist(), areas.tolist(), edges, strict=True)
    return {number: Extent(area, (x, y, w, h)) for number, area, (x, y, w, h) in found if number != UNLABELLED}
