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
from visionzoo.inference.joint_writing import prediction_writer
from visionzoo.inference.parts import folder_of, require_same_inputs
from visionzoo.inference.result_files import part_of
from visionzoo.inference.resuming import JOURNAL, PARTS, earlier_run, journal_lines
from visionzoo.inference.writing import PredictionWriter


@dataclass(frozen=True, order=True)
class _Entry:
    """The results of one input: its number, and the lines of the journal and the entries of each file about it."""

    number: int
    is_usable: bool
    files: tuple[str, ...]
    entries: dict[str, tuple[bytes, bool]]


def merge_parts(
    out: Path,
    inferencer: Inferencer,
    images: tuple[str, ...],
    about: dict[str, Any],
    count: int,
    **further: Any,
) -> PredictionWriter:
    """Merge the complete parts of a run into its folder, and remove them. Return the writer of the merged run.

    Arguments are those of :class:`PredictionWriter`, with the number of parts instead of a part. If merging is
    interrupted, it starts again: the parts are removed when the merged run is complete.

    Raises:
        InputError: the parts did not see the same inputs.
    """
    require_same_inputs(out, count)
    with prediction_writer(out, inferencer, images, about, **further) as whole:
        for writer in dict.fromkeys((*whole.parts.values(), whole)):
            _merge(writer, [folder_of(out, number) / writer.out.relative_to(out) for number in range(count)])
    shutil.rmtree(out / PARTS)
    return whole


def _merge(writer: PredictionWriter, folders: Sequence[Path]) -> None:
    """Write the results that the parts have in these folders."""
    writer.count_in(earlier for folder in folders if (earlier := earlier_run(folder)) is not None)
    for entry in heapq.merge(*map(_entries_of, folders), key=lambda each: each.number):
        writer.take(entry.files, entry.entries, is_usable=entry.is_usable)


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
