"""Strict numbers from text and JSON: Python's ``float`` also reads ``nan``, ``1_0`` and digits of other scripts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from visionzoo.datasets.findings import Findings

_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_LETTERS = re.compile(r"[0-9.eE+-]*")


def decimal(text: str) -> float | None:
    """Return a number in decimal notation, or None for other text, NaN, and numbers too large for a float.

    Example:
        >>> decimal(" 12.50 "), decimal("1_2"), decimal("NaN"), decimal("1e999")
        (12.5, None, None, None)
    """
    text = text.strip()
    value = float(text) if len(text) < 400 and _DECIMAL.fullmatch(text) else float("inf")
    return value if abs(value) != float("inf") else None


def plain_numbers(words: Sequence[str]) -> list[float] | None:
    """Return the numbers that words state, or None if a word is not a number.

    Example:
        >>> plain_numbers(["3", "-4.5e1"]), plain_numbers(["3", "nan"]), plain_numbers(["3", "1_0"])
        ([3.0, -45.0], None, None)
    """
    if not _LETTERS.fullmatch("".join(words)):
        return None
    try:
        return [float(word) for word in words]
    except ValueError:
        return None


def json_number(value: Any, findings: Findings) -> float | None:
    """Return the number of a JSON value, or None. A number as text is read with a note.

    Example:
        >>> findings = Findings("a.json", expected="points")
        >>> json_number(3, findings), json_number("3", findings), json_number(True, findings)
        (3.0, 3.0, None)
    """
    if type(value) in (int, float):
        return _as_float(value)
    number = decimal(value) if isinstance(value, str) else None
    if number is not None:
        findings.note("numbers as text, read as numbers")
    return number


def _as_float(value: float) -> float | None:
    try:
        return float(value)
    except OverflowError:  # a whole number of more than 308 digits
        return None
