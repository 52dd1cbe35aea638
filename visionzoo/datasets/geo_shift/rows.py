"""Tables of geographic data sets: cells with lists, unique ids, and rows whose image file is missing."""

from __future__ import annotations

import ast
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from visionzoo.datasets.findings import Findings, shown
from visionzoo.datasets.missing_files import are_files
from visionzoo.errors import DataError
from visionzoo.system.csv_files import CsvRow, parse_csv
from visionzoo.system.text_files import read_text

Sample = dict[str, Any]


def read_rows(path: Path, required: Sequence[str], what: str, advice: str) -> list[CsvRow]:
    """Return the rows of a table; names of columns are in lower case.

    Args:
        path: the CSV file.
        required: names of columns that it must have, in lower case.
        what: the table, for messages: ``metadata of GeoDE``.
        advice: where the table comes from, for messages.

    Raises:
        DataError: the file is missing, has other columns, or has a row that cannot be read.
    """
    if not path.is_file():
        raise DataError(path, expected=f"the {what}", found="no such file", advice=advice)
    try:
        table = parse_csv(read_text(path, f"the {what}", advice), required=required)
    except DataError as error:
        raise error.at(path) from error
    with Findings(path, expected=f"the {what}") as findings:
        for row in table.rows:
            if row.fault is not None:
                findings.wrong(f"line {row.line}", "row", expected=row.fault[0], found=row.fault[1])
    if not table.rows:
        raise DataError(path, expected=f"the {what}", found="no row", advice=advice)
    return table.rows


def listed(text: str) -> list[Any] | None:
    """Return the list in a cell, as Python or JSON writes it; None if the cell has no list.

    Example:
        >>> listed("['bed', 'sofa']"), listed('["a"]'), listed("bed")
        (['bed', 'sofa'], ['a'], None)
    """
    try:
        values = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return list(values) if isinstance(values, list | tuple) else None


def class_indices(text: str, classes: int = 1000) -> list[int] | None:
    """Return the class indices in a cell, without repetitions; None if it is not a list of such numbers.

    Example:
        >>> class_indices("[831, 831, 7]"), class_indices("[1000]"), class_indices("[]")
        ([831, 7], None, [])
    """
    values = listed(text)
    if values is None:
        return None
    numbers = [int(value) for value in values if isinstance(value, int | str) and str(value).strip().isdecimal()]
    is_valid = len(numbers) == len(values) and all(number < classes for number in numbers)
    return list(dict.fromkeys(numbers)) if is_valid else None


def require_unique_ids(samples: Sequence[Sample], path: Path) -> None:
    """Raise an error if two rows have one id: a merge by id would multiply rows.

    Raises:
        DataError: the message names the file, the id and both lines.
    """
    seen: dict[str, Sample] = {}
    with Findings(path, expected="every id once", advice="remove one of the rows, or give it another id") as findings:
        for sample in samples:
            first = seen.setdefault(sample["id"], sample)
            if first is not sample:
                found = f"{shown(sample['id'])} also in line {first['line']}"
                findings.wrong(f"line {sample['line']}", "id", expected="an id that no other row has", found=found)


def with_files(samples: Sequence[Sample], folders: Sequence[Path], path: Path, findings: Findings) -> list[Sample]:
    """Return the samples whose image exists, with its path; the others are counted in a note.

    Args:
        samples: with ``file``, a relative path.
        folders: folders in which the file may be, the first match is used.
        path: the table, for messages.
        findings: receives the note.

    Raises:
        DataError: no image exists.
    """
    candidates = [[os.fspath(folder / sample["file"]) for sample in samples] for folder in folders]
    present = [list(are_files(paths)) for paths in candidates]
    kept = []
    for at, sample in enumerate(samples):
        place = next((number for number, are in enumerate(present) if are[at]), None)
        if place is not None:
            kept.append({**sample, "img_path": candidates[place][at]})
    if not kept:
        raise DataError(
            path,
            expected=f"images below {folders[0]}",
            found=f"none of its {len(samples)} files ({samples[0]['file']}, ...)",
            advice="unpack the images there, or correct data_root",
        )
    findings.note("rows without an image file, left out", len(samples) - len(kept))
    return kept
