"""Tables with one or several rows for each image: CSV, JSON lines, or a JSON list of objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os.path import normpath
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from visionzoo.errors import DataError, in_cwd

NAMES = ("image", "input", "path", "file_name", "filename", "file", "name", "id")


class Row(NamedTuple):
    """One row: its place in the file, the name of its image, and its cells by column."""

    place: str
    name: str
    cells: dict[str, Any]


def read_rows(path: Path, what: str) -> list[Row]:
    """Read a table; the first of ``NAMES`` that is a column has the images.

    The lines of `visionzoo infer` have their numbers in ``result``, which are read as columns; lines without a result
    are left out.

    Args:
        path: ``.csv``, ``.jsonl`` or ``.json``.
        what: what the file has, for errors.

    Raises:
        DataError: the file is missing, empty or of another form, or a row has no image.
    """
    if not path.is_file():
        found = "a folder" if path.is_dir() else f"no such file{in_cwd(path)}"
        raise DataError(path, expected=f"{what} (.csv, .jsonl or .json)", found=found, advice="check the path")
    listed = _csv(path, what) if path.suffix.lower() == ".csv" else _json(path, what)
    rows = [_row(place, cells, path) for place, cells in listed if cells]
    if not rows:
        raise DataError(path, expected=what, found="no row", advice="check how the file was made")
    return rows


def _row(place: str, cells: dict[str, Any], path: Path) -> Row:
    column = next((name for name in NAMES if name in cells), None)
    value = None if column is None else cells[column]
    if not isinstance(value, str | int) or not f"{value}".strip():
        found = "none" if value is None else f"{value!r:.40}"
        raise DataError(f"{path}: {place}", expected=f"an image in {' or '.join(NAMES)}", found=found)
    return Row(f"{path}: {place}", normpath(f"{value}".replace("\\", "/")), cells)


def _csv(path: Path, what: str) -> Iterable[tuple[str, dict[str, Any]]]:
    from visionzoo.system.csv_files import SEPARATORS, parse_csv
    from visionzoo.system.text_files import read_text

    text = read_text(path, what, "check it, or copy it again")
    header = text.partition("\n")[0].lower()
    for separator in SEPARATORS:
        header = header.replace(separator, ",")
    columns = [cell.strip(" \"'\r") for cell in header.split(",")]
    required = [name for name in NAMES if name in columns][:1] or ["image"]
    try:
        table = parse_csv(text, required)
    except DataError as error:
        raise error.at(path) from error
    for row in table.rows:
        if row.fault:
            raise DataError(f"{path}: line {row.line}", expected=row.fault[0], found=row.fault[1])
        yield f"line {row.line}", dict(row.cells)


def _json(path: Path, what: str) -> Iterable[tuple[str, dict[str, Any]]]:
    from visionzoo.datasets.json_objects import parse_json, read_json_value
    from visionzoo.system.text_files import read_text

    if path.suffix.lower() == ".jsonl":
        lines = enumerate(read_text(path, what, "check it").splitlines(), start=1)
        entries = [
            (f"line {number}", parse_json(line, f"{path}: line {number}")) for number, line in lines if line.strip()
        ]
    else:
        value = read_json_value(path, what, "write a list of objects")
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            found = f"a JSON {type(value).__name__}"
            raise DataError(path, expected=f"{what}, a list of objects", found=found, advice="write one for each image")
        entries = [(f"entry {number}", each) for number, each in enumerate(value)]
    for place, entry in entries:
        is_of_infer = "input" in entry and ("result" in entry or "error" in entry)
        yield place, _flat(entry) if is_of_infer else entry


def _flat(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a line of `visionzoo infer`; empty for a line without a result."""
    result = entry.get("result")
    return {"image": entry["input"], **result} if isinstance(result, dict) else {}


def same_names(found: Sequence[str], expected: Sequence[str]) -> dict[str, str]:
    """Return the name of the truth for each name of a prediction; other names are unchanged.

    If no name is in both, and file names are unique on both sides, they are compared without folders.

    Example:
        >>> same_names(["out/a.jpg", "out/c.jpg"], ["test/a.jpg", "test/b.jpg"])
        {'out/a.jpg': 'test/a.jpg', 'out/c.jpg': 'out/c.jpg'}
    """
    unchanged = {name: name for name in found}
    if set(found) & set(expected):
        return unchanged
    files = {PurePosixPath(name).name: name for name in expected}
    if len(files) < len(set(expected)) or len({PurePosixPath(name).name for name in found}) < len(set(found)):
        return unchanged
    return {name: files.get(PurePosixPath(name).name, name) for name in found}
