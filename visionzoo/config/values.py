"""Check one value of a part: by its annotation, by the name of a library's argument, else by a plain annotation."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from visionzoo.allowed import Hint, hints_of, problem_of, shown
from visionzoo.config.library_ranges import library_hint
from visionzoo.config.positions import is_part, position
from visionzoo.config.ranges import range_at
from visionzoo.config.signatures import arguments_of

# Words of numeric annotations. A string is wrong if the annotation has only these words and int, float or bool is one.
_NUMERIC_WORDS = {"int", "float", "bool", "Optional", "Union", "None", "NoneType", "typing", "torch", "Tensor", "class"}

# Libraries annotate numbers loosely: an `int` may also be a float or a list of numbers.
_NUMBER = float | Sequence[float]
_PLAIN: dict[str, Hint] = {"bool": bool, "int": _NUMBER, "float": _NUMBER, "str": str}

# Positions of parts of libraries whose arguments have one meaning by name.
_NAMED = re.compile(r"(model|tta_model|.*pipeline|(val|test)_evaluator|.*dataset)\b.*")


def value_problem(path: str, value: Any, part: Callable[..., Any] | None) -> str:
    """Return the problem of a value at a dotted path, or an empty string.

    Args:
        path: dotted path of the value.
        value: the value.
        part: the class or function that takes it; None for a dict without a type.
    """
    at, key = position(path), path.rpartition(".")[2]
    if range_at(at) is not None or is_part(at):  # such values are reported by position
        return ""
    hints = hints_of(part) if part is not None else {}
    if key in hints:
        return problem_of(value, hints[key])
    by_name = library_hint(key) if _NAMED.fullmatch(at) else None
    if by_name is not None:
        return problem_of(value, by_name)
    return _problem_of_text(value, arguments_of(part).annotation(key), part) if part is not None else ""


def _problem_of_text(value: Any, annotation: str, part: Callable[..., Any]) -> str:
    """Return the problem of a value for the annotation of a library, which is only text."""
    plain = _PLAIN.get(re.sub(r"^(typing\.)?Optional\[(.*)\]$|\s*\|\s*None$", r"\2", annotation))
    if plain is not None:
        return problem_of(value, plain | None)
    words = set(re.findall(r"\w+", annotation))
    if isinstance(value, (str, dict)) and words & {"int", "float", "bool"} and words <= _NUMERIC_WORDS:
        name = getattr(part, "__name__", "the part")
        found = f"the string {value!r}" if isinstance(value, str) else shown(value)
        return f"{name} takes {annotation}, found {found}"
    return ""
