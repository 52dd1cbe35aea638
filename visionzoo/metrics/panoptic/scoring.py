"""One image and one data set, with and without boundaries: what the metric and `visionzoo eval` share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from visionzoo.errors import require_known
from visionzoo.metrics.boundaries import RATIO
from visionzoo.metrics.panoptic.areas import differences_of
from visionzoo.metrics.panoptic.overlaps import Overlaps
from visionzoo.metrics.panoptic.quality import (
    AREAS,
    ByCategory,
    candidates,
    matches_of,
    panoptic_quality,
    with_boundaries,
)
from visionzoo.structures.panoptic import PanopticMap


@dataclass(frozen=True)
class ImageMatches:
    """Matches of one image; only these are stored until an evaluation ends.

    Attributes:
        segments: matches of masks, by class index.
        boundaries: matches by the smaller of mask and boundary IoU; None if they were not requested.
        areas: texts of stated areas of the truth that differ from the pixels.
    """

    segments: ByCategory
    boundaries: ByCategory | None
    areas: tuple[str, ...] = ()


def match_image(
    truth: PanopticMap,
    prediction: PanopticMap,
    *,
    area: str = "png",
    boundary: bool = False,
    ratio: float = RATIO,
    where: str = "image",
) -> ImageMatches:
    """Match the segments of one image. The common pixels are counted once for masks and boundaries.

    Args:
        truth, prediction, area, where: see :func:`match_segments`.
        boundary: True to match boundaries too.
        ratio: see :func:`match_boundaries`.
    """
    require_known(area, AREAS, "area of panoptic quality")
    overlaps = Overlaps.of(truth, prediction, where)
    pairs = candidates(truth, prediction, overlaps, area)
    bounded = with_boundaries(truth, prediction, pairs, ratio) if boundary else None
    return ImageMatches(
        matches_of(truth, prediction, overlaps, pairs),
        None if bounded is None else matches_of(truth, prediction, overlaps, bounded),
        tuple(differences_of(truth, overlaps.truth_areas, where)),
    )


def panoptic_numbers(
    images: Iterable[ImageMatches], classes: Sequence[str], things: int
) -> tuple[dict[str, float], dict[str, list[dict[str, Any]]]]:
    """Return the numbers of a data set and the rows per class, by ``pq`` and ``boundary_pq``.

    Numbers of boundaries begin with ``boundary_``; they are left out if boundaries were not matched.

    Args:
        images: all images.
        classes, things: see :func:`panoptic_quality`.
    """
    listed = list(images)
    scores = panoptic_quality((image.segments for image in listed), classes, things)
    numbers, tables = dict(scores.numbers), {"pq": scores.per_class}
    if listed and all(image.boundaries is not None for image in listed):
        scores = panoptic_quality((image.boundaries or {} for image in listed), classes, things)
        numbers |= {f"boundary_{name}": value for name, value in scores.numbers.items()}
        tables["boundary_pq"] = scores.per_class
    return numbers, tables
