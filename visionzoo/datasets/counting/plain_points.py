"""Points of any objects, in JSON lines or CSV."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from os.path import normpath
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from visionzoo.datasets.counting.base import (
    LEVELS,
    LUMINANCES,
    CountingDataset,
    Sample,
    as_stored,
    require_files,
    sample_of,
)
from visionzoo.datasets.counting.point_files import FARTHEST, json_points, numbered_lines
from visionzoo.datasets.file_names import require_inside
from visionzoo.datasets.findings import Findings, shown
from visionzoo.datasets.json_objects import parse_json
from visionzoo.datasets.missing_files import advice
from visionzoo.datasets.numerals import decimal, json_number
from visionzoo.datasets.sample_list import LoadingOptions
from visionzoo.datasets.tiny import resolve_data_root
from visionzoo.errors import DataError
from visionzoo.registry import DATASETS
from visionzoo.system.csv_files import SEPARATORS, CsvTable, parse_csv
from visionzoo.system.text_files import read_text

_FACTS = ("level", "luminance", "scene", "weather")
_FIELDS = ("image", "points", *_FACTS)
_LIMITS = {"level": LEVELS, "luminance": LUMINANCES}
_HEADER = ("image", "x", "y")


@DATASETS.register_module()
class PointsDataset(CountingDataset):
    """Images with points in one annotation file.

    JSON lines, one image each; ``level``, ``luminance``, ``scene`` and ``weather`` are optional::

        {"image": "a/0001.jpg", "points": [[12.5, 40.0], [80.0, 3.25]]}
        {"image": "a/0002.jpg", "points": []}

    CSV, one point per row, rows in any order; a row without x and y names an image without points::

        image,x,y
        a/0001.jpg,12.5,40.0
        a/0002.jpg,,

    x and y are pixels from the left and the top. Points outside the image count. Semicolons and tabs may separate the
    cells. Numbers in JSON may be text. All errors of the file are reported together.

    Args:
        data_root: a folder, or ``tiny://points?train=24&test=8&seed=0`` for drawn images.
        ann_file: the file in ``data_root``; CSV if it ends in ``.csv``, otherwise JSON lines.
        img_folder: folder in ``data_root`` that contains the paths ``image``.
        allow_outside: True to allow files outside ``data_root``, see
            :func:`visionzoo.datasets.file_names.require_inside`.
        max_samples, pipeline, test_mode, serialize_data, max_refetch: see :class:`SampleList`.

    Raises:
        DataError: the file is missing or empty, a line is unusable, or an image is missing.

    Example:
        >>> root = "tiny://points?train=1&test=1&size=48"
        >>> dataset = PointsDataset(root, ann_file="test.csv", serialize_data=False)
        >>> dataset[0]["gt_count"] == len(dataset[0]["gt_points"])
        True
    """

    def __init__(
        self,
        data_root: str,
        ann_file: str = "points.jsonl",
        img_folder: str = "",
        allow_outside: bool = False,
        **loading: Unpack[LoadingOptions],
    ):
        root = resolve_data_root(data_root)
        path = root / ann_file
        records = _records(path, root / img_folder)
        names = [record.name for record in records]
        require_inside(names, root / img_folder, root, path, allow_outside=allow_outside)
        super().__init__(root, _samples(records, path, root / img_folder), source=path, **loading)


@dataclass
class _Record:
    """One image: its path as annotated, its points, (N, 2) float64 or N pairs, and its facts."""

    name: str
    points: Any
    facts: dict[str, Any]


def _records(path: Path, folder: Path) -> list[_Record]:
    with Findings(path, expected="images with points") as findings:
        records = _rows(path, findings) if path.suffix.lower() == ".csv" else _lines(path, findings)
        if findings:  # else a separate error has the missing files
            for name in [record.name for record in records if as_stored(folder / record.name) is None]:
                findings.wrong(shown(name), "image file", expected=f"a file in {folder}", found="none")
    if not records:
        raise DataError(path, expected="at least one image", found="an empty list", advice=f"{advice('points')}")
    return records


def _samples(records: list[_Record], path: Path, folder: Path) -> list[Sample]:
    with Findings(path, expected="images") as findings:
        images = require_files([folder / record.name for record in records], "images", folder, findings)
        _note_same_points(records, findings)
        _note_partial_facts(records, findings)
    return [sample_of(image, record.points, **record.facts) for image, record in zip(images, records, strict=True)]


def _note_same_points(records: Sequence[_Record], findings: Findings) -> None:
    repeated = (len(record.points) - len(set(map(tuple, record.points.tolist()))) for record in records)
    findings.note("points at the place of another point of the image, all counted", sum(repeated))


def _note_partial_facts(records: Sequence[_Record], findings: Findings) -> None:
    for key in _FACTS:
        lacking = sum(key not in record.facts for record in records)
        if lacking < len(records):
            findings.note(f"images without {key}, which other images have", lacking)


def _image_name(value: Any, entry: str, findings: Findings) -> str:
    """Return a path with slashes; empty after a finding."""
    if isinstance(value, str) and value.strip() and "\0" not in value:
        if "\\" in value:
            findings.note("backslashes in paths, read as slashes")
        return value.replace("\\", "/")
    findings.wrong(entry, "image", expected="a path of an image file", found=shown(value))
    return ""


# --- JSON lines ---


def _lines(path: Path, findings: Findings) -> list[_Record]:
    records: list[_Record] = []
    seen: set[str] = set()
    for number, line in numbered_lines(path, "one JSON object per line"):
        record = _record(line, f"line {number}", findings)
        if record is None:
            continue
        if (place := normpath(record.name)) in seen:
            findings.wrong(f"line {number}", "image", expected="every image once", found=f"{shown(place)} again")
        seen.add(place)
        records.append(record)
    return records


def _record(line: str, entry: str, findings: Findings) -> _Record | None:
    """Return the record of a line, or None after a finding."""
    try:
        fields = parse_json(line, entry)
        if not {"image", "points"} <= set(fields) <= set(_FIELDS):
            found = shown(", ".join(fields), 80)
            expected = f"image and points, optionally {', '.join(_FACTS)}"
            raise DataError(f"{entry}: fields", expected=expected, found=found)
        name = _image_name(fields["image"], entry, findings)
        points = json_points(fields["points"], f"{entry}: points", findings)
    except DataError as error:
        field = error.where.removeprefix(entry).removeprefix(": ") or "text"
        findings.wrong(entry, field, expected=f"{error.expected}", found=f"{error.found}")
        return None
    present = [key for key in _FACTS if key in fields]
    stated = [key for key in present if fields[key] is not None]
    findings.note("null facts, read as missing", len(present) - len(stated))
    facts = {key: _fact(key, fields[key], entry, findings) for key in stated}
    return _Record(name, points, facts) if name else None


def _fact(key: str, value: Any, entry: str, findings: Findings) -> Any:
    """Check one fact: an index of a level or luminance, or the name of a scene or weather."""
    limit = _LIMITS.get(key)
    if limit is None:
        if not isinstance(value, str) or not value:
            findings.wrong(entry, key, expected="a name", found=shown(value))
        return value
    number = json_number(value, findings)
    if number not in range(limit):
        findings.wrong(entry, key, expected=f"a whole number from 0 to {limit - 1}", found=shown(value))
        return 0
    return int(number or 0)


# --- CSV ---


def _rows(path: Path, findings: Findings) -> list[_Record]:
    table = _table(path, findings)
    records: dict[str, _Record] = {}
    rows_without_point: Counter[str] = Counter()
    for row in table.rows:
        entry = f"line {row.line}"
        if row.fault:
            findings.wrong(entry, "row", expected=row.fault[0], found=row.fault[1])
        elif name := _image_name(row.cells["image"], entry, findings):
            point = _point([row.cells["x"], row.cells["y"]], entry, findings)
            records.setdefault(normpath(name), _Record(name, [], {})).points += point
            rows_without_point[normpath(name)] += not point
    both = sum(count for name, count in rows_without_point.items() if records[name].points)
    findings.note("rows without a point, of images that have points", both)
    for record in records.values():
        record.points = np.array(record.points, dtype=np.float64).reshape(-1, 2)
    return list(records.values())


def _table(path: Path, findings: Findings) -> CsvTable:
    text = read_text(path, "a table with the columns image, x and y", "check it, or copy it again")
    if not text.strip():
        return CsvTable(_HEADER, ",", [])
    try:
        table = parse_csv(text, _HEADER)
    except DataError as error:
        raise error.at(path) from error
    other = [name for name in table.columns if name not in _HEADER]
    findings.note(f"columns that are not read: {shown(', '.join(other))}", len(other))
    if table.separator != ",":
        findings.note(f"rows with {SEPARATORS[table.separator]} between cells", len(table.rows))
    return table


def _point(cells: Sequence[str], entry: str, findings: Findings) -> list[tuple[float, float]]:
    """Return a list of one point; empty for two empty cells, and after a finding."""
    if not any(cells):
        return []
    x, y = (decimal(cell) for cell in cells)
    for name, number, cell in (("x", x, cells[0]), ("y", y, cells[1])):
        if number is None or not abs(number) <= FARTHEST:
            expected = f"a number of pixels, at most {FARTHEST:,.0f}"
            findings.wrong(entry, name, expected=expected, found=shown(cell))
    return [] if x is None or y is None else [(x, y)]
