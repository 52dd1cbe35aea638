"""Files that hold the results of all inputs. They grow entry by entry, and an interrupted run can continue them.

Every entry is complete, or it is not in the file. ``size`` is the number of bytes of the complete entries. A file that
is opened with ``keep`` keeps its first ``keep`` bytes and continues after them.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from visionzoo.system.atomic import cannot_write


class Lines:
    """A file of lines, usually JSON. Its last line is always complete.

    Args:
        path: the file.
        keep: number of bytes to keep of the file of an interrupted run; None for a new file.
    """

    def __init__(self, path: Path, keep: int | None = None):
        self.path = path
        try:
            self.file: IO[bytes] = open(path, "wb" if keep is None else "r+b", buffering=0)  # noqa: SIM115
            if keep is not None:
                self.file.truncate(keep)
                self.file.seek(keep)
        except OSError as error:
            raise cannot_write(path, error) from error

    @property
    def size(self) -> int:
        return self.file.tell()

    def add(self, record: dict[str, Any]) -> None:
        """Write a record as a line of JSON."""
        self.add_text(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")

    def add_text(self, text: str) -> None:
        """Write all of ``text``, or nothing of it if writing fails."""
        # A name that is not UTF-8 has lone surrogates. As backslash escapes they are valid in JSON.
        self._add_bytes(text.encode(errors="backslashreplace"))

    def take(self, entries: bytes, *, is_start: bool) -> None:
        """Write entries of another file of this kind.

        Args:
            entries: a part of that file, after its opening.
            is_start: True if the part begins at the start of that file.
        """
        self._add_bytes(entries)

    def _add_bytes(self, data: bytes) -> None:
        start, written = self.file.tell(), 0
        try:
            while written < len(data):
                written += self.file.write(data[written:])
        except OSError as error:
            self.file.seek(start)
            self.file.truncate()
            raise cannot_write(self.path, error) from error

    def close(self, *, complete: bool = True) -> None:
        self.file.close()


class Rows(Lines):
    """A CSV file whose first row names the columns. Its last row is always complete."""

    def add(self, record: dict[str, Any]) -> None:
        """Write a row. The first row determines the columns."""
        if self.size == 0:
            self.add_text(_csv_line(record))
        self.add_text(_csv_line(record.values()))

    def take(self, entries: bytes, *, is_start: bool) -> None:
        """Write rows. The names of the columns are left out if this file has them."""
        if self.size and is_start and entries:
            text = io.StringIO(entries.decode(), newline="")
            next(csv.reader(text))  # reads only the lines of the first row
            entries = text.read().encode()
        super().take(entries, is_start=is_start)


def _csv_line(cells: Iterable[Any]) -> str:
    page = io.StringIO(newline="")
    csv.writer(page, lineterminator="\n").writerow(cells)
    return page.getvalue()


class CocoResults(Lines):
    """A JSON array. Its file has a hidden name until it is complete, see :func:`part_of`.

    Args:
        path: the file.
        keep: see :class:`Lines`.
        values: values of an object, of which the array is the last one; None for only an array.
        key: key of the array in the object.
    """

    def __init__(self, path: Path, keep: int | None = None, values: Mapping[str, Any] | None = None, key: str = ""):
        self.final = path
        before = "" if values is None else json.dumps({**values, key: []}, ensure_ascii=False)[: -len("[]}")]
        self._opening, self._closing = f"{before}[", "]" if values is None else "]}"
        part = part_of(path)
        if keep is not None and not part.exists():
            os.replace(path, part)
        super().__init__(part, keep)
        if keep is None:
            self.add_text(self._opening)
        self._empty = len(self._opening.encode(errors="backslashreplace"))

    def add_all(self, entries: list[dict[str, Any]]) -> None:
        """Write the entries of one image."""
        texts = [json.dumps(entry, allow_nan=False) for entry in entries]
        if texts:
            self.add_text(("\n" if self.size == self._empty else ",\n") + ",\n".join(texts))

    def take(self, entries: bytes, *, is_start: bool) -> None:
        """Write entries of another array, which begin with a line break or with a comma and a line break."""
        _, _, texts = entries.partition(b"\n")
        if texts:
            super().take((b"\n" if self.size == self._empty else b",\n") + texts, is_start=is_start)

    def close(self, *, complete: bool = True) -> None:
        """Close the array and rename the file to its final path, if it is ``complete``."""
        if complete:
            self.add_text(("" if self.size == self._empty else "\n") + self._closing + "\n")
        super().close()
        if complete:
            try:
                os.replace(self.path, self.final)
            except OSError as error:
                raise cannot_write(self.final, error) from error


def part_of(path: Path) -> Path:
    """Return the hidden name of a file that is not complete."""
    return path.with_name(f".{path.name}.part")
