"""Panoptic quality and boundary panoptic quality (Kirillov et al., CVPR 2019; Cheng et al., CVPR 2021).

The rules are those of panopticapi: a truth and a prediction of the same category match if their IoU is above 0.5, where
pixels of the prediction without a segment in the truth do not count. A prediction that is mostly on such pixels, and on
a crowd of its category, is ignored. Unlike panopticapi, areas are counted from the pixels unless a caller chooses
those of the file, and the mean over no class is nan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum, nan
from typing import Any, NamedTuple

import numpy as np

from visionzoo.errors import require_known
from visionzoo.metrics.boundaries import RATIO, Patch, boundary_width
from visionzoo.metrics.means import exact_mean
from visionzoo.metrics.panoptic.overlaps import Overlaps
from visionzoo.structures.panoptic import UNLABELLED, PanopticMap

AREAS = ("png", "json")
_LEAST = 0.5  # IoU above which two segments match, and share above which a prediction is ignored


class Matches(NamedTuple):
    """Segments of one category.

    Attributes:
        ious: IoU of each match.
        extra: number of predictions without a match.
        missed: number of segments of the truth without a match.
    """

    ious: tuple[float, ...] = ()
    extra: int = 0
    missed: int = 0

    def __add__(self, other: Any) -> Matches:
        """Return the matches of both."""
        return Matches(self.ious + other.ious, self.extra + other.extra, self.missed + other.missed)


ByCategory = dict[int, Matches]


def match_segments(
    truth: PanopticMap, prediction: PanopticMap, *, area: str = "png", where: str = "image"
) -> ByCategory:
    """Match the segments of one image.

    Args:
        truth, prediction: maps of the same size with the same numbers of categories.
        area: ``png`` to count the areas of the truth from its pixels; ``json`` for the areas of its segments, which
            panopticapi uses.
        where: name of the image in errors.

    Returns:
        The matches of each category that occurs.

    Raises:
        DataError: the maps differ in size, or ids of pixels and segments of a map differ.
        UnknownName: no such ``area``.

    Example:
        >>> truth = PanopticMap.of_ids([[7, 7, 9]], {7: (0, False), 9: (1, False)})
        >>> prediction = PanopticMap.of_ids([[3, 3, 3]], {3: (0, False)})
        >>> match_segments(truth, prediction)
        {0: Matches(ious=(0.6666666666666666,), extra=0, missed=0), 1: Matches(ious=(), extra=0, missed=1)}
    """
    require_known(area, AREAS, "area of panoptic quality")
    overlaps = Overlaps.of(truth, prediction, where)
    return matches_of(truth, prediction, overlaps, candidates(truth, prediction, overlaps, area))


def match_boundaries(
    truth: PanopticMap, prediction: PanopticMap, *, area: str = "png", ratio: float = RATIO, where: str = "image"
) -> ByCategory:
    """Match the segments of one image by the smaller of mask IoU and boundary IoU.

    Boundaries are taken of each segment in its own box, and only of pairs whose masks match: no other pair can.

    Args:
        truth, prediction, area, where: see :func:`match_segments`. Areas of boundaries are always counted.
        ratio: width of boundaries as a share of the image's diagonal.
    """
    require_known(area, AREAS, "area of panoptic quality")
    overlaps = Overlaps.of(truth, prediction, where)
    pairs = with_boundaries(truth, prediction, candidates(truth, prediction, overlaps, area), ratio)
    return matches_of(truth, prediction, overlaps, pairs)


class Pairs(NamedTuple):
    """Pairs of segments with an IoU above the threshold: their positions in truth and prediction."""

    rows: np.ndarray
    columns: np.ndarray
    ious: np.ndarray


def candidates(truth: PanopticMap, prediction: PanopticMap, overlaps: Overlaps, area: str) -> Pairs:
    """Return the pairs of the same category whose masks match; crowds of the truth match nothing.

    Args:
        truth, prediction, area: see :func:`match_segments`.
        overlaps: common pixels of both maps.
    """
    crowd = np.array([segment.iscrowd for segment in truth.segments], dtype=bool)
    rows, columns = np.nonzero(overlaps.pixels[1:, 1:])
    mine, theirs = _categories(truth), _categories(prediction)
    kept = (mine[rows] == theirs[columns]) & ~crowd[rows]
    rows, columns = rows[kept], columns[kept]
    areas = overlaps.truth_areas if area == "png" else np.array([segment.area for segment in truth.segments], dtype=int)
    common = overlaps.pixels[rows + 1, columns + 1]
    union = overlaps.prediction_areas[columns] + areas[rows] - common - overlaps.unlabelled[columns]
    ious = np.divide(common, union, out=np.zeros(len(rows)), where=union > 0)
    return _above(rows, columns, ious)


def _above(rows: np.ndarray, columns: np.ndarray, ious: np.ndarray) -> Pairs:
    kept = ious > _LEAST
    return Pairs(rows[kept], columns[kept], ious[kept])


def _categories(panoptic: PanopticMap) -> np.ndarray:
    return np.array([segment.category_id for segment in panoptic.segments], dtype=np.int64)


def with_boundaries(truth: PanopticMap, prediction: PanopticMap, pairs: Pairs, ratio: float) -> Pairs:
    """Return the pairs that also match by their boundaries, with the smaller of mask IoU and boundary IoU.

    Args:
        truth, prediction: the maps.
        pairs: pairs whose masks match.
        ratio: see :func:`match_boundaries`.
    """
    width = boundary_width(truth.size, ratio)
    ious = []
    for row, column, iou in zip(*(part.tolist() for part in pairs), strict=True):
        true, found = truth.segments[row].id, prediction.segments[column].id
        mine = Patch.boundary_of(truth.ids, true, truth.extents[true].bbox, width)
        theirs = Patch.boundary_of(prediction.ids, found, prediction.extents[found].bbox, width)
        ious.append(min(iou, _boundary_iou(mine, theirs, truth.ids)))
    return _above(pairs.rows, pairs.columns, np.array(ious))


def _boundary_iou(mine: Patch, found: Patch, truth: np.ndarray) -> float:
    """Return the IoU of two boundaries without the pixels that have no segment in the truth."""
    unlabelled = int(np.count_nonzero(found.mask & (found.part_of(truth) == UNLABELLED)))
    common = mine.common(found)
    return common / (mine.area + found.area - common - unlabelled)


def matches_of(truth: PanopticMap, prediction: PanopticMap, overlaps: Overlaps, pairs: Pairs) -> ByCategory:
    """Return the matches of each category that occurs.

    Args:
        truth, prediction, overlaps: see :func:`candidates`.
        pairs: the pairs that match.
    """
    result: dict[int, Matches] = {}
    for row, iou in zip(pairs.rows.tolist(), pairs.ious.tolist(), strict=True):
        _add(result, truth.segments[row].category_id, Matches((iou,)))
    matched, ignored = set(pairs.rows.tolist()), _ignored(truth, prediction, overlaps)
    for row, segment in enumerate(truth.segments):
        if row not in matched and not segment.iscrowd:
            _add(result, segment.category_id, Matches(missed=1))
    matched = set(pairs.columns.tolist())
    for column, segment in enumerate(prediction.segments):
        if column not in matched and not ignored[column]:
            _add(result, segment.category_id, Matches(extra=1))
    return result


def _add(result: dict[int, Matches], category: int, matches: Matches) -> None:
    result[category] = result.get(category, Matches()) + matches


def _ignored(truth: PanopticMap, prediction: PanopticMap, overlaps: Overlaps) -> list[bool]:
    """Return for each prediction if most of it has no segment in the truth, or the last crowd of its category."""
    crowds = {segment.category_id: row for row, segment in enumerate(truth.segments, start=1) if segment.iscrowd}
    allowed = overlaps.unlabelled + [
        overlaps.pixels[crowds[segment.category_id], column] if segment.category_id in crowds else 0
        for column, segment in enumerate(prediction.segments, start=1)
    ]
    return (allowed / overlaps.prediction_areas > _LEAST).tolist()


# --- numbers ---


@dataclass(frozen=True)
class PanopticScores:
    """Panoptic quality of a data set.

    Attributes:
        numbers: ``PQ``, ``SQ`` and ``RQ``, means over the ``classes`` that occur in truth or predictions, from 0 to 1;
            and each of the four for things and stuff (``PQ_things``). A group in which no class occurs has nan.
        per_class: one row for each class: ``class``, ``group`` (thing or stuff), ``objects`` of the truth without
            crowds, ``PQ``, ``SQ``, ``RQ``, ``TP``, ``FP`` and ``FN``. Numbers of a class that does not occur are nan.
    """

    numbers: dict[str, float]
    per_class: list[dict[str, Any]]


def panoptic_quality(
    images: Iterable[Mapping[int, Matches]], classes: Sequence[str], things: int | None = None
) -> PanopticScores:
    """Return the numbers of a data set. They do not depend on the order of the images.

    Args:
        images: the matches of each image, by class index.
        classes: names of all classes, things first.
        things: number of classes of things. Default: all.

    Example:
        >>> scores = panoptic_quality([{0: Matches((0.8,)), 1: Matches(missed=1)}], ["cat", "sky"], things=1)
        >>> scores.numbers["PQ"], scores.numbers["PQ_things"], scores.per_class[1]["PQ"]
        (0.4, 0.8, 0.0)
    """
    sums = [_Sums() for _ in classes]
    for image in images:
        for label, matches in image.items():
            sums[label].add(matches)
    things = len(classes) if things is None else things
    groups = {"": sums, "_things": sums[:things], "_stuff": sums[things:]}
    numbers = {name + suffix: value for suffix, group in groups.items() for name, value in _means(group).items()}
    rows = [
        {"class": name, "group": "thing" if label < things else "stuff", **sums[label].row()}
        for label, name in enumerate(classes)
    ]
    return PanopticScores(numbers, rows)


class _Sums:
    """Matches of one class over all images."""

    def __init__(self) -> None:
        self.ious: list[float] = []
        self.extra = self.missed = 0

    def add(self, matches: Matches) -> None:
        self.ious += matches.ious
        self.extra += matches.extra
        self.missed += matches.missed

    @property
    def occurs(self) -> bool:
        return bool(self.ious or self.extra or self.missed)

    def qualities(self) -> dict[str, float]:
        """Return PQ, SQ and RQ; nan for a class that does not occur."""
        if not self.occurs:
            return dict.fromkeys(_QUALITIES, nan)
        matched, total = len(self.ious), fsum(self.ious)
        segments = matched + self.extra / 2 + self.missed / 2
        values = total / segments, total / matched if matched else 0.0, matched / segments
        return dict(zip(_QUALITIES, values, strict=True))

    def row(self) -> dict[str, Any]:
        counts = {"TP": len(self.ious), "FP": self.extra, "FN": self.missed}
        return {"objects": len(self.ious) + self.missed, **self.qualities(), **counts}


_QUALITIES = ("PQ", "SQ", "RQ")


def _means(group: Sequence[_Sums]) -> dict[str, float]:
    values = [each.qualities() for each in group if each.occurs]
    means = {name: exact_mean(each[name] for each in values) if values else nan for name in _QUALITIES}
    return means | {"classes": float(len(values))}
