"""The file of outcomes: one JSON line for each cell, written as soon as the cell is finished."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from visionzoo.errors import DataError
from visionzoo.system.paths import shown_path

Outcomes = dict[str, dict[str, Any]]


def read_outcomes(path: Path) -> Outcomes:
    """Return the outcomes of a file by the key of their cell; of a cell with several lines, the last.

    A last line without its end is that of a run that was killed. It is removed, and its cell runs again.

    Raises:
        DataError: a line is not an outcome.

    Example:
        >>> read_outcomes(Path("no such file"))
        {}
    """
    if not path.is_file():
        return {}
    text = path.read_text(encoding="utf-8")
    whole, _, rest = text.rpartition("\n")
    if rest:
        path.write_text(f"{whole}\n" if whole else "", encoding="utf-8")
    found: Outcomes = {}
    for number, line in enumerate(whole.splitlines(), 1):
        outcome = _read(line, path, number)
        found[outcome.pop("cell")] = outcome
    return found


def _read(line: str, path: Path, number: int) -> dict[str, Any]:
    try:
        outcome = json.loads(line)
    except json.JSONDecodeError:
        outcome = None
    if not isinstance(outcome, dict) or not {"cell", "status"} <= set(outcome):
        raise DataError(
            f"{shown_path(path)}, line {number}",
            expected="the outcome of a cell",
            found=line[:60],
            advice="remove the line, or use another --out",
        )
    return outcome


def add_outcome(path: Path, key: str, outcome: Mapping[str, Any]) -> None:
    """Append the outcome of a cell to a file, and write it to the disk."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"cell": key, **outcome}) + "\n")
        file.flush()
        os.fsync(file.fileno())
