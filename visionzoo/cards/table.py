"""The zoo table of the README, written from the cards."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from visionzoo.cards.files import Card, card_folder
from visionzoo.cards.schema import Metric, Result
from visionzoo.errors import CardError

BEGIN, END = "<!-- zoo -->", "<!-- /zoo -->"

_HEAD = ("model", "task", "params", "paper", "measured here", "status")


def readme_path() -> Path:
    """Return the README beside the cards. An installed package has none."""
    return card_folder().parent / "README.md"


def zoo_table(cards: Iterable[Card]) -> str:
    """Return a Markdown table with one row per card. Numbers of papers are in italics and link their source.

    Example:
        >>> print(zoo_table([]))
        | model | task | params | paper | measured here | status |
        | --- | --- | --- | --- | --- | --- |
    """
    rows = [_HEAD, ("---",) * len(_HEAD), *(_row(card) for card in cards)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def table_in(text: str, path: Path) -> str:
    """Return the text between the two markers.

    Raises:
        CardError: a marker is missing, or the markers are in the wrong order.

    Example:
        >>> table_in(f"{BEGIN} rows {END}", Path("README.md"))
        'rows'
    """
    return text[slice(*_span(text, path))].strip()


def with_table(text: str, table: str, path: Path) -> str:
    """Return ``text`` with ``table`` between the two markers."""
    start, end = _span(text, path)
    return f"{text[:start]}\n{table}\n{text[end:]}"


def _span(text: str, path: Path) -> tuple[int, int]:
    start, end = text.find(BEGIN), text.find(END)
    if start < 0 or end < start:
        raise CardError(
            path, expected=f"the zoo table between {BEGIN} and {END}", found="no such lines", advice="add them"
        )
    return start + len(BEGIN), end


def _row(card: Card) -> tuple[str, ...]:
    return (
        f"[{card.name}](model_cards/{card.name}.md)",
        card.task,
        f"{card.params / 1e6:.1f} M",
        next((_paper(result, metric) for result, metric in card.numbers("paper")), "none"),
        next((_measured(card, result, metric) for result, metric in card.numbers("measured")), "none yet"),
        card.status,
    )


def _paper(result: Result, metric: Metric) -> str:
    source = result.source.url if result.source else ""  # the schema requires one
    return f"*{metric.value:g}* {metric.name}, {_data(result)} ([source]({source}))"


def _measured(card: Card, result: Result, metric: Metric) -> str:
    run = card.run_of(metric)
    day = f", {run.date}" if run else ""
    return f"{metric.value:g} {metric.name}, {_data(result)}{day}"


def _data(result: Result) -> str:
    return f"{result.dataset.name} {result.dataset.split}"
