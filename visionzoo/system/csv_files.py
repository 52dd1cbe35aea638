"""Strict reading of tables in CSV files.

A row is one line. A quote that is not closed on its line is a fault of this line only, and the lines after it are
rows. Python's ``csv`` module joins them to one cell.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from visionzoo.errors import DataError, first_of

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_MOST = 131_072  # the limit of Python's csv module


class CsvRow(NamedTuple):
    """One row of a table.

    Attributes:
        line: line number, from 1.
        cells: the stripped cell of each column; empty if the row has a fault.
        fault: the expected and the actual form of a row that cannot be read, otherwise None.
    """

    line: int
    cells: dict[str, str]
    fault: tuple[str, str] | None = None


@dataclass(frozen=True)
class CsvTable:
    """A table with named columns.

    Attributes:
        columns: the names of the columns in lower case.
        separator: a key of ``SEPARATORS``.
        rows: the rows that are not empty.
    """

    columns: tuple[str, ...]
    separator: str
    rows: list[CsvRow]


def parse_csv(text: str, required: Sequence[str]) -> CsvTable:
    """Read a table whose first row names its columns, in any order, in upper or lower case.

    The cells are separated by commas, or by semicolons or tabs if the names are. Empty lines, rows of empty cells, and
    empty cells after the last column are omitted.

    Args:
        text: contents of the file.
        required: names of columns that the table must have.

    Raises:
        DataError: a required column is missing, or two columns have one name. Add the file by ``at``.

    Example:
        >>> table = parse_csv('image,x,y\\n"a, b.jpg",1,2\\nc.jpg,3', required=("image", "x"))
        >>> [row.cells for row in table.rows]
        [{'image': 'a, b.jpg', 'x': '1', 'y': '2'}, {}]
        >>> table.rows[1]
        CsvRow(line=3, cells={}, fault=('3 cells (image, x, y)', '2 cells'))
    """
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    first = lines[0][1] if lines else ""
    separator, columns = _header(first, required)
    rows = [_row(number, line, separator, columns) for number, line in lines[1:]]
    return CsvTable(columns, separator, [row for row in rows if row.fault or any(row.cells.values())])


def _header(line: str, required: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Return the separator and the names of the columns."""
    for separator in SEPARATORS:
        cells, fault = _cells(line, separator)
        columns = [cell.lower() for cell in _without_empty_end(cells)]
        if fault is None and set(required) <= set(columns):
            _require_once(columns)
            return separator, tuple(columns)
    found = repr(line[:80]) if line else "nothing"
    raise DataError(
        "line 1", expected=f"a header with the columns {', '.join(required)}", found=found, advice="add it as line 1"
    )


def _require_once(columns: Sequence[str]) -> None:
    double = sorted({name for name in columns if columns.count(name) > 1})
    if double:
        raise DataError(
            "line 1", expected="every column once", found=f"{first_of(double)} again", advice="rename a column"
        )


def _without_empty_end(cells: list[str], least: int = 0) -> list[str]:
    while len(cells) > least and not cells[-1]:
        cells = cells[:-1]
    return cells


def _row(number: int, line: str, separator: str, columns: tuple[str, ...]) -> CsvRow:
    cells, fault = _cells(line, separator)
    cells = _without_empty_end(cells, least=len(columns))
    if fault is None and len(cells) != len(columns):
        fault = f"{len(columns)} cells ({first_of(columns, 6)})", f"{len(cells)} cells"
    return CsvRow(number, {}, fault) if fault else CsvRow(number, dict(zip(columns, cells, strict=True)))


def _cells(line: str, separator: str) -> tuple[list[str], tuple[str, str] | None]:
    """Return the stripped cells of a line, or its fault."""
    if len(line) > _MOST:
        return [], (f"a line of at most {_MOST:,} characters", f"{len(line):,}")
    if '"' not in line:
        return [cell.strip() for cell in line.split(separator)], None
    try:
        (cells,) = csv.reader([line], delimiter=separator, strict=True, skipinitialspace=separator != "\t")
    except (csv.Error, ValueError) as error:
        reason = "an open quote" if "unexpected end" in str(error) else str(error)
        return [], ("every quote closed on its line", f"{reason} in {line[:60]!r}")
    return [cell.strip() for cell in cells], None
