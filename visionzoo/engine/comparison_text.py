"""A comparison of runs as text for a terminal and as Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

from visionzoo.engine.comparison import ClassTable, Comparison, Value, differences_of
from visionzoo.engine.measures import aligned, shown
from visionzoo.reports.document import literal, markdown
from visionzoo.system.paths import shown_path

_CLASSES = 10  # classes with the largest differences, on a terminal
_SETTINGS = 30  # differences of a config, on a terminal
_MARK = "*"

Table = tuple[list[str], list[list[str]]]


def as_text(comparison: Comparison) -> str:
    """Return the comparison for a terminal: the best value of each metric is marked with ``*``."""
    parts = [
        "\n".join(_legend(comparison)),
        *_notes(comparison),
        _aligned(_metrics(comparison)),
        _explained(comparison),
    ]
    for table in comparison.classes:
        head, rows = _by_class(comparison, table, most=_CLASSES)
        left = len(table.rows) - len(rows)
        more = f" (the {len(rows)} largest differences of {len(table.rows)} classes)" if left > 0 else ""
        parts.append(f"{table.number} by class of {table.name}{more}\n{_aligned((head, rows))}")
    if runs := _by_run(comparison):
        parts.append(f"runs\n{_aligned(runs)}")
    for label, lines in comparison.differences.items():
        rest = [f"and {len(lines) - _SETTINGS} more"] if lines and len(lines) > _SETTINGS else []
        parts.append("\n".join([_config_head(comparison, label, lines), *(lines or [])[:_SETTINGS], *rest]))
    return "\n\n".join(part for part in parts if part)


def as_markdown(comparison: Comparison) -> str:
    """Return the comparison as a Markdown document, with all classes and all settings that differ."""
    parts = ["# Comparison of runs", "\n".join(f"- {line}" for line in _legend(comparison))]
    parts += [f"> {line}" for line in _notes(comparison)]
    parts += ["## Metrics", markdown(*_metrics(comparison)), _explained(comparison), "![metrics](compare.png)"]
    for table in comparison.classes:
        parts += [f"## {table.number} by class of {table.name}", _named(_by_class(comparison, table))]
    if runs := _by_run(comparison):
        parts += ["## Runs", markdown(*runs)]
    for label, lines in comparison.differences.items():
        parts += [f"## Config of {label}", _config_head(comparison, label, lines)]
        parts += ["```\n" + "\n".join(lines) + "\n```"] if lines else []
    return "\n\n".join(part for part in parts if part) + "\n"


def _named(table: Table) -> str:
    """Return a table of classes as Markdown, with their names as they are."""
    head, rows = table
    return markdown(head, [[literal(name), *cells] for name, *cells in rows])


def _legend(comparison: Comparison) -> list[str]:
    lines = []
    for entry in comparison.entries:
        paths = ", ".join(shown_path(run.path) for run in entry.runs)
        lines.append(f"{entry.label}: {entry.what}: {paths}")
    return lines


def _notes(comparison: Comparison) -> list[str]:
    return [f"note: {text}" for text in comparison.notes]


def _explained(comparison: Comparison) -> str:
    """Return what the marks of the table mean."""
    several = any(len(entry.runs) > 1 for entry in comparison.entries)
    first = comparison.entries[0].label
    texts = [f"{_MARK} best value; in brackets: the difference to {first}"] if len(comparison.entries) > 1 else []
    texts += ["mean +- standard deviation of the runs"] if several else []
    return "; ".join(texts)


def _metrics(comparison: Comparison) -> Table:
    head = ["metric", "better", *(entry.label for entry in comparison.entries)]
    rows = []
    for metric in comparison.metrics:
        values, best = [entry.value(metric) for entry in comparison.entries], comparison.best(metric)
        marks = [entry.label in best for entry in comparison.entries]
        rows.append([metric, _better(comparison, metric), *_cells(values, marks)])
    return head, rows


def _better(comparison: Comparison, metric: str) -> str:
    return {"greater": "higher", "less": "lower"}.get(comparison.direction(metric) or "", "")


def _cells(values: Sequence[Value], marks: Sequence[bool]) -> list[str]:
    """Return the texts of one metric: value, spread, mark and difference to the first entry."""
    cells = []
    for number, (value, difference) in enumerate(zip(values, differences_of(values), strict=True)):
        text = shown(math.nan if value.mean is None else value.mean)
        text += "" if value.spread is None else f" +- {shown(value.spread)}"
        text += f" {_MARK}" if marks[number] else ""
        cells.append(text if number == 0 or difference is None else f"{text} ({difference:+.4f})")
    return cells


def _by_class(comparison: Comparison, table: ClassTable, most: int | None = None) -> Table:
    """Return a row for each class; with ``most``, only those with the largest differences."""
    rows = list(table.rows)
    if most is not None and len(rows) > most:
        rows = sorted(rows, key=lambda row: -1.0 if math.isnan(row.change) else row.change, reverse=True)[:most]
    none = [False] * len(comparison.entries)
    head = ["class", *(entry.label for entry in comparison.entries)]
    return head, [[row.name, *_cells(row.values, none)] for row in rows]


def _by_run(comparison: Comparison) -> Table | None:
    """Return each run of entries with several ones; None without such entries."""
    several = [entry for entry in comparison.entries if len(entry.runs) > 1]
    if not several:
        return None
    selected = next((str(run.facts["selected_by"]) for run in several[0].runs if run.facts.get("selected_by")), "")
    ranked = [metric for metric in comparison.metrics if comparison.direction(metric)]
    metrics = [metric for metric in [selected, *ranked] if metric in comparison.metrics]
    columns = list(dict.fromkeys(metrics))[:4]
    rows = []
    for entry in several:
        for run in entry.runs:
            values = [run.metrics.get(metric) for metric in columns]
            numbers = [shown(math.nan if value is None else value) for value in values]
            seed = "-" if run.seed is None else str(run.seed)
            rows.append([shown_path(run.path), entry.label, seed, *numbers])
    return ["run", "of", "seed", *columns], rows


def _config_head(comparison: Comparison, label: str, lines: Sequence[str] | None) -> str:
    first = comparison.entries[0].label
    if lines is None:
        return f"the configs of {first} and {label} are not compared, because one of them is not known"
    if not lines:
        return f"the configs of {first} and {label} are equal"
    return f"config of {first} to {label} (- only {first}, + only {label}, ~ changed):"


def _aligned(table: Table) -> str:
    head, rows = table
    return aligned([head, *rows])
