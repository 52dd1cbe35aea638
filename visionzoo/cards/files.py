"""Find, read and validate model cards."""

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
        path: the file.
        fields: the front matter.
        body: the Markdown text below the front matter.
        text: the whole file.
    """

    path: Path
    fields: CardFields
    body: str
    text: str

    @property
    def zoo(self) -> ZooFields:
        """Fields under the key ``visionzoo``."""
        return self.fields.visionzoo

    @property
    def name(self) -> str:
        """Name of the model and of its config."""
        return self.zoo.name

    @property
    def task(self) -> str:
        """Task of the model, ``detection``."""
        return self.zoo.task

    @property
    def status(self) -> str:
        """Status of the model, a key of :data:`visionzoo.cards.schema.STATUS`."""
        return self.zoo.status

    @property
    def params(self) -> int:
        """Number of parameters of the full model."""
        return self.zoo.compute.params

    @property
    def license(self) -> str:
        """Licence of the code, in the spelling of the Hugging Face Hub."""
        return self.fields.license

    @property
    def summary(self) -> str:
        """The heading of the text, which describes the model in one line."""
        heading = next((line for line in self.body.splitlines() if line.startswith("# ")), "")
        return heading.removeprefix("# ").strip()

    def numbers(self, origin: str) -> Iterator[tuple[Result, Metric]]:
        """Yield the numbers of one origin, ``paper`` or ``measured``, in the order of the card."""
        for result in self.fields.model_index[0].results:
            for metric in result.metrics:
                if metric.args.origin == origin:
                    yield result, metric

    def run_of(self, metric: Metric) -> Run | None:
        """Return the run that measured a number, or None for a number of a paper."""
        return self.zoo.runs[metric.args.run] if isinstance(metric.args, MeasuredNumber) else None


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


def read_card(name_or_path: str | Path) -> Card:
    """Read a card and check it against the schema.

    Args:
        name_or_path: the name of a card, or the path of a ``.md`` file.

    Raises:
        UnknownName: no card has this name.
        CardError: the card cannot be read, or violates the schema. The message names file and field.

    Example:
        >>> card = read_card("rcnet_retinanet")
        >>> card.task, card.status
        ('detection', 'parity')
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
    """Return all cards, those of the zoo and of plugins, sorted by name."""
    return [read_card(name) for name in card_names()]


def own_cards() -> list[Card]:
    """Return the cards of the zoo without those of plugins, sorted by name."""
    return [card for card in read_cards() if card.path.parent == card_folder()]


def missing_cards() -> list[str]:
    """Return one line for each released config without a card and for each card without a config."""
    configs, cards = set(config_names()), set(card_names())
    without_card = [f"configs/{name}.py has no card model_cards/{name}.md" for name in sorted(configs - cards)]
    without_config = [f"model_cards/{name}.md has no config configs/{name}.py" for name in sorted(cards - configs)]
    return without_card + without_config


def split_front_matter(text: str, path: Path) -> tuple[str, str]:
    """Split a card into the YAML between the first two ``---`` lines and the Markdown below them.

    Example:
        >>> split_front_matter("---\\nlicense: mit\\n---\\n# Title\\n", Path("card.md"))
        ('license: mit\\n', '# Title\\n')
    """
    lines = text.splitlines(keepends=True)
    fences = [index for index, line in enumerate(lines) if line.rstrip() == _FENCE]
    if len(fences) < 2 or fences[0] != 0:
        raise CardError(_shown(path), expected="YAML between two lines `---` on top", found="none", advice="add it")
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
    """Return the front matter with the fields that follow from the name of the file."""
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
    """Return a problem of pydantic as ``field: expected ..., found ...; advice``."""
    kind, where = problem["type"], _field_path(problem["loc"])
    if kind == "extra_forbidden":
        return f"{where}: no such field; {_advice(problem['loc'])}"
    if kind == "missing":
        return f"{where}: expected this field, found none; add it"
    if kind == "value_error":
        said = str(problem["ctx"]["error"])
        return f"{where}: {said}; {'add it' if said.endswith('found none') else 'fix it'}"
    expected = problem["msg"].removeprefix("Input should ").replace("'", "`")
    return f"{where}: the value should {expected}, found {problem['input']!r:.80}; fix it"


def _field_path(location: tuple[int | str, ...]) -> str:
    """Return the path of a field, ``visionzoo.checks.0.seed``, without pydantic's name for the kind of a union."""
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
    """Return the names of all fields of a card, at any depth."""
    names: set[str] = set()
    for definition in [schema := model.model_json_schema(by_alias=True), *schema["$defs"].values()]:
        names |= set(definition.get("properties", {}))
    return names


def _check_names(card: Card) -> None:
    """Check fields that repeat the name of the file, the licence and the kind of task for the Hub."""
    stem, fields = card.path.stem, card.fields
    _check_equal(card, "visionzoo.name", card.name, stem, "the file's name")
    _check_equal(card, "visionzoo.config", card.zoo.config, f"configs/{stem}.py", "the file's name")
    _check_equal(card, "model-index.0.name", fields.model_index[0].name, stem, "the file's name")
    if fields.license != "other":  # the Hub's identifier for a licence that it does not list
        _check_equal(card, "license", fields.license, card.zoo.licenses.code.lower(), "visionzoo.licenses.code")
    for index, result in enumerate(fields.model_index[0].results):
        field = f"model-index.0.results.{index}.task.type"
        _check_equal(card, field, result.task.type, fields.pipeline_tag, "pipeline_tag")


def _check_equal(card: Card, field: str, found: str, expected: str, source: str) -> None:
    if found != expected:
        raise CardError(
            f"{_shown(card.path)}: {field}",
            expected=f"{expected!r} as in {source}",
            found=f"{found!r}",
            advice="fix it",
        )


def _check_runs(card: Card) -> None:
    """Check that every measured number refers to a run of the card, and that every run has a number."""
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
    """Yield path and value of the ``run`` of every measured number."""
    for index, result in enumerate(card.fields.model_index[0].results):
        for place, metric in enumerate(result.metrics):
            if isinstance(metric.args, MeasuredNumber):
                yield f"model-index.0.results.{index}.metrics.{place}.args.run", metric.args.run


def _shown(path: Path) -> str:
    """Return the path of a card as messages print it: ``model_cards/x.md``, or ``toy_zoo/model_cards/x.md``."""
    folder = card_folder()
    if path.parent.resolve() == folder.resolve():
        return f"{folder.name}/{path.name}"
    return shown_in_plugin(path.resolve()) or path.as_posix()
