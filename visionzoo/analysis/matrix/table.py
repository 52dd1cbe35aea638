"""Tables of the outcomes: text for a terminal, and the page of the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from visionzoo.analysis.matrix.cells import FAILED, REFUSED, WORKS
from visionzoo.analysis.matrix.fitting import KINDS
from visionzoo.errors import DataError, counted

BEGIN, END = "<!-- matrix -->", "<!-- /matrix -->"

Outcomes = Mapping[str, Mapping[str, Any]]

# Marks of a cell in a table; a reason of principle has the letter of that kind.
_MARKS = {WORKS: "+", FAILED: "!"}
_OF_KINDS = dict(zip(KINDS, "abcdefghijklmnopqrstuvwxyz"))

_MOST_SENTENCES = 16


def mark_of(outcome: Mapping[str, Any] | None) -> str:
    """Return the mark of a cell: ``+`` works, ``!`` fails, a letter for a kind of reason, nothing if it did not run.

    Example:
        >>> mark_of({"status": "works"}), mark_of({"status": "refused", "kind": "pairs"}), mark_of(None)
        ('+', 'a', '')
    """
    if outcome is None:
        return ""
    return _OF_KINDS.get(outcome.get("kind", ""), "?") if outcome["status"] == REFUSED else _MARKS[outcome["status"]]


def line_of(key: str, outcome: Mapping[str, Any]) -> str:
    """Return one line for a finished cell."""
    rest = outcome.get("reason") or outcome.get("note") or ""
    return f"{outcome['status']:<8}{outcome.get('seconds', 0):>7.2f} s  {key}{f': {rest}' if rest else ''}"


def summary(outcomes: Outcomes) -> str:
    """Return numbers of cells by outcome, and their CPU time, as one line.

    Example:
        >>> summary({"a | b | c": {"status": "works", "seconds": 2.0}})
        '1 cell: 1 works, 0 refused, 0 failed; 2 CPU seconds'
    """
    counts = ", ".join(f"{len(_having(outcomes, status))} {status}" for status in (WORKS, REFUSED, FAILED))
    timed = [outcome["seconds"] for outcome in outcomes.values() if "seconds" in outcome]
    of_some = "" if len(timed) == len(outcomes) else f" for {len(timed):,} of them"
    return f"{counted(len(outcomes), 'cell')}: {counts}; {sum(timed):,.0f} CPU seconds{of_some}"


def _having(outcomes: Outcomes, status: str) -> list[str]:
    return [key for key, outcome in outcomes.items() if outcome["status"] == status]


def text_table(outcomes: Outcomes) -> str:
    """Return one line for each head and neck: the marks of the backbones, and the mean CPU seconds of a working cell.

    Example:
        >>> print(text_table({"VGG | RCNet | SCNNHead": {"status": "works", "seconds": 0.5}}))
        head      neck   1  CPU s
        SCNNHead  RCNet  +   0.50
        1: VGG
        <BLANKLINE>
        + works, ! fails
    """
    backbones = _names(outcomes, 0)
    rows = [("head", "neck", " ".join(f"{n % 10}" for n in range(1, len(backbones) + 1)), "CPU s")]
    for head, neck, marks, seconds in _rows(outcomes, backbones):
        rows.append((head, neck, " ".join(mark or "." for mark in marks), f"{seconds:>5}"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = ["  ".join([*(f"{cell:<{w}}" for cell, w in zip(row, widths)), row[3]]).rstrip() for row in rows]
    lines += [f"{number}: {name}" for number, name in enumerate(backbones, 1)]
    used = dict.fromkeys(str(outcome["kind"]) for outcome in outcomes.values() if outcome.get("kind"))
    return "\n".join([*lines, "", "+ works, ! fails", *(f"{_OF_KINDS[kind]}: {KINDS[kind]}" for kind in used)])


def with_table(text: str, outcomes: Outcomes) -> str:
    """Return the text of a page with the table of the outcomes between its markers.

    Raises:
        DataError: the page has no markers.
    """
    if text.find(BEGIN) < 0 or text.find(END) < text.find(BEGIN):
        raise DataError(
            "--markdown", expected=f"a page with the lines {BEGIN} and {END}", found="none", advice="add both lines"
        )
    before, after = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    return f"{before}\n{markdown(outcomes)}\n{after}"


def markdown(outcomes: Outcomes) -> str:
    """Return the table and the reasons as Markdown."""
    backbones = _names(outcomes, 0)
    lines = [f"{summary(outcomes)}.", ""]
    lines += ["Backbones: " + ", ".join(f"{number} {name}" for number, name in enumerate(backbones, 1)) + ".", ""]
    head = ["head", "neck", *(f"{number}" for number in range(1, len(backbones) + 1)), "CPU s"]
    lines += [_row(head), _row(["---"] * len(head))]
    lines += [_row([head, neck, *marks, seconds]) for head, neck, marks, seconds in _rows(outcomes, backbones)]
    lines += ["", "Reasons of principle:", "", *_reasons(outcomes)]
    if unread := [outcome for outcome in outcomes.values() if outcome.get("note")]:
        lines += [
            "",
            f"In {counted(len(unread), 'working cell')} the head leaves maps of the trunk unread, or nothing is",
        ]
        lines += ["trained; all other working cells give every parameter a gradient."]
    return "\n".join(lines)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _reasons(outcomes: Outcomes) -> Iterator[str]:
    """Yield for each kind what it means, the number of its cells, and its sentences if there are few."""
    for kind, meaning in KINDS.items():
        reasons = [outcome["reason"] for outcome in outcomes.values() if outcome.get("kind") == kind]
        if not reasons:
            continue
        sentences = sorted(set(reasons))
        yield f"- **{_OF_KINDS[kind]}**: {meaning} {counted(len(reasons), 'cell')}."
        yield from (f"  - {sentence}" for sentence in sentences[:_MOST_SENTENCES])
        if len(sentences) > _MOST_SENTENCES:
            yield f"  - {len(sentences) - _MOST_SENTENCES} more sentences of this kind."


def _names(outcomes: Outcomes, place: int) -> list[str]:
    return list(dict.fromkeys(key.split(" | ")[place] for key in outcomes))


def _rows(outcomes: Outcomes, backbones: Sequence[str]) -> Iterator[tuple[str, str, list[str], str]]:
    """Yield head, neck, the mark of each backbone, and the mean CPU seconds of the working cells."""
    for head in _names(outcomes, 2):
        for neck in _names(outcomes, 1):
            row = [outcomes.get(f"{backbone} | {neck} | {head}") for backbone in backbones]
            works = [outcome for outcome in row if outcome and outcome["status"] == WORKS]
            seconds = [outcome["seconds"] for outcome in works if "seconds" in outcome]
            if any(row):
                mean = f"{sum(seconds) / len(seconds):.2f}" if seconds else ""
                yield head, neck, [mark_of(outcome) for outcome in row], mean
