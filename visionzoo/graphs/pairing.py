"""Pairs of boxes from two runs of one model, for a comparison: rounding changes their order and few of the boxes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Arrays = dict[str, np.ndarray]

NEAR = 1e-5  # scores in 32-bit floats that differ less may change places
_CLOSE, _CLOSE_SCORE = 1.0, 1e-3  # largest differences of pixels and scores between a result and its partner
_LEAST_PAIRED = 0.8  # of the results of an image; below, every result is compared


@dataclass(frozen=True)
class Found:
    """Results of one image: boxes (n, 4) xyxy, scores (n,) and labels (n,), best first.

    Attributes:
        lowest: score of the last place if all places are taken, else 0.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    lowest: float


def paired_boxes(expected: Arrays, found: Arrays, near: float = NEAR, *, overlap: float) -> tuple[Arrays, Arrays]:
    """Put the results of two runs in one order.

    Each result is paired with the nearest one of its label. A result of either run without a close one is left out for
    one of two reasons; close are a pixel and a score of 0.001, or ``near`` of the largest coordinate and of 1 if that
    is more:

    * its score is that of the last place up to ``near``, so a result of nearly the same score may have taken it;
    * the other run has a box of its label that overlaps it by more than ``overlap - near`` and whose score is as high
      up to ``near``, so rounding decided which of them suppresses the other.

    If more than a fifth of the results of an image have no close one, none is left out.

    Args:
        expected, found: ``boxes`` (B, N, 4), ``scores`` (B, N) and ``labels`` (B, N), -1 for no result; and others,
            (B, N, ...).
        near: precision of scores and overlaps.
        overlap: IoU above which the model suppresses boxes.

    Returns:
        Both with flat axes: ``boxes`` (n, 4), ``scores`` (n,), and ``labels`` (B,), the number of results. A result
        whose label the other run does not have is infinitely far from it.

    Example:
        >>> boxes = np.array([[[0.0, 0, 1, 1], [5, 5, 6, 6]]])
        >>> a = {"boxes": boxes, "scores": np.array([[0.5, 0.5]]), "labels": np.array([[0, 0]])}
        >>> b = {**a, "boxes": boxes[:, ::-1]}
        >>> x, y = paired_boxes(a, b, overlap=0.5)
        >>> bool((x["boxes"] == y["boxes"]).all())
        True
    """
    pairs: list[tuple[int, int, int]] = []
    for image in range(len(expected["labels"])):
        one, other = (_of_image(each, image) for each in (expected, found))
        pairs += [(image, row, partner) for row, partner, _ in _partners(one, other, near, overlap)]
        pairs += [(image, row, new) for new, row, is_close in _partners(other, one, near, overlap) if not is_close]
    images, rows, others = np.array(pairs, int).reshape(-1, 3).T
    names = [name for name in expected if name != "labels"]
    first = {name: np.where(_as(rows < 0, expected[name]), 0.0, expected[name][images, rows]) for name in names}
    is_alone = (rows < 0) | (others < 0)
    second = {name: np.where(_as(is_alone, found[name]), np.inf, found[name][images, others]) for name in names}
    counts = [(each["labels"] >= 0).sum(1) for each in (expected, found)]
    return {**first, "labels": counts[0]}, {**second, "labels": counts[1]}


def _of_image(outputs: Arrays, image: int) -> Found:
    is_result = outputs["labels"][image] >= 0
    boxes, scores, labels = (outputs[name][image][is_result] for name in ("boxes", "scores", "labels"))
    return Found(boxes, scores, labels, float(scores[-1]) if is_result.all() and len(scores) else 0.0)


def _partners(one: Found, other: Found, near: float, overlap: float) -> list[tuple[int, int, bool]]:
    """Return the results of ``one`` that are compared: row, nearest row of ``other`` or -1, and True if it is close."""
    found = [_nearest(one, other, row, near) for row in range(len(one.labels))]
    are_excused = sum(is_close for _, is_close in found) >= _LEAST_PAIRED * len(found)
    return [
        (row, partner, is_close)
        for row, (partner, is_close) in enumerate(found)
        if is_close or not are_excused or not _has_reason(one, other, row, near, overlap)
    ]


def _nearest(one: Found, other: Found, row: int, near: float) -> tuple[int, bool]:
    """Return the nearest result of the same label, -1 for none, and True if it is close."""
    same = np.flatnonzero(other.labels == one.labels[row])
    if not len(same):
        return -1, False
    pixels = max(_CLOSE, near * float(np.abs(one.boxes).max()))
    gaps = np.abs(other.boxes[same] - one.boxes[row]).max(-1) / pixels
    gaps = np.maximum(gaps, np.abs(other.scores[same] - one.scores[row]) / max(_CLOSE_SCORE, near))
    return int(same[gaps.argmin()]), bool(gaps.min() <= 1)


def _has_reason(one: Found, other: Found, row: int, near: float, overlap: float) -> bool:
    score, box = one.scores[row], one.boxes[row]
    if score <= max(one.lowest, other.lowest) + near:
        return True
    rivals = (other.labels == one.labels[row]) & (other.scores >= score - near)
    return bool((_overlaps(box, other.boxes[rivals]) > overlap - near).any())


def _overlaps(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the IoU of a box (4,) with others (n, 4)."""
    shared = (np.minimum(others[:, 2:], box[2:]) - np.maximum(others[:, :2], box[:2])).clip(0).prod(1)
    areas = (others[:, 2:] - others[:, :2]).prod(1) + (box[2:] - box[:2]).prod()
    return shared / np.maximum(areas - shared, 1e-9)


def _as(flags: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return flags (n,) with one axis for each axis of the values of one result; ``values`` is (B, N, ...)."""
    return flags.reshape(-1, *(1,) * (values.ndim - 2))
