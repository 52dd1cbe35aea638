"""Equality of numbers up to the order of summation."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from visionzoo.structures.detections import Detections

EPS = torch.finfo(torch.float32).eps
LAST_BITS = 16 * EPS  # for scores in [0, 1]: the error of a few hundred additions, eps * sqrt(n)


def rounding(values: Tensor, additions: int) -> float:
    """Return the largest difference that rounding can cause between two orders of the same float32 sums.

    Rounding errors of a sum behave like a random walk: after n additions the error is about ``eps * sqrt(n)`` of the
    largest intermediate value. The largest output approximates that value.
    """
    return EPS * additions**0.5 * float(values.abs().max())


def assert_close_up_to_rounding(values: Tensor, expected: Tensor, additions: int) -> None:
    """Compare outputs; ``additions`` is the number of terms summed for one output, over all layers or steps."""
    torch.testing.assert_close(values, expected, rtol=0, atol=rounding(expected, additions))


def assert_same_objects(first: Detections, second: Detections, atol: float = 1e-4) -> None:
    """Compare boxes, labels and scores as sets, within ``atol`` (pixels, probability).

    Boxes may swap places. A model keeps a fixed number of boxes, so at the lowest score one box may replace another,
    but only if their scores differ by no more than rounding.
    """
    assert len(first) == len(second)
    left = list(range(len(second)))
    unmatched = []
    for index in range(len(first)):
        match = next((other for other in left if _same(first, index, second, other, atol)), None)
        if match is None:
            unmatched.append(first.scores[index])
        else:
            left.remove(match)
    if unmatched:
        lowest = min(first.scores.min(), second.scores.min())
        assert np.max([*unmatched, *second.scores[left]]) <= lowest + LAST_BITS


def _same(first: Detections, index: int, second: Detections, other: int, atol: float) -> bool:
    return bool(
        first.labels[index] == second.labels[other]
        and abs(first.scores[index] - second.scores[other]) <= atol
        and np.abs(first.boxes[index] - second.boxes[other]).max() <= atol
    )
