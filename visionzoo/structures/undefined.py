"""Numbers that a metric does not define, such as the AP of large objects in a data set without them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

UNDEFINED = -1.0  # the official tools' value; no number of the zoo's metrics is negative


def defined(value: Any) -> Any:
    """Return nan for a number that is not defined, and other values unchanged.

    Example:
        >>> defined(-1.0), defined(0.5), defined(-1), defined("-1")
        (nan, 0.5, -1, '-1')
    """
    return math.nan if isinstance(value, float) and value == UNDEFINED else value


NOTHING_MEASURED = "No number is measured, because no sample has ground truth that counts, such as an object."


def are_undefined(values: Iterable[Any]) -> bool:
    """Return True if there are numbers, and none of them is defined.

    Example:
        >>> are_undefined([-1.0, float("nan")]), are_undefined([-1.0, 0.0]), are_undefined([])
        (True, False, False)
    """
    found = [defined(value) for value in values]
    return bool(found) and all(isinstance(value, float) and math.isnan(value) for value in found)
