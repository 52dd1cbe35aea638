"""Files of a report: a CSV for each table, one JSON, ``report.md`` and images."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from visionzoo.reports.document import markdown
from visionzoo.suites._base import Rows, SuiteReport
from visionzoo.system.atomic import write_file, write_text

_MOST_ROWS = 60  # of a table in report.md; the CSV file has all


def write_report(out: Path, report: SuiteReport, title: str, readme: str, facts: Mapping[str, Any]) -> None:
    """Write all files of a report into a folder.

    Args:
        out: the folder.
        report: the numbers.
        title: first line of ``report.md``.
        readme: text of the README of the suite, whose protocol choices belong to the numbers.
        facts: facts about the run: protocol, versions, settings.

    Raises:
        OutputError: a file cannot be written.
    """
    for name, rows in report.tables.items():
        write_text(out / f"{name}.csv", _csv(rows))
    plain = {name: [_plain(row) for row in rows] for name, rows in report.tables.items()}
    contents = {"facts": dict(facts), "notes": report.notes, "tables": plain}
    write_text(out / "report.json", json.dumps(contents, indent=1, allow_nan=False) + "\n")
    for name, image in report.images.items():
        write_file(out / f"{name}.png", partial(_write_into, _png(image)))
    write_text(out / "report.md", _page(report, title, readme, facts))


def _write_into(content: bytes, file: BinaryIO) -> None:
    file.write(content)


def _csv(rows: Rows) -> str:
    file = io.StringIO()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(file, columns, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in row.items()}


def _png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, format="PNG")
    return file.getvalue()


def _page(report: SuiteReport, title: str, readme: str, facts: Mapping[str, Any]) -> str:
    parts = [f"# {title}", "\n".join(f"- {name}: {value}" for name, value in facts.items())]
    parts += ["## Notes\n\n" + "\n".join(f"- {note}" for note in report.notes)] if report.notes else []
    for name in report.shown:
        if rows := report.tables.get(name):
            parts.append(f"## {name.replace('_', ' ')}\n\n{table_text(rows)}{_more(rows, name)}")
    parts += [f"## {name.replace('_', ' ')}\n\n![{name}]({name}.png)" for name in report.images]
    parts.append(f"## What the suite measures\n\n{_lowered(readme)}")
    return "\n\n".join(parts) + "\n"


def _more(rows: Rows, name: str) -> str:
    return f"\n\n{len(rows) - _MOST_ROWS} further rows are in `{name}.csv`." if len(rows) > _MOST_ROWS else ""


def _lowered(page: str) -> str:
    """Return a page without its title, with its headings one level lower."""
    lines = page.strip().splitlines()
    lines = lines[1:] if lines and lines[0].startswith("# ") else lines
    return "\n".join(f"#{line}" if line.startswith("#") else line for line in lines).strip()


def table_text(rows: Rows, most: int = _MOST_ROWS) -> str:
    """Return rows as a Markdown table; nan is printed as ``-``.

    Example:
        >>> print(table_text([{"region": "asia", "accuracy": 0.25}, {"region": "europe", "accuracy": float("nan")}]))
        | region | accuracy |
        | --- | --- |
        | asia | 0.2500 |
        | europe | - |
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return markdown(columns, [[_shown(row.get(column, "")) for column in columns] for row in rows[:most]])


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4f}" if math.isfinite(value) else "-"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(str, value))
    return str(value)
