"""Means that do not depend on the order of their values, to the last bit."""

from __future__ import annotations

from collections.abc import Iterable
from math import fsum


def exact_mean(values: Iterable[float]) -> float:
    """Return the mean of at least one value. The sum is exact and is rounded once.

    Floating-point sums in another order differ in their last bits: a score would depend on the names of the images.

    Example:
        >>> exact_mean([0.1] * 10), sum([0.1] * 10) / 10
        (0.1, 0.09999999999999999)
    """
    listed = list(values)
    return fsum(listed) / len(listed)
