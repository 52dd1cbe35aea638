"""Merging of the parts of a run in the order of the inputs, see :mod:`visionzoo.inference.parts`.

The files that grow are read and written entry by entry. The journal of a part states where the entries of each input
end.
"""

from __future__ import annotations

import heapq
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from visionzoo.inference.inferencer import Inferencer
from visionzoo.inference.parts import folder_of, require_same_inputs
from visionzoo.inference.result_files import part_of
from visionzoo.inference.resuming import JOURNAL, PARTS, earlier_run, journal_lines
from visionzoo.inference.writing import PredictionWriter
from visionzoo.tasks import Tally


@dataclass(frozen=True, order=True)
class _Entry:
    """The results of one input: its number, and the lines of the journal and the entries of each file about it."""

    number: int
    is_usable: bool
    files: tuple[str, ...]
    entries: dict[str, tuple[bytes, bool]]


class MergedRun(PredictionWriter):
    """Context manager that merges the complete parts of a run into its folder.

    Arguments are those of :class:`PredictionWriter`, with the number of parts instead of a part. If merging is
    interrupted, it starts again: the parts are removed when the merged run is complete.

    Raises:
        InputError: the parts did not see the same inputs.
    """

    def __init__(
        self,
        out: Path,
        inferencer: Inferencer,
        images: tuple[str, ...],
        about: dict[str, Any],
        count: int,
        *,
        saves: Sequence[str] = (),
        crops: bool = False,
        gallery: bool = False,
    ):
        require_same_inputs(out, count)
        super().__init__(out, inferencer, images, about, saves=saves, crops=crops, gallery=gallery)
        self._folders = [folder_of(out, number) for number in range(count)]
        runs = [earlier for folder in self._folders if (earlier := earlier_run(folder)) is not None]
        self.started = min(self._started_of(run.run) for run in runs)
        self.tally = self._unnoted = sum((run.tally for run in runs), start=Tally())

    def _started_of(self, run: dict[str, Any]) -> float:
        return self.started - run.get("seconds", 0.0)

    def merge(self) -> None:
        """Write the results of all parts."""
        for entry in heapq.merge(*map(_entries_of, self._folders), key=lambda each: each.number):
            for name in entry.files:
                self._journal.add({"file": name})
            for name, (data, is_start) in entry.entries.items():
                self._tables[name].take(data, is_start=is_start)
            self.done += 1
            self.failed += not entry.is_usable
            self._note_progress()

    def __enter__(self) -> MergedRun:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: object) -> None:
        super().__exit__(kind, error, trace)
        if kind is None:
            shutil.rmtree(self.out / PARTS)


def _entries_of(folder: Path) -> Iterator[_Entry]:
    """Yield the results of a part, in their order."""
    files: list[str] = []
    sizes: dict[str, int] = {}
    tables: dict[str, IO[bytes]] = {}
    try:
        for line in journal_lines(folder / JOURNAL):
            record = json.loads(line)
            files += [record["file"]] if "file" in record else []
            if "end" not in record:
                continue
            end = record["end"]
            if end["number"]:
                entries = {name: _read(tables, folder / name, sizes[name], size) for name, size in end["sizes"].items()}
                yield _Entry(end["number"], end["usable"], tuple(files), entries)
            files, sizes = [], end["sizes"]
    finally:
        for table in tables.values():
            table.close()


def _read(tables: dict[str, IO[bytes]], path: Path, start: int, end: int) -> tuple[bytes, bool]:
    """Return the bytes of a file between two positions, and True if they begin with its first entry."""
    name = str(path)
    if name not in tables:
        tables[name] = open(path if path.exists() else part_of(path), "rb")  # noqa: SIM115
        tables[name].seek(start)
    return tables[name].read(end - start), start == 0
