"""Results of one model on one data set: a file of JSON lines that grows batch by batch and survives a kill.

The first line states model, digest and data set. Each further line is the record of one sample, in the order of the
data set. A batch is appended by one write. After a kill the file may end within a batch; the next run keeps the whole
batches and continues after them, so that every batch has the images that it has in an uninterrupted run.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from visionzoo.errors import DataError
from visionzoo.suites._base import Record
from visionzoo.system.atomic import cannot_write

UNSAFE = re.compile(r"[^\w.+-]+")  # in file names
Watch = Callable[[Sequence[Any]], Iterable[Any]]


def result_path(out: Path, data: str, model: str, digest: str) -> Path:
    """Return the file of the results of a model on a data set.

    Example:
        >>> result_path(Path("out"), "geode", "work_dirs/my model", "0a1b").as_posix()
        'out/results/geode/work_dirs_my_model.0a1b.jsonl'
    """
    return out / "results" / data / f"{UNSAFE.sub('_', model)}.{digest}.jsonl"


class ResultFile:
    """The file of one model and data set.

    Args:
        path: the file.
        header: its first line.

    Raises:
        OutputError: the file cannot be written.
    """

    def __init__(self, path: Path, header: Mapping[str, Any]):
        self.path, self.header = path, dict(header)

    def fill(
        self, ids: Sequence[str], predict: Callable[[Sequence[int]], list[Record]], batch_size: int, watch: Watch = iter
    ) -> list[Record]:
        """Return the records of all samples; predict those that the file lacks, and append them.

        Args:
            ids: id of each sample.
            predict: returns the records of samples by number.
            batch_size: number of samples of a batch, >= 1.
            watch: shows the progress of a list.

        Raises:
            DataError: the file has the results of other samples.
            OutputError: the file cannot be written.
        """
        records = self._kept(ids, batch_size)
        try:
            with open(self.path, "ab") as file:
                starts = range(len(records), len(ids), batch_size)
                for start in watch(starts):
                    numbers = range(start, min(start + batch_size, len(ids)))
                    new = [{"id": ids[n], **record} for n, record in zip(numbers, predict(numbers), strict=True)]
                    file.write("".join(f"{json.dumps(record)}\n" for record in new).encode())
                    file.flush()
                    records += new
                os.fsync(file.fileno())
        except OSError as error:
            raise cannot_write(self.path, error) from error
        return records

    def _kept(self, ids: Sequence[str], batch_size: int) -> list[Record]:
        """Cut the file after its last whole batch, and return its records; write the first line of a new file."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            content = self.path.read_bytes() if self.path.exists() else b""
            lines = content.split(b"\n")[:-1]  # the part after the last end of line is incomplete
            if not lines:
                self.path.write_text(f"{json.dumps(self.header)}\n", encoding="utf-8")
                return []
            records = _records(lines[1:], self.path)
            _require_same(records, ids, self.path)
            if len(records) >= len(ids):
                return records[: len(ids)]
            whole = len(records) - len(records) % batch_size
            os.truncate(self.path, sum(len(line) + 1 for line in lines[: 1 + whole]))
        except OSError as error:
            raise cannot_write(self.path, error) from error
        return records[:whole]


def read_results(path: Path) -> tuple[dict[str, Any], list[Record]]:
    """Return the first line and the records of a file; an incomplete last line is left out.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except OSError as error:
        raise DataError(path, expected="a file of results", but=f"{error.strerror}", advice="check it") from error
    headers = _records(lines[:1], path)
    return (headers[0] if headers else {}), _records(lines[1:], path)


def _records(lines: Sequence[bytes], path: Path) -> list[Record]:
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict):
            raise DataError(
                f"{path}: line {number}", expected="a JSON object", found=f"{line[:40]!r}", advice="remove the file"
            )
        records.append(record)
    return records


def _require_same(records: Sequence[Record], ids: Sequence[str], path: Path) -> None:
    """Raise an error unless the records are those of the first samples."""
    for number, (record, wanted) in enumerate(zip(records, ids)):
        if record.get("id") != wanted:
            raise DataError(
                f"{path}: sample {number + 1}",
                expected=f"id {wanted}, as in the data set",
                found=f"{record.get('id')}",
                advice="the data changed: choose another folder with -o, or remove the file",
            )
