"""Front matter of model cards: find the file of a card, read its YAML, and report wrong fields.

Weights and cards both read it. Neither imports torch for that.
"""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from visionzoo.config.files import config_folder, released_files
from visionzoo.errors import CardError, UnknownName, nearest_name
from visionzoo.plugins import shown_in_plugin

_FENCE = "---"

Url = Annotated[str, Field(pattern=r"^https://\S+$")]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
Text = Annotated[str, Field(min_length=1)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Positive = Annotated[int, Field(gt=0)]


class Fields(BaseModel):
    """Base of all groups of fields in a card. Unknown fields are errors, and types are not converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=True)


# --- files ---


def card_folder() -> Path:
    """Return the folder of the cards, beside that of the configs: in the installed package, else in the repository."""
    return config_folder().parent / "model_cards"


def card_names() -> list[str]:
    """Return the names of all cards, sorted; those of the zoo and of plugins.

    Example:
        >>> "rcnet_retinanet" in card_names()
        True
    """
    return sorted(card_files())


def card_files() -> dict[str, Path]:
    """Return the files of all cards by name, those of the zoo and of plugins.

    Raises:
        PluginError: a plugin cannot be found, or has a card of the same name as another package.
    """
    return released_files("model_cards", ".md", "model card")


def find_card(name: str) -> Path:
    """Return the file of a card.

    Raises:
        UnknownName: no card has this name.

    Example:
        >>> find_card("rcnet_retinanet").name
        'rcnet_retinanet.md'
    """
    known = card_files()
    if name not in known:
        raise UnknownName(name, kind="model card", known=known, hint=f"visionzoo list shows all {len(known)}")
    return known[name]


def shown_card(path: Path) -> str:
    """Return the path of a card as messages print it: ``model_cards/x.md``, or ``toy_zoo/model_cards/x.md``."""
    folder = card_folder()
    if path.parent.resolve() == folder.resolve():
        return f"{folder.name}/{path.name}"
    return shown_in_plugin(path.resolve()) or path.as_posix()


# --- text ---


def card_text(path: Path) -> str:
    """Return the text of a card.

    Raises:
        CardError: the file cannot be read, or is not in UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CardError(
            path, expected="a card in UTF-8 that can be read", but=f"{error}", advice="check the path"
        ) from error


def split_front_matter(text: str, path: Path) -> tuple[str, str]:
    """Split a card into the YAML between the first two ``---`` lines and the Markdown below them.

    Raises:
        CardError: the card has no front matter.

    Example:
        >>> split_front_matter("---\\nlicense: mit\\n---\\n# Title\\n", Path("card.md"))
        ('license: mit\\n', '# Title\\n')
    """
    lines = text.splitlines(keepends=True)
    fences = [index for index, line in enumerate(lines) if line.rstrip() == _FENCE]
    if len(fences) < 2 or fences[0] != 0:
        raise CardError(shown_card(path), expected="YAML between two lines `---` on top", found="none", advice="add it")
    return "".join(lines[1 : fences[1]]), "".join(lines[fences[1] + 1 :])


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """A safe loader that rejects duplicate keys. YAML itself silently keeps the last value."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} is written twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def parsed_front_matter(front: str, path: Path) -> dict[str, Any]:
    """Return the values of a front matter by field.

    Raises:
        CardError: the text is not a mapping in YAML, or repeats a key.

    Example:
        >>> parsed_front_matter("license: mit", Path("card.md"))
        {'license': 'mit'}
    """
    try:
        values = yaml.load(front, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 2}" if mark else ""  # counted from 0, below the fence
        reason = getattr(error, "problem", None) or "it does not parse"
        raise CardError(f"{shown_card(path)}{line}", expected="valid YAML", but=reason, advice="fix it") from error
    if not isinstance(values, dict):
        raise CardError(
            shown_card(path), expected="a mapping as front matter", found=f"{type(values).__name__}", advice="fix it"
        )
    return values


# --- wrong fields ---


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
