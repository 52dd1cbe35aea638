"""Find, read and validate model cards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from visionzoo.card_fields import card_problem
from visionzoo.cards.exports import exports_of
from visionzoo.cards.fast_forms import fast_form_of
from visionzoo.cards.schema import CardFields, MeasuredNumber, Metric, Result, Run, ZooFields
from visionzoo.config import config_names
from visionzoo.errors import CardError, nearest_name
from visionzoo.front_matter import (
    card_folder,
    card_names,
    card_text,
    find_card,
    heading,
    parsed_front_matter,
    shown_card,
    split_front_matter,
)


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
    def tasks(self) -> tuple[str, ...]:
        """Tasks of the model: one, or several for a model with several heads."""
        return (self.zoo.task,) if isinstance(self.zoo.task, str) else tuple(self.zoo.task)

    @property
    def task(self) -> str:
        """Task of the model as text, ``detection``; several are separated by commas."""
        return ", ".join(self.tasks)

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
        return heading(self.body)

    def numbers(self, origin: str) -> Iterator[tuple[Result, Metric]]:
        """Yield the numbers of one origin, ``paper`` or ``measured``, in the order of the card."""
        for result in self.fields.model_index[0].results:
            for metric in result.metrics:
                if metric.args.origin == origin:
                    yield result, metric

    def run_of(self, metric: Metric) -> Run | None:
        """Return the run that measured a number, or None for a number of a paper."""
        return self.zoo.runs[metric.args.run] if isinstance(metric.args, MeasuredNumber) else None


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
    card = _card_at(given if given.suffix == ".md" else find_card(str(name_or_path)))
    _check_names(card)
    return card


def read_copied_card(path: Path) -> Card:
    """Read a card that has another file name than its model, such as the ``README.md`` of a model on the Hub.

    Raises:
        CardError: the card cannot be read, or violates the schema.
    """
    return _card_at(path)


def _card_at(path: Path) -> Card:
    text = card_text(path)
    front, body = split_front_matter(text, path)
    card = Card(path, _validated(_filled(parsed_front_matter(front, path), path.stem), path), body, text)
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


def _filled(values: dict[str, Any], stem: str) -> dict[str, Any]:
    """Return the front matter with the fields that follow from the name of the file."""
    zoo = values.get("visionzoo")
    if not isinstance(zoo, dict):
        return values
    filled = {
        "name": stem,
        "config": f"configs/{stem}.py",
        "exports": exports_of(stem),
        "fast_form": fast_form_of(stem),
    }
    return {**values, "visionzoo": {**filled, **zoo}}


def _validated(values: dict[str, Any], path: Path) -> CardFields:
    try:
        return CardFields.model_validate(values)
    except ValidationError as error:
        raise card_problem(error, path, CardFields) from error


def _check_names(card: Card) -> None:
    """Check fields that repeat the name of the file, the licence and the kind of task for the Hub."""
    stem, fields = card.path.stem, card.fields
    _check_equal(card, "visionzoo.name", card.name, stem, "the file's name")
    _check_equal(card, "visionzoo.config", card.zoo.config, f"configs/{stem}.py", "the file's name")
    _check_equal(card, "model-index.0.name", fields.model_index[0].name, stem, "the file's name")
    if fields.license != "other":  # the Hub's identifier for a licence that it does not list
        _check_equal(card, "license", fields.license, card.zoo.licenses.code.lower(), "visionzoo.licenses.code")
    for index, result in enumerate(fields.model_index[0].results):
        field = f"model-index.0.results.{index}.task"
        if len(card.tasks) == 1:
            _check_equal(card, f"{field}.type", result.task.type, fields.pipeline_tag, "pipeline_tag")
        elif result.task.name not in card.tasks:
            raise CardError(
                f"{shown_card(card.path)}: {field}.name",
                expected=f"the task of the numbers, one of {card.task}",
                found=f"{result.task.name!r}",
                advice="name it",
            )


def _check_equal(card: Card, field: str, found: str, expected: str, source: str) -> None:
    if found != expected:
        raise CardError(
            f"{shown_card(card.path)}: {field}",
            expected=f"{expected!r} as in {source}",
            found=f"{found!r}",
            advice="fix it",
        )


def _check_runs(card: Card) -> None:
    """Check that every measured number refers to a run of the card, and that every run has a number."""
    runs, where = card.zoo.runs, shown_card(card.path)
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
