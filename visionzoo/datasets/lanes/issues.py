"""Issues of lanes: points that go up, are outside or cross, lanes without points, masks of another image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from visionzoo.datasets.issues import Examined, Issue, issue_of
from visionzoo.datasets.mask_files import read_ids
from visionzoo.errors import DataError
from visionzoo.structures.image_size import require_size
from visionzoo.structures.lanes import MISSING, x_at_rows

_ROWS = 24  # rows at which two lanes are compared
_SLACK = 3.0  # pixels by which lanes may overlap at a row
_FAR = 0.5  # image widths that a lane may be outside: annotators extend lanes beyond the border


def examined_lanes(record: Mapping[str, Any], size: tuple[int, int] | None) -> Examined:
    """Return the issues of the lanes of one image.

    Args:
        record: ``img_path``, and ``gt_lanes``, ``gt_x``, ``gt_path`` and ``gt_exist`` if the data set has them.
        size: (width, height) of the image; None if it is not known.

    Example:
        >>> lane = np.array([[4.0, 20], [8, 10], [9, 15]])
        >>> [issue.kind for issue in examined_lanes({"img_path": "a.jpg", "gt_lanes": [lane, lane[:0]]}, None).issues]
        ['lanes without a point', 'lanes that go up and down']
    """
    place, lanes = f"{record['img_path']}", [np.asarray(lane, float) for lane in record.get("gt_lanes", ())]
    issues = [*_phantoms(record, lanes, place)]
    for number, lane in enumerate(lanes, start=1):
        issues += _of_lane(lane, size, f"{place}, lane {number}")
    issues += _crossings([lane for lane in lanes if len(lane) > 1], place)
    if "gt_path" in record:
        issues += _of_mask(record, size)
    known = "gt_lanes" in record or "gt_exist" in record
    has_lane = any(map(len, lanes)) or bool(np.any(record.get("gt_exist", 0)))
    return Examined(issues, has_truth=has_lane if known else None)


def _phantoms(record: Mapping[str, Any], lanes: Sequence[np.ndarray], place: str) -> Iterator[Issue]:
    rows = record.get("gt_x")
    empty = [number for number, lane in enumerate(lanes, 1) if not len(lane)]
    if rows is not None:
        empty = [number for number, row in enumerate(np.asarray(rows), 1) if (np.asarray(row) < 0).all()]
    for number in empty:
        advice = "remove them: metrics count each as a missed lane"
        yield Issue(
            "lanes without a point",
            f"{place}, lane {number}",
            f"{MISSING} in all rows" if rows is not None else "no point",
            advice,
        )


def _of_lane(lane: np.ndarray, size: tuple[int, int] | None, place: str) -> Iterator[Issue]:
    if len(lane) == 1:
        yield Issue("lanes of one point", place, f"{lane[0].tolist()}", "remove them, or add points", is_note=True)
    steps = np.diff(lane[:, 1])
    if (steps > 0).any() and (steps < 0).any():
        yield Issue(
            "lanes that go up and down",
            place,
            f"y {lane[:, 1].min():g} to {lane[:, 1].max():g}",
            "sort the points by y",
        )
    if size is None or not len(lane):
        return
    width, height = size
    x, y = lane[:, 0], lane[:, 1]
    is_far = (y < -1) | (y > height) | (x < -_FAR * width) | (x > (1 + _FAR) * width)
    is_inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    if is_far.any() or not is_inside.any():
        found = f"{is_far.sum() if is_far.any() else len(lane)} of {len(lane)} points, image {width}x{height}"
        yield Issue("lanes outside the image", place, found, "check the size of the image, and x and y")


def _crossings(lanes: Sequence[np.ndarray], place: str) -> Iterator[Issue]:
    for (first, one), (second, other) in combinations(enumerate(lanes, 1), 2):
        top, bottom = max(one[:, 1].min(), other[:, 1].min()), min(one[:, 1].max(), other[:, 1].max())
        if top >= bottom:
            continue
        rows = np.linspace(top, bottom, _ROWS)
        a, b = (np.array(x_at_rows(lane, rows.tolist())) for lane in (one, other))
        gap = (a - b)[(a >= 0) & (b >= 0)]
        if len(gap) and gap.min() < -_SLACK and gap.max() > _SLACK:
            found = f"lanes {first} and {second}"
            yield Issue("lanes that cross", place, found, "check which points belong to which lane")
        elif len(gap) > 1 and np.abs(gap).max() == 0:
            yield Issue("duplicated lanes", place, f"lanes {first} and {second}", "remove the copies")


def _of_mask(record: Mapping[str, Any], size: tuple[int, int] | None) -> Iterator[Issue]:
    path = record["gt_path"]
    try:
        mask = read_ids(path)
        if size is not None:
            require_size(mask.shape, size[::-1], path, what="a mask", like=record["img_path"], advice="make it again")
    except DataError as error:
        yield issue_of(error, "masks that cannot be used")
        return
    exist = np.asarray(record.get("gt_exist", ()))
    if not len(exist):
        return
    if mask.max(initial=0) > len(exist):
        found = f"{mask.max()}, lanes are 1 to {len(exist)}"
        yield Issue("masks with values beyond the lanes", f"{path}", found, "write the number of the lane")
    seen = np.isin(np.arange(1, len(exist) + 1), np.unique(mask))
    if (seen != (exist > 0)).any():
        listed, drawn = ((np.flatnonzero(each > 0) + 1).tolist() for each in (exist, seen))
        found = f"lanes of the list {listed}, of the mask {drawn}"
        yield Issue("lists that differ from their mask", f"{path}", found, "correct the list or the mask", is_note=True)
