"""Strict numbers from JSON and text: Python's ``float`` also reads ``nan``, ``1_0`` and digits of other alphabets."""

from __future__ import annotations

import re
from typing import Any

from visionzoo.datasets.findings import Findings

_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?\s*", re.ASCII)
_MOST_LETTERS = 100


def number_in(text: str) -> float | None:
    """Return the number that a text states, or None.

    Example:
        >>> number_in(" 12.5"), number_in("1e2"), number_in("nan"), number_in("1_0"), number_in("")
        (12.5, 100.0, None, None, None)
    """
    return float(text) if len(text) < _MOST_LETTERS and _NUMBER.fullmatch(text) else None


def json_number(value: Any, findings: Findings) -> float | None:
    """Return the number of a JSON value, or None. A number as text is read with a note.

    Example:
        >>> findings = Findings("a.json", expected="points")
        >>> json_number(3, findings), json_number("3", findings), json_number(True, findings)
        (3.0, 3.0, None)
    """
    if type(value) in (int, float):
        return _as_float(value)
    number = number_in(value) if isinstance(value, str) else None
    if number is not None:
        findings.note("numbers as text, read as numbers")
    return number


def _as_float(value: float) -> float | None:
    try:
        return float(value)
    except OverflowError:  # a whole number of more than 308 digits
        return None
