"""Top-k predictions, and whether they hit any label of an image.

Protocol of Richards et al. (arXiv 2307.13136): an image has one or several labels; it is correct at k if one of its
labels is among the k classes of the highest logits. Of equal logits the class with the lower index ranks first.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np

from visionzoo.errors import DataError

PADDING = -1
_ROWS = 256  # rows per step; a step of a thousand classes stays in the cache of a core


def top_k(scores: np.ndarray, k: int) -> np.ndarray:
    """Return the k best classes of each row, best first.

    A nan score ranks after every other score. Equal scores rank by index, the lower one first.

    Args:
        scores: (N, K), logits or probabilities.
        k: number of classes, from 1 to K.

    Returns:
        (N, k) int32.

    Raises:
        DataError: ``scores`` has another number of axes, or fewer than k classes.

    Example:
        >>> top_k(np.array([[0.1, 0.7, 0.2], [0.5, 0.5, 0.2]]), k=2).tolist()
        [[1, 2], [0, 1]]
    """
    scores = np.asarray(scores)
    if scores.ndim != 2 or not 1 <= k <= scores.shape[1]:
        raise DataError(
            f"top {k} classes",
            expected=f"scores of shape (images, classes) with at least {max(k, 1)} classes",
            found=f"{scores.shape}",
            advice="check the model, or use a smaller k",
        )
    floats = scores if scores.dtype.kind == "f" else scores.astype(np.float64)
    best = np.empty((len(scores), k), np.int32)
    for start in range(0, len(scores), _ROWS):
        best[start : start + _ROWS] = _top_of(floats[start : start + _ROWS].copy(), k)
    return best


def _top_of(left: np.ndarray, k: int) -> np.ndarray:
    """Take the first maximum k times. ``left`` is changed; rows with nan or -inf among the best are sorted instead."""
    rows, best = np.arange(len(left)), np.empty((len(left), k), np.int32)
    taken, is_plain = np.empty((k, len(left)), left.dtype), np.ones(len(left), bool)
    for column in range(k):
        first = left.argmax(axis=1)
        taken[column] = left[rows, first]
        is_plain &= taken[column] > -np.inf
        best[:, column] = first
        left[rows, first] = -np.inf
    for row in np.flatnonzero(~is_plain):
        for column in reversed(range(k)):
            left[row, best[row, column]] = taken[column, row]
        best[row] = np.argsort(-np.nan_to_num(left[row], nan=-np.inf, posinf=np.inf, neginf=-np.inf), kind="stable")[:k]
    return best


def padded_labels(labels: Sequence[Sequence[int]], names: Sequence[str] | None = None) -> np.ndarray:
    """Return the labels of all images as one matrix, filled with -1.

    Args:
        labels: one or several class indices >= 0 for each image.
        names: name of each image for errors; default: its number.

    Returns:
        (N, L) int32, L the largest number of labels of an image.

    Raises:
        DataError: an image has no label, or a negative one.

    Example:
        >>> padded_labels([[3], [1, 5]]).tolist()
        [[3, -1], [1, 5]]
    """
    counts = np.fromiter(map(len, labels), np.int64, len(labels))
    flat = np.fromiter(chain.from_iterable(labels), np.int32, int(counts.sum()))
    _require_labels(counts, flat, names)
    matrix = np.full((len(counts), int(counts.max(initial=1))), PADDING, np.int32)
    matrix[np.arange(matrix.shape[1]) < counts[:, None]] = flat
    return matrix


def _require_labels(counts: np.ndarray, flat: np.ndarray, names: Sequence[str] | None) -> None:
    owners = np.repeat(np.arange(len(counts)), counts)
    wrong = [*np.flatnonzero(counts == 0), *owners[flat < 0]]
    if wrong:
        row = int(wrong[0])
        raise DataError(
            f"labels of {names[row]}" if names is not None else f"labels of row {row}",
            expected="at least one class index >= 0",
            found="no label" if counts[row] == 0 else "a negative index",
            advice="leave the image out, or correct its labels",
        )


def correct_at(top: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return for each image and each k whether one of its labels is among the first k predictions.

    Args:
        top: (N, k) class indices, best first, of :func:`top_k`.
        labels: (N, L) of :func:`padded_labels`.

    Returns:
        (N, k) bool; column j is correct@(j + 1).

    Raises:
        DataError: the numbers of images differ.

    Example:
        >>> correct_at(np.array([[4, 3], [2, 0]]), np.array([[3, 7], [2, -1]])).tolist()
        [[False, True], [True, True]]
    """
    top, labels = np.asarray(top), np.asarray(labels)
    if len(top) != len(labels):
        raise DataError(
            "predictions", expected=f"{len(labels)} rows, one for each image", found=f"{len(top)}", advice="check ids"
        )
    hits = np.zeros(top.shape, bool)
    for column in range(labels.shape[1]):  # at most a few dozen labels; a cube of comparisons is three times slower
        label = labels[:, column : column + 1]
        hits |= (top == label) & (label != PADDING)
    return np.logical_or.accumulate(hits, axis=1)
