"""Report of a data check: issues by kind, facts of the splits, tables; as text and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from visionzoo.datasets.issues import Issue
from visionzoo.errors import counted, on_one_line, some_of

SHOWN = 3  # places of a kind that are printed


@dataclass
class Kind:
    """The issues of one kind: their number by split, the first places and the advice."""

    name: str
    is_note: bool
    advice: str
    counts: Counter[str] = field(default_factory=Counter)
    first: list[Issue] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        places = [{"place": on_one_line(each.place), "found": on_one_line(each.found)} for each in self.first]
        return {
            "kind": self.name,
            "count": self.counts.total(),
            "by_split": dict(self.counts),
            "first": places,
            "advice": self.advice,
        }


@dataclass(frozen=True)
class Table:
    """A table of the report; the first column is text, the others are numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def lines(self) -> Iterator[str]:
        """Yield the table as lines of equal columns."""
        cells = [list(self.columns), *([_cell(value) for value in row] for row in self.rows)]
        widths = [max(len(row[column]) for row in cells) for column in range(len(self.columns))]
        for row in cells:
            rest = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
            yield "  ".join([row[0].ljust(widths[0]), *rest]).rstrip()


def _cell(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}" if isinstance(value, float) else f"{value}"


@dataclass
class Report:
    """Findings, notes and facts about the data of a config or folder.

    Attributes:
        where: the config or folder.
        splits: a sentence about each split that was read.
        kinds: issues by kind.
        tables: class balance, sizes of images and boxes.
        seconds: time of the check.
        known: issues of the sources before the current one, which are not counted again; see :meth:`begin_source`.
    """

    where: str
    splits: dict[str, str] = field(default_factory=dict)
    kinds: dict[tuple[str, bool], Kind] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    seconds: float = 0.0
    known: set[Issue] = field(default_factory=set)
    _current: set[Issue] | None = None

    def begin_source(self) -> None:
        """Begin one of several sources: a folder of several layouts is read in each of them, and most issues are equal.

        A check of one source does not call this, because the issues are kept.
        """
        self.known |= self._current or set()
        self._current = set()

    def add(self, split: str, issue: Issue) -> None:
        """Count an issue of a split, unless an earlier source has stated it."""
        if issue in self.known:
            return
        if self._current is not None:
            self._current.add(issue)
        key = (issue.kind, issue.is_note)
        if key not in self.kinds:
            self.kinds[key] = Kind(issue.kind, issue.is_note, issue.advice)
        kind = self.kinds[key]
        kind.counts[split] += 1
        if len(kind.first) < SHOWN:
            kind.first.append(issue)

    def of(self, *, notes: bool) -> list[Kind]:
        """Return the kinds of findings, or of notes, the most frequent first."""
        kinds = [kind for kind in self.kinds.values() if kind.is_note is notes]
        return sorted(kinds, key=lambda kind: -kind.counts.total())

    @property
    def has_findings(self) -> bool:
        """True if a kind is not a note."""
        return any(not kind.is_note for kind in self.kinds.values())

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "where": self.where,
            "splits": self.splits,
            "findings": [kind.to_json() for kind in self.of(notes=False)],
            "notes": [kind.to_json() for kind in self.of(notes=True)],
            "tables": [
                {"title": table.title, "columns": list(table.columns), "rows": [list(row) for row in table.rows]}
                for table in self.tables
            ],
            "seconds": round(self.seconds, 2),
        }

    def text(self) -> str:
        """Return the report as lines of text."""
        lines = [self.where, *(f"  {split}: {facts}" for split, facts in self.splits.items())]
        for table in self.tables:
            lines += ["", f"{table.title}:", *(f"  {line}" for line in table.lines())]
        for title, kinds in (("notes", self.of(notes=True)), ("findings", self.of(notes=False))):
            if kinds:
                lines += ["", f"{title}:"]
            for kind in kinds:
                lines += _lines_of(kind)
        findings, notes = self.of(notes=False), self.of(notes=True)
        total = sum(kind.counts.total() for kind in findings)
        what = (
            f"{counted(total, 'finding')} of {counted(len(findings), 'kind')}"
            if findings
            else "nothing wrong was found"
        )
        also = f", {counted(len(notes), 'kind')} of notes" if notes else ""
        return "\n".join([*lines, "", f"{what}{also} ({self.seconds:.1f} s)"])


def _lines_of(kind: Kind) -> Sequence[str]:
    splits = some_of([f"{count:,} in {split}" for split, count in kind.counts.items()], most=6)
    lines = [f"  {kind.name}: {splits}"]
    lines += [
        f"      {on_one_line(f'{each.place}: {each.found}' if each.found else each.place)}" for each in kind.first
    ]
    more = kind.counts.total() - len(kind.first)
    lines += [f"      and {more:,} more"] if more > 0 else []
    return [*lines, f"      -> {kind.advice}"] if kind.advice else lines
