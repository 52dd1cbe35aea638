"""What a list of inputs states about each result, to sort and to filter the inputs by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_DECIMALS = 6


@dataclass(frozen=True)
class Overview:
    """Numbers and classes of one result.

    Attributes:
        numbers: by name, such as ``score``; the most important one first. A number that a result lacks is left out.
        classes: by class name, the number of results of the class, and their best score; None without scores.
        text: a sentence about the result; empty for none.

    Example:
        >>> Overview({"score": 0.9, "boxes": 2}, {"cat": (2, 0.9)}).to_json()
        {'numbers': {'score': 0.9, 'boxes': 2}, 'classes': {'cat': [2, 0.9]}}
    """

    numbers: Mapping[str, float] = field(default_factory=dict)
    classes: Mapping[str, tuple[int, float | None]] = field(default_factory=dict)
    text: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, without empty ones."""
        numbers = {name: _rounded(value) for name, value in self.numbers.items()}
        classes = {name: [number, _rounded(score)] for name, (number, score) in self.classes.items()}
        values = {"numbers": numbers, "classes": classes, "text": self.text}
        return {name: value for name, value in values.items() if value}


def _rounded(value: Any) -> Any:
    return round(float(value), _DECIMALS) if isinstance(value, float) else value


def classes_of(result: Any) -> dict[str, tuple[int, float | None]]:
    """Return the number of results and the best score of each class, by its name.

    Args:
        result: the result. One with ``labels``, ``scores`` and ``name_of``, see
            :class:`visionzoo.structures.detections.Detections`, has classes; others have none.
    """
    if not all(hasattr(result, name) for name in ("labels", "scores", "name_of")):
        return {}
    found: dict[str, tuple[int, float | None]] = {}
    for label, score in zip(result.labels.tolist(), result.scores.tolist(), strict=True):
        name = result.name_of(label)
        number, best = found.get(name, (0, None))
        found[name] = (number + 1, score if best is None else max(best, score))
    return found


def numbers_of_row(row: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers among the columns of a row, ``score`` first.

    Example:
        >>> numbers_of_row({"area": 0.5, "score": 0.75, "name": "cat", "left": ""})
        {'score': 0.75, 'area': 0.5}
    """
    numbers = {name: value for name, value in row.items() if isinstance(value, int | float)}
    return {name: numbers[name] for name in sorted(numbers, key=lambda name: name != "score")}
