"""Numbers of the results of a run, which its last lines state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(frozen=True)
class Tally:
    """Numbers of one or several results.

    Attributes:
        sums: numbers that are added, by name.
        best: the highest value, such as a score; None without values.

    Example:
        >>> Tally({"found": 2}, 0.5) + Tally({"found": 1, "having": 1}) + Tally(best=0.25)
        Tally(sums={'found': 3, 'having': 1}, best=0.5)
    """

    sums: Mapping[str, float] = field(default_factory=dict)
    best: float | None = None

    def __add__(self, other: Tally) -> Tally:
        sums = {**self.sums, **{name: self.sums.get(name, 0) + value for name, value in other.sums.items()}}
        return Tally(sums, max((each.best for each in (self, other) if each.best is not None), default=None))

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as plain JSON values."""
        return {"sums": dict(self.sums), "best": self.best}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the tally of :meth:`to_json`; an empty one without values."""
        return cls(values.get("sums", {}), values.get("best"))


def found_text(counted: tuple[str, str], tally: Tally, inputs: str, threshold: str) -> str:
    """Return the sentence about the number of results.

    Args:
        counted: the word for one result and for several.
        tally: sums ``found``, the number of results, and ``having``, the number of inputs with a result; ``best`` is
            the best score before the threshold, None if the model returns no result.
        inputs: number and name of the inputs, ``12 images``.
        threshold: the threshold as text.

    Example:
        >>> found_text(("box", "boxes"), Tally({"found": 0}, 0.214), "12 images", "0.3")
        'no box above 0.3 in 12 of 12 images; the best score is 0.214'
        >>> found_text(("box", "boxes"), Tally({"found": 7, "having": 3}, 0.9), "12 images", "0.3")
        '7 boxes in 3 of 12 images'
    """
    one, several = counted
    found, having = tally.sums.get("found", 0), tally.sums.get("having", 0)
    if found:
        return f"{found} {one if found == 1 else several} in {having} of {inputs}"
    everywhere = f"in {inputs.partition(' ')[0]} of {inputs}"
    if tally.best is None:
        return f"no {one} {everywhere}"
    return f"no {one} above {threshold} {everywhere}; the best score is {tally.best:.3g}"
