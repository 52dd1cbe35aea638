"""Lists of images and phrases: CSV with the columns image and text, or lines of JSON with these keys."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from visionzoo.datasets.findings import shown
from visionzoo.datasets.json_objects import parse_json
from visionzoo.errors import DataError, InputError, ZooError
from visionzoo.system.csv_files import parse_csv
from visionzoo.system.text_files import read_text

ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson")
_COLUMNS = ("image", "text")
_EXPECTED = "a CSV file with the columns image and text, or lines of JSON with these keys"


class ListedPhrase(NamedTuple):
    """One entry of a list.

    Attributes:
        image: path of the image or video; relative to the working folder, else to the folder of the list.
        text: the phrase.
        error: the reason why the entry cannot be used, else None.
    """

    image: str
    text: str
    error: ZooError | None = None


def is_list_of_phrases(item: Any) -> bool:
    """Return True for the path of a list, by its ending.

    Example:
        >>> is_list_of_phrases("pairs.csv"), is_list_of_phrases("a.jpg")
        (True, False)
    """
    return isinstance(item, str | os.PathLike) and os.fspath(item).lower().endswith(ENDINGS)


def read_phrase_list(path: str | os.PathLike[str]) -> list[ListedPhrase]:
    """Read a list. An entry that cannot be used has an error, and the others are read.

    Raises:
        InputError: the file cannot be read, has no entry, or lacks a column.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "pairs.csv").write_text("image,text\\na.jpg,left box\\n", encoding="utf-8-sig")
        ...     read_phrase_list(f"{folder}/pairs.csv")
        [ListedPhrase(image='a.jpg', text='left box', error=None)]
    """
    try:
        text = read_text(Path(path).expanduser(), _EXPECTED, "check the path")
        is_table = os.fspath(path).lower().endswith((".csv", ".tsv"))
        entries = list(_of_table(text) if is_table else _of_lines(text))
    except DataError as error:
        raise error.at(path, InputError) from error
    if not entries:
        raise InputError(path, expected=_EXPECTED, found="no entry", advice="write one line for each phrase")
    folder = Path(path).expanduser().parent
    return [_placed(each, path, folder) for each in entries]


def _placed(entry: ListedPhrase, path: str | os.PathLike[str], folder: Path) -> ListedPhrase:
    error = None if entry.error is None else entry.error.at(path)
    return entry._replace(image=_found(entry.image, folder), error=error)


def _found(image: str, folder: Path) -> str:
    path = os.path.expanduser(image)
    return str(folder / path) if not os.path.exists(path) and os.path.exists(folder / path) else image


def _of_table(text: str) -> Iterator[ListedPhrase]:
    for row in parse_csv(text, required=_COLUMNS).rows:
        if row.fault:
            expected, found = row.fault
            error = InputError(f"line {row.line}", expected=expected, found=found, advice="put phrases in quotes")
            yield ListedPhrase(f"line {row.line}", "", error)
        else:
            yield _checked(row.cells["image"], row.cells["text"], row.line)


def _of_lines(text: str) -> Iterator[ListedPhrase]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            record = parse_json(line, f"line {number}")
        except DataError as error:
            yield ListedPhrase(f"line {number}", "", error.at(f"line {number}", InputError))
            continue
        yield _checked(record.get("image"), record.get("text"), number)


def _checked(image: Any, text: Any, line: int) -> ListedPhrase:
    for key, value, advice in (("image", image, "write its path"), ("text", text, "write one line for each phrase")):
        if not isinstance(value, str) or not value.strip():
            found = "none" if value in (None, "") else shown(value)
            error = InputError(f"line {line}: {key}", expected=f"one {key}", found=found, advice=advice)
            name = image if isinstance(image, str) and image else f"line {line}"
            return ListedPhrase(name, text if isinstance(text, str) else "", error)
    return ListedPhrase(image, text.strip())
