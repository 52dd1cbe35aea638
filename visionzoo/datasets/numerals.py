"""Numbers that files contain as text."""

from __future__ import annotations

import re

_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


def decimal(text: str) -> float | None:
    """Return a number in decimal notation, or None for other text, NaN, and numbers too large for a float.

    Unlike ``float``, it does not accept ``1_000`` or digits of other scripts.

    Example:
        >>> decimal(" 12.50 "), decimal("1_2"), decimal("NaN"), decimal("1e999")
        (12.5, None, None, None)
    """
    text = text.strip()
    value = float(text) if len(text) < 400 and _DECIMAL.fullmatch(text) else float("inf")
    return value if abs(value) != float("inf") else None
