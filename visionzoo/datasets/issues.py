"""Issues of a data set: what ``visionzoo check-data`` states about one record, and checks that several tasks share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from visionzoo.errors import ZooError

_LEAST_SIDE = 1.0  # pixels; the loaders leave narrower boxes out
_FRACTION = 1.5  # largest coordinate of a box that looks like fractions of the image
_NEAR = 0.05  # part of the side within which a point outside may be a person at the border
_TOLERANCE = 1.0  # pixels that a coordinate may be outside, because some tools count from 1


@dataclass(frozen=True)
class Issue:
    """One fact about one place of a data set.

    Attributes:
        kind: plural noun, such as ``boxes outside the image``. Issues are counted by kind.
        place: file, id or line.
        found: the actual value.
        advice: what to do.
        is_note: True for a fact that need not be an error.
    """

    kind: str
    place: str
    found: str = ""
    advice: str = "correct the file"
    is_note: bool = False


@dataclass
class Examined:
    """What a task states about one record of a data set.

    Attributes:
        issues: the issues of the record.
        labels: class index of each object.
        boxes: (N, 4) float, xyxy in pixels of the original image.
        has_truth: False for a record without any object, which is counted; None if the record has no ground truth.
    """

    issues: list[Issue] = field(default_factory=list)
    labels: Sequence[int] = ()
    boxes: np.ndarray | None = None
    has_truth: bool | None = True


def issue_of(error: ZooError, kind: str, place: str = "") -> Issue:
    """Return an error of a reader as an issue with the reader's words.

    Example:
        >>> from visionzoo.errors import DataError
        >>> issue_of(DataError("a.png", expected="255", found="1", advice="scale it"), "wrong masks").found
        'expected 255, found 1'
    """
    if error.expected is None:
        return Issue(kind, place or f"{error.where}", f"{error}".partition("\n")[0])
    found = f"found {error.found}" if error.found is not None else f"but {error.but}"
    where = f"{error.where}" if not place or place in f"{error.where}" else f"{place}, {error.where}"
    return Issue(kind, where, f"expected {error.expected}, {found}", error.advice or "correct the file")


def label_issues(labels: Sequence[Any], classes: int | None, place: str) -> Iterator[Issue]:
    """Yield the labels that are not a class index.

    Example:
        >>> [issue.found for issue in label_issues([0, 3], 2, "a.png")]
        ['label 3 of 2 classes']
    """
    for label in labels:
        if classes and not 0 <= int(label) < classes:
            yield Issue("labels out of range", place, f"label {label} of {classes} classes", "number classes from 0")


def box_issues(
    boxes: np.ndarray, labels: Sequence[int], size: Sequence[int] | None, places: Sequence[str]
) -> Iterator[Issue]:
    """Yield what is wrong with the boxes of an image.

    Args:
        boxes: (N, 4), xyxy in pixels.
        labels: class index of each box.
        size: (width, height) of the image; None if it is not known.
        places: place of each box.

    Example:
        >>> boxes = np.array([[5.0, 5, 2, 9], [0, 0, 20, 9], [0, 0, 0.5, 0.25]])
        >>> [issue.kind for issue in box_issues(boxes, [0, 0, 0], (10, 10), "abc")]
        ['turned boxes', 'boxes partly outside the image', 'boxes that look like fractions of the image']
    """
    for box, place in zip(boxes.astype(float), places, strict=True):
        yield from _of_box(box, size, place)
    keys = [(int(label), *np.round(box, 2).tolist()) for label, box in zip(labels, boxes, strict=True)]
    times = Counter(keys)
    seen: set[tuple] = set()
    for key, place in zip(keys, places, strict=True):
        if times[key] > 1 and key in seen:
            yield Issue("duplicated boxes", place, f"{_text(key[1:])} of the same class again", "remove the copies")
        seen.add(key)


def _of_box(box: np.ndarray, size: Sequence[int] | None, place: str) -> Iterator[Issue]:
    x1, y1, x2, y2 = box.tolist()
    text = _text(box.tolist())
    if not np.isfinite(box).all():
        yield Issue("boxes that are not finite", place, text)
    elif x2 < x1 or y2 < y1:
        yield Issue("turned boxes", place, f"{text}: x2 < x1 or y2 < y1", "exchange the corners")
    elif x2 == x1 or y2 == y1:
        yield Issue("empty boxes", place, text, "remove them, or draw them again")
    elif _is_fraction(box):
        advice = "multiply by width and height; boxes are in pixels"
        yield Issue("boxes that look like fractions of the image", place, text, advice)
    elif min(x2 - x1, y2 - y1) < _LEAST_SIDE:
        yield Issue("boxes narrower than a pixel", place, text, "remove them; loaders leave them out")
    elif size is not None:
        yield from _of_place(box, size, place)


def _is_fraction(box: np.ndarray) -> bool:
    """Return True for a box that is inside or near the unit square, with a coordinate that is not a whole number."""
    is_small = bool((np.abs(box) <= _FRACTION).all()) and (box[2:] - box[:2]).max() <= 1
    return is_small and bool((box % 1).any())


def _of_place(box: np.ndarray, size: Sequence[int], place: str) -> Iterator[Issue]:
    x1, y1, x2, y2 = box.tolist()
    width, height = size
    found = f"{_text(box.tolist())} in an image of {width}x{height}"
    if x1 >= width or y1 >= height or x2 <= 0 or y2 <= 0:
        yield Issue("boxes outside the image", place, found, "check the size of the image, and x and y")
    elif min(x1, y1) < -_TOLERANCE or x2 > width + _TOLERANCE or y2 > height + _TOLERANCE:
        yield Issue("boxes partly outside the image", place, found, "cut them at the border")


def _text(values: Sequence[float]) -> str:
    return f"[{', '.join(f'{value:g}' for value in values)}]"


def point_issues(points: np.ndarray, size: Sequence[int] | None, place: str) -> Iterator[Issue]:
    """Yield what is wrong with the points of an image, (N, 2) of x and y.

    Example:
        >>> points = np.array([[3.0, 4], [3, 4], [30, 4]])
        >>> [(issue.kind, issue.found) for issue in point_issues(points, (20, 10), "a.png")]
        [('points outside the image', '1 of 3 points in an image of 20x10, such as (30, 4)'), \
('duplicated points', '1 of 3 points')]
    """
    if not len(points):
        return
    count = f"of {len(points)} points"
    if points.min() >= 0 and points.max() <= 1 and (points % 1).any():
        advice = "multiply by width and height; points are in pixels"
        yield Issue("points that look like fractions of the image", place, f"all {len(points)} are in [0, 1]", advice)
    elif size is not None:
        sides = np.array(size, float)
        beyond = np.maximum(-points, points - sides)
        for is_note, is_outside in ((False, beyond > _NEAR * sides), (True, beyond > _TOLERANCE)):
            outside = points[is_outside.any(axis=1)]
            if len(outside):
                x, y = outside[0].tolist()
                found = f"{len(outside)} {count} in an image of {size[0]}x{size[1]}, such as ({x:g}, {y:g})"
                kind = "points near the border, outside the image" if is_note else "points outside the image"
                yield Issue(kind, place, found, "check x and y, and the size of the image", is_note)
                break
    copies = len(points) - len(np.unique(points, axis=0))
    if copies:
        yield Issue("duplicated points", place, f"{copies} {count}", "remove the copies")
