"""Find cards and read them."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from visionzoo.cards.schema import CardFields, MeasuredNumber, Metric, Result, Run, ZooFields
from visionzoo.config import config_folder, config_names
from visionzoo.config.files import released_files
from visionzoo.errors import CardError, UnknownName, nearest_name
from visionzoo.plugins import shown_in_plugin

_FENCE = "---"


@dataclass(frozen=True)
class Card:
    """A card that follows the schema.

    Attributes:
        path: its file.
        fields: the front matter.
        body: the Markdown text below it.
        text: the whole file.
    """

    path: Path
    fields: CardFields
    body: str
    text: str

    @property
    def zoo(self) -> ZooFields:
        """What the key ``visionzoo`` holds."""
        return self.fields.visionzoo

    @property
    def name(self) -> str:
        return self.zoo.name

    @property
    def task(self) -> str:
        return self.zoo.task

    @property
    def status(self) -> str:
        return self.zoo.status

    @property
    def params(self) -> int:
        """Parameters of the full model."""
        return self.zoo.compute.params

    @property
    def license(self) -> str:
        """Licence of the code, as the Hub writes it."""
        return self.fields.license

    @property
    def summary(self) -> str:
        """The heading of the text: what the model is, in one line."""
        heading = next((line for line in self.body.splitlines() if line.startswith("# ")), "")
        return heading.removeprefix("# ").strip()

    def numbers(self, origin: str) -> Iterator[tuple[Result, Metric]]:
        """The numbers of one origin, ``paper`` or ``measured``, in the card's order."""
        for result in self.fields.model_index[0].results:
            for metric in result.metrics:
                if metric.args.origin == origin:
                    yield result, metric

    def run_of(self, metric: Metric) -> Run | None:
        """The run that measured a number, or None for a number of a paper."""
        return self.zoo.runs[metric.args.run] if isinstance(metric.args, MeasuredNumber) else None


def card_folder() -> Path:
    """The folder of the cards, beside that of the configs: in the installed package, or else in the repository."""
    return config_folder().parent / "model_cards"


def card_names() -> list[str]:
    """Names of all cards, ours and those of plugins, sorted."""
    return sorted(card_files())


def card_files() -> dict[str, Path]:
    """All cards, ours and those of plugins: files by name.

    Raises:
        PluginError: a plugin cannot be found, or has a card of the same name as another package.
    """
    return released_files("model_cards", ".md", "model card")


def find_card(name: str) -> Path:
    """The file of a card.

    Raises:
        UnknownName: no card is called so.
    """
    known = card_files()
    if name not in known:
        raise UnknownName(name, kind="model card", known=known, hint=f"visionzoo list shows all {len(known)}")
    return known[name]


def read_card(name_or_path: str | Path) -> Card:
    """Read a card and check it against the schema.

    Args:
        name_or_path: a card's name, or the path of a ``.md`` file.

    Raises:
        UnknownName: no card is called so.
        CardError: the card cannot be read, or breaks the schema; the message names file and field.
    """
    given = Path(name_or_path)
    path = given if given.suffix == ".md" else find_card(str(name_or_path))
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CardError(
            path, expected="a card in UTF-8 that can be read", but=f"{error}", advice="check the path"
        ) from error
    front, body = split_front_matter(text, path)
    card = Card(path, _validated(_filled(_parsed(front, path), path.stem), path), body, text)
    _check_names(card)
    _check_runs(card)
    return card


def read_cards() -> list[Card]:
    """All cards, ours and those of plugins, in the order of their names."""
    return [read_card(name) for name in card_names()]


def own_cards() -> list[Card]:
    """The zoo's own cards, in the order of their names."""
    return [card for card in read_cards() if card.path.parent == card_folder()]


def missing_cards() -> list[str]:
    """Released configs that have no card, and cards that have no config."""
    configs, cards = set(config_names()), set(card_names())
    without_card = [f"configs/{name}.py has no card model_cards/{name}.md" for name in sorted(configs - cards)]
    without_config = [f"model_cards/{name}.md has no config configs/{name}.py" for name in sorted(cards - configs)]
    return without_card + without_config


