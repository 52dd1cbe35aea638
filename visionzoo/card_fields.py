"""Types of the fields of model cards, and the errors about wrong fields, for cards and weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from visionzoo.errors import CardError, nearest_name
from visionzoo.front_matter import shown_card

Url = Annotated[str, Field(pattern=r"^https://\S+$")]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
Text = Annotated[str, Field(min_length=1)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Positive = Annotated[int, Field(gt=0)]


class Fields(BaseModel):
    """Base of all groups of fields in a card. Unknown fields are errors, and types are not converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=True)


def card_problem(error: ValidationError, path: Path, schema: type[BaseModel], below: str = "") -> CardError:
    """Return the error for fields that violate the schema; its message has one sentence for each.

    Args:
        error: the error of pydantic.
        path: the file of the card.
        schema: the class that states the known fields.
        below: path of the fields in the card, ``visionzoo``.
    """
    problems = [_sentence(problem, schema, below) for problem in error.errors()]
    if len(problems) == 1:
        return CardError(f"{shown_card(path)}: {problems[0]}")
    return CardError(
        shown_card(path),
        expected="a card of schema 1",
        found=f"{len(problems)} problems",
        advice="fix them",
        problems=problems,
    )


def _sentence(problem: Any, schema: type[BaseModel], below: str) -> str:
    """Return a problem of pydantic as ``field: expected ..., found ...; advice``."""
    kind, where = problem["type"], ".".join(filter(None, [below, _field_path(problem["loc"])]))
    if kind == "extra_forbidden":
        return f"{where}: no such field; {_advice(problem['loc'], schema)}"
    if kind == "missing":
        return f"{where}: expected this field, found none; add it"
    if kind == "value_error":
        said = str(problem["ctx"]["error"])
        return f"{where}: {said}; {'add it' if said.endswith('found none') else 'fix it'}"
    expected = problem["msg"].removeprefix("Input should ").replace("'", "`")
    return f"{where}: the value should {expected}, found {problem['input']!r:.80}; fix it"


def _field_path(location: tuple[int | str, ...]) -> str:
    """Return the path of a field, ``visionzoo.checks.0.seed``, without pydantic's name for the kind of a union."""
    chosen = {"build", "forward", "metric", "eval", "learn", "weights", "full", "paper", "measured"}
    parts = [
        str(part)
        for index, part in enumerate(location)
        if not (part in chosen and index and (location[index - 1] == "args" or isinstance(location[index - 1], int)))
    ]
    return ".".join(parts)


def _advice(location: tuple[int | str, ...], schema: type[BaseModel]) -> str:
    if "measured" in location and location[-1] in ("command", "date", "commit", "hardware"):
        return "write it once in visionzoo.runs, and refer to it with `run: ID`"
    nearest = nearest_name(str(location[-1]), _known_fields(schema))
    return f"did you mean {nearest}?" if nearest else "remove it"


def _known_fields(model: type[BaseModel]) -> set[str]:
    """Return the names of all fields of a card, at any depth."""
    names: set[str] = set()
    for definition in [schema := model.model_json_schema(by_alias=True), *schema["$defs"].values()]:
        names |= set(definition.get("properties", {}))
    return names
