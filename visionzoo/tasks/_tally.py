"""Numbers of the results of a run, which its last lines state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

LISTED = 10  # classes that the summary of a run names


@dataclass(frozen=True)
class Tally:
    """Numbers of one or several results.

    Attributes:
        sums: numbers that are added, by name.
        best: the highest value, such as a score; None without values.
        classes: number of results of each class, by its name; empty without classes or without their names.

    Example:
        >>> Tally({"found": 2}, 0.5) + Tally({"found": 1, "having": 1}) + Tally(best=0.25, classes={"cat": 1})
        Tally(sums={'found': 3, 'having': 1}, best=0.5, classes={'cat': 1})
    """

    sums: Mapping[str, float] = field(default_factory=dict)
    best: float | None = None
    classes: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: Tally) -> Tally:
        best = max((each.best for each in (self, other) if each.best is not None), default=None)
        return Tally(_added(self.sums, other.sums), best, _added(self.classes, other.classes))

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as plain JSON values."""
        return {"sums": dict(self.sums), "best": self.best, "classes": dict(self.classes)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the tally of :meth:`to_json`; an empty one without values."""
        return cls(values.get("sums", {}), values.get("best"), values.get("classes", {}))


def _added(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    return {**first, **{name: first.get(name, 0) + value for name, value in second.items()}}


def most_frequent(classes: Mapping[str, float]) -> list[tuple[str, float]]:
    """Return the classes with their numbers, the most frequent one first; equal numbers are sorted by name.

    Example:
        >>> most_frequent({"cat": 1, "dog": 5, "ape": 1})
        [('dog', 5), ('ape', 1), ('cat', 1)]
    """
    return sorted(classes.items(), key=lambda item: (-item[1], item[0]))


def found_text(counted: tuple[str, str], tally: Tally, inputs: str, threshold: str) -> str:
    """Return the sentence about the number of results.

    Args:
        counted: the word for one result and for several.
        tally: sums ``found``, the number of results, and ``having``, the number of inputs with a result; ``best`` is
            the best score before the threshold, None if the model returns no result. With ``classes``, the sentence
            has the numbers of the ten most frequent ones, and the sum of the others.
        inputs: number and name of the inputs, ``12 images``.
        threshold: the threshold as text.

    Example:
        >>> found_text(("box", "boxes"), Tally({"found": 0}, 0.214), "12 images", "0.3")
        'no box above 0.3 in 12 of 12 images; the best score is 0.214'
        >>> found_text(("box", "boxes"), Tally({"found": 7, "having": 3}, 0.9), "12 images", "0.3")
        '7 boxes in 3 of 12 images'
        >>> tally = Tally({"found": 16, "having": 4}, 0.9, {"WBC": 3, "RBC": 12, "Platelets": 1})
        >>> found_text(("box", "boxes"), tally, "4 images", "0.3")
        '12 RBC, 3 WBC, 1 Platelets in 4 images'
    """
    one, several = counted
    found, having = tally.sums.get("found", 0), tally.sums.get("having", 0)
    if found and tally.classes:
        in_all = having > 1 and inputs.startswith(f"{having} ")
        where = inputs if in_all else f"{having} of {inputs}"
        return f"{_class_text(tally.classes)} in {where}"
    if found:
        return f"{found} {one if found == 1 else several} in {having} of {inputs}"
    everywhere = f"in {inputs.partition(' ')[0]} of {inputs}"
    if tally.best is None:
        return f"no {one} {everywhere}"
    return f"no {one} above {threshold} {everywhere}; the best score is {tally.best:.3g}"


def _class_text(classes: Mapping[str, int]) -> str:
    """Return the number of each class, and one number for those beyond the first ones.

    Example:
        >>> _class_text({f"c{number}": 1 for number in range(12)})[-32:]
        '1 c6, 1 c7, 2 of 2 other classes'
    """
    ordered = most_frequent(classes)
    # To name the last class is as short as to count it.
    shown = len(ordered) if len(ordered) <= LISTED + 1 else LISTED
    texts = [f"{number} {name}" for name, number in ordered[:shown]]
    rest = [number for _, number in ordered[shown:]]
    return ", ".join([*texts, *([f"{sum(rest)} of {len(rest)} other classes"] if rest else [])])