def split_front_matter(text: str, path: Path) -> tuple[str, str]:
    """The YAML between the two ``---`` lines on top, and the Markdown below."""
    lines = text.splitlines(keepends=True)
    fences = [index for index, line in enumerate(lines) if line.rstrip() == _FENCE]
    if len(fences) < 2 or fences[0] != 0:
        raise CardError(_shown(path), expected="YAML between two lines `---` on top", found="none", advice="add it")
    return "".join(lines[1 : fences[1]]), "".join(lines[fences[1] + 1 :])


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """A safe loader that refuses a key written twice, of which YAML would keep the last without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} is written twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _parsed(front: str, path: Path) -> dict[str, Any]:
    try:
        values = yaml.load(front, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 2}" if mark else ""  # counted from 0, below the fence
        reason = getattr(error, "problem", None) or "it does not parse"
        raise CardError(f"{_shown(path)}{line}", expected="valid YAML", but=f"{reason}", advice="fix it") from error
    if not isinstance(values, dict):
        raise CardError(
            _shown(path), expected="a mapping as front matter", found=f"{type(values).__name__}", advice="fix it"
        )
    return values


def _filled(values: dict[str, Any], stem: str) -> dict[str, Any]:
    """The front matter with the fields that follow from the name of the file."""
    zoo = values.get("visionzoo")
    if not isinstance(zoo, dict):
        return values
    return {**values, "visionzoo": {"name": stem, "config": f"configs/{stem}.py", **zoo}}


def _validated(values: dict[str, Any], path: Path) -> CardFields:
    try:
        return CardFields.model_validate(values)
    except ValidationError as error:
        problems = [_sentence(problem) for problem in error.errors()]
    if len(problems) == 1:
        raise CardError(f"{_shown(path)}: {problems[0]}")
    raise CardError(
        _shown(path),
        expected="a card of schema 1",
        found=f"{len(problems)} problems",
        advice="fix them",
        problems=problems,
    )


def _sentence(problem: Any) -> str:
    """One of pydantic's problems as ``field: expected, found, what to do``."""
    kind, where = problem["type"], _field_path(problem["loc"])
    if kind == "extra_forbidden":
        return f"{where}: no such field; {_advice(problem['loc'])}"
    if kind == "missing":
        return f"{where}: expected this field, found none; add it"
    if kind == "value_error":
        return f"{where}: {problem['ctx']['error']}; add it"
    expected = problem["msg"].removeprefix("Input should ").replace("'", "`")
    return f"{where}: the value should {expected}, found {problem['input']!r:.80}; fix it"


def _field_path(location: tuple[int | str, ...]) -> str:
    """``visionzoo.checks.0.seed``; the name that chose one of several kinds is no part of the file and left out."""
    chosen = {"build", "forward", "metric", "eval", "learn", "full", "paper", "measured"}
    parts = [
        str(part)
        for index, part in enumerate(location)
        if not (part in chosen and index and (location[index - 1] == "args" or isinstance(location[index - 1], int)))
    ]
    return ".".join(parts)


def _advice(location: tuple[int | str, ...]) -> str:
    if "measured" in location and location[-1] in Run.model_fields:
        return "write it once in visionzoo.runs, and refer to it with `run: ID`"
    nearest = nearest_name(str(location[-1]), _known_fields(CardFields))
    return f"did you mean {nearest}?" if nearest else "remove it"


def _known_fields(model: type[BaseModel]) -> set[str]:
    """Names of every field that a card may have, at any depth."""
    names: set[str] = set()
    for definition in [schema := model.model_json_schema(by_alias=True), *schema["$defs"].values()]:
        names |= set(definition.get("properties", {}))
    return names


def _check_names(card: Card) -> None:
    """What the card repeats for the Hub equals what it follows from: the file's name, the licence, the kind of task."""
    stem, fields = card.path.stem, card.fields
    _check_equal(card, "visionzoo.name", card.name, stem, "the file's name")
    _check_equal(card, "visionzoo.config", card.zoo.config, f"configs/{stem}.py", "the file's name")
    _check_equal(card, "model-index.0.name", fields.model_index[0].name, stem, "the file's name")
    if fields.license != "other":  # the Hub's word for a licence that it has no identifier for
        _check_equal(card, "license", fields.license, card.zoo.licenses.code.lower(), "visionzoo.licenses.code")
    for index, result in enumerate(fields.model_index[0].results):
        field = f"model-index.0.results.{index}.task.type"
        _check_equal(card, field, result.task.type, fields.pipeline_tag, "pipeline_tag")


def _check_equal(card: Card, field: str, found: str, expected: str, source: str) -> None:
    if found != expected:
        raise CardError(
            f"{_shown(card.path)}: {field}",
            expected=f"{expected!r} after {source}",
            found=f"{found!r}",
            advice="fix it",
        )


def _check_runs(card: Card) -> None:
    """Every measured number refers to a run of the card, and every run has a number."""
    runs, where = card.zoo.runs, _shown(card.path)
    used = dict(_run_fields(card))
    for field, run in used.items():
        if run not in runs:
            nearest = nearest_name(run, runs)
            advice = f"did you mean {nearest!r}?" if nearest else "add it there"
            raise CardError(
                f"{where}: {field}", expected="an id of visionzoo.runs", found=f"{run!r}", advice=f"{advice}"
            )
    for run in runs:
        if run not in used.values():
            raise CardError(
                f"{where}: visionzoo.runs.{run}",
                expected=f"a measured number with `run: {run}`",
                found="none",
                advice="refer to it or remove it",
            )


def _run_fields(card: Card) -> Iterator[tuple[str, str]]:
    """Path and value of every ``run`` that a number names."""
    for index, result in enumerate(card.fields.model_index[0].results):
        for place, metric in enumerate(result.metrics):
            if isinstance(metric.args, MeasuredNumber):
                yield f"model-index.0.results.{index}.metrics.{place}.args.run", metric.args.run


def _shown(path: Path) -> str:
    """Path of a card in messages: ``model_cards/x.md``, or ``toy_zoo/model_cards/x.md`` for a card of a plugin."""
    folder = card_folder()
    if path.parent.resolve() == folder.resolve():
        return f"{folder.name}/{path.name}"
    return shown_in_plugin(path.resolve()) or path.as_posix()
