"""Files of measured numbers: ``metrics.json`` for programs, ``report.md`` for readers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

from visionzoo.reports.document import literal, markdown
from visionzoo.structures.undefined import defined
from visionzoo.system.atomic import write_text

Rows = Sequence[Mapping[str, Any]]

_WIDTH, _GAP, _FEW = 100, 3, 4  # characters of a line and between its columns; numbers that have a line each


def scalars(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers among ``metrics`` as floats.

    A number is a Python or NumPy number, or an array or tensor with one element.

    Example:
        >>> import torch
        >>> scalars({"AP": torch.tensor([0.5]), "count": 3, "name": "toy"})
        {'AP': 0.5, 'count': 3.0}
    """
    plain = {name: _plain(value) for name, value in metrics.items()}
    return {name: float(value) for name, value in plain.items() if isinstance(value, Real)}


def _plain(value: Any) -> Any:
    """Return the only element of a NumPy number, array or tensor, and other values unchanged."""
    shape = getattr(value, "shape", None)
    return value.item() if isinstance(shape, tuple) and math.prod(shape) == 1 else value


def per_class_tables(evaluator: Any) -> dict[str, Rows]:
    """Return the rows per class of every metric that has them, by the name of their table (``bbox``).

    The names of several tasks begin with the name of the task: ``detection/bbox``.
    """
    tables: dict[str, Rows] = {}
    for task, metrics in getattr(evaluator, "by_task", {"": evaluator.metrics}).items():
        for metric in metrics:
            for name, rows in (getattr(metric, "per_class", None) or {}).items():
                if rows:
                    tables[f"{task}/{name}" if task else name] = rows
    return tables


def protocols(evaluator: Any) -> dict[str, str]:
    """Return what the numbers of metrics depend on, by the name of the metric, for metrics with ``protocol_text``."""
    stated = ((type(metric).__name__, getattr(metric, "protocol_text", "")) for metric in evaluator.metrics)
    return {name: text for name, text in stated if text}


def write_measures(
    folder: Path, facts: Mapping[str, Any], metrics: Mapping[str, Any], tables: Mapping[str, Rows]
) -> None:
    """Write ``metrics.json`` and ``report.md``.

    JSON has no NaN and no infinity. Such numbers are null in ``metrics.json``, and its ``notes`` name them.

    Args:
        folder: the work dir.
        facts: description of the run: model, weights, samples, seed, versions, protocols.
        metrics: metric name -> number.
        tables: rows per class, see :func:`per_class_tables`.

    Raises:
        OutputError: the folder cannot be written.
    """
    numbers = {name: _json_number(value) for name, value in scalars(metrics).items()}
    by_class = {name: [{k: _json_number(v) for k, v in row.items()} for row in rows] for name, rows in tables.items()}
    document = {**facts, "metrics": numbers, "per_class": by_class}
    if notes := [f"{name}: {v} is written as null" for name, v in scalars(metrics).items() if not math.isfinite(v)]:
        document["notes"] = notes
    write_text(folder / "metrics.json", json.dumps(document, indent=2, allow_nan=False) + "\n")
    write_text(folder / "report.md", _report(facts, metrics, tables))


def _json_number(value: Any) -> Any:
    value = _plain(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _report(facts: Mapping[str, Any], metrics: Mapping[str, Any], tables: Mapping[str, Rows]) -> str:
    labels = {"name": "model", "weights": "weights", "selected_by": "selected by", "step": "saved at"}
    known = [(label, facts.get(name)) for name, label in {**labels, "samples": "samples"}.items()]
    known += [(f"protocol of {metric}", text) for metric, text in (facts.get("protocols") or {}).items()]
    head = [f"# {facts.get('name')}", "", *(f"- {label}: {value}" for label, value in known if value is not None), ""]
    body = markdown(["metric", "value"], [[name, shown(value)] for name, value in scalars(metrics).items()])
    parts = ["\n".join([*head, body])]
    for name, rows in tables.items():
        columns = list(rows[0])
        parts.append(
            f"## {name} by class\n\n" + markdown(columns, [[literal(shown(row[c])) for c in columns] for row in rows])
        )
    return "\n\n".join(parts) + "\n"


def as_text(metrics: Mapping[str, Any], tables: Mapping[str, Rows]) -> str:
    """Return the numbers in aligned columns for a terminal, with the tables per class below.

    A table of one class is left out, because the metrics have its numbers.

    Example:
        >>> rows = [{"class": "cat", "acc": 0.25}, {"class": "dog", "acc": 0.75}]
        >>> print(as_text({"toy/acc": 0.5}, {"toy": rows}))
        toy/acc  0.5000
        <BLANKLINE>
        toy by class
        class     acc
        cat    0.2500
        dog    0.7500
    """
    parts = [_in_columns([[name, shown(value)] for name, value in scalars(metrics).items()])]
    for name, rows in tables.items():
        if len(rows) > 1:
            columns = list(rows[0])
            cells = ([shown(row[column]) for column in columns] for row in rows)
            parts.append(f"{name} by class\n" + aligned([columns, *cells]))
    return "\n\n".join(parts)


def _in_columns(numbers: Sequence[Sequence[str]]) -> str:
    """Return names with their numbers, several on a line if they are many.

    Example:
        >>> print(_in_columns([[f"toy/metric_{number}", "0.5000"] for number in range(7)]))
        toy/metric_0  0.5000   toy/metric_1  0.5000   toy/metric_2  0.5000   toy/metric_3  0.5000
        toy/metric_4  0.5000   toy/metric_5  0.5000   toy/metric_6  0.5000
    """
    cells = aligned(numbers).splitlines()
    each = max(1, _WIDTH // (max(map(len, cells), default=0) + _GAP)) if len(cells) > _FEW else 1
    lines = [cells[start : start + each] for start in range(0, len(cells), each)]
    return "\n".join((" " * _GAP).join(line) for line in lines)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))]).rstrip()
        for row in rows
    )


def shown(value: Any) -> str:
    """Return a number as text with four digits after the point.

    A number without samples is ``-``: -1 of the official tools, see :mod:`visionzoo.structures.undefined`, and nan, the
    mean over no class.

    Example:
        >>> shown(0.25), shown(-1.0), shown(math.nan), shown(3)
        ('0.2500', '-', '-', '3')
    """
    value = defined(_plain(value))
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:.4f}"
    return str(value)
