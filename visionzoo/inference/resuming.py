"""What an interrupted inference leaves, so that a later one continues it.

The output folder has the file ``.infer.jsonl``, the journal of the run. It has two kinds of lines:

- ``{"file": "vis/a.jpg"}`` before a file is written,
- ``{"done": 12, "sizes": {...}, "tally": {...}, ...}`` after an input, where the run can continue: the number of inputs
  so far, the sizes of the files that grow, and the numbers of the results since the line before (see
  :class:`visionzoo.tasks.Tally`). No video and no group is open at such a place.

A run that continues cuts these files to the sizes of the last such line. ``run.json`` has the settings that determine
the results; the settings of a run that continues must be equal.

The folder of a model with several tasks has a journal, and so has the folder of each task. Such a run continues after
the last input that all of them have. Journals may have millions of lines, so they are read line by line.
"""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import json
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visionzoo.errors import InputError
from visionzoo.inference.result_files import part_of
from visionzoo.inference.taken_names import FILE as TAKEN
from visionzoo.system.paths import shown_path
from visionzoo.tasks import Tally
from visionzoo.tasks.inputs.base import Source

if TYPE_CHECKING:
    import torch

JOURNAL = ".infer.jsonl"
PARTS = ".parts"  # folder of the parts of a run that several processes share, see :mod:`visionzoo.inference.parts`
_LINES = "predictions.jsonl"
_FILES = (
    _LINES, "predictions.csv", "predictions.coco.json", "panoptic.json", "tusimple.json", "run.json",
    "gallery/entries.js", TAKEN,
)  # fmt: skip
_HIDDEN = re.compile(r"\.(.+)\.\d+\.part(\.\w+)?", re.DOTALL)  # of write_file and DrawnVideo
_FOLDERS = ("vis", "raw", "lines", "sheets")  # of earlier versions, which had no journal


@dataclass
class Earlier:
    """An interrupted or complete run in a folder.

    Attributes:
        run: its ``run.json``.
        place: the last line of the journal at which the run can continue; empty if it begins again.
        size: size of the journal in bytes up to that line.
        count: number of lines of ``predictions.jsonl`` that are kept.
        folder: folder of the run.
        tally: numbers of the results of these lines.
        sources: all inputs of the run that continues.
        parts: the runs of its tasks, by task, for a model with several.
    """

    run: dict[str, Any]
    place: dict[str, Any]
    size: int
    count: int
    folder: Path = field(default_factory=Path)
    tally: Tally = field(default_factory=Tally)
    sources: Iterator[Source] = field(default_factory=lambda: iter(()))
    parts: Mapping[str, Earlier] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return bool(self.run.get("complete"))

    def kept(self) -> Iterator[str]:
        """Yield the names of the inputs that are kept. They are read one by one, because there may be millions.

        Raises:
            ValueError: a line is absent or not JSON.
        """
        if not self.count:
            return
        with open(self.folder / _LINES, encoding="utf-8", newline="\n") as file:
            for _ in range(self.count):
                yield json.loads(file.readline())["input"]

    def require_same(self, out: Path, settings: Mapping[str, Any]) -> None:
        """Raise an error if the run has other settings.

        Raises:
            InputError: the message names the first setting that differs.
        """
        earlier = self.run.get("settings", {})
        chosen = json.loads(json.dumps(settings))
        for name in {**chosen, **earlier}:
            value = chosen.get(name)
            if earlier.get(name) != value and name.startswith("hash of "):
                raise InputError(
                    "--resume",
                    expected=f"{name.removeprefix('hash of ')} of the run in {out}",
                    found="other values",
                    advice="give the --weights and options of that run, or leave out --resume for a new folder",
                )
            if earlier.get(name) != value:
                raise InputError(
                    "--resume",
                    expected=f"{name} {json.dumps(earlier.get(name))} as in {out / 'run.json'}",
                    found=json.dumps(value),
                    advice="give the options of that run, or leave out --resume for a new folder",
                )

    def skip(self) -> Iterator[Source]:
        """Take the kept inputs from ``sources`` and yield them, so that the next one is the first to process.

        Raises:
            InputError: the inputs differ from those of the run. The message names the first difference.
        """
        for number, name in enumerate(self.kept(), start=1):
            source = next(self.sources, None)
            if source is None or source.name != name:
                raise InputError(
                    "--resume",
                    expected=f"{name} as input {number}, as in the run to continue",
                    found="no further input" if source is None else source.name,
                    advice="give the inputs of that run in the same order, or leave out --resume for a new folder",
                )
            yield source.without_pixels()

    def require_all(self) -> None:
        """Raise an error if ``sources`` are not exactly the inputs of this complete run.

        Raises:
            InputError: the message names the first difference.
        """
        for _ in self.skip():
            pass
        further = next(self.sources, None)
        if further is not None:
            raise InputError(
                "--resume",
                expected=f"the {self.count} inputs of the complete run",
                found=f"{further.name} after them",
                advice="leave out --resume for a new folder",
            )


def earlier_run(out: Path) -> Earlier | None:
    """Return the run of inference in a folder; None without a run that can continue."""
    run = _run_in(out)
    if "settings" not in run:
        return None
    names = tasks_in(run)
    folders = [out / name for name in names]
    try:
        last = _last_common_number([out, *folders]) if names else sys.maxsize
        earlier = _at_place(out, run, last)
        runs = [{**_run_in(folder), "complete": earlier.complete} for folder in folders]
        parts = [_at_place(folder, own, last) for folder, own in zip(folders, runs, strict=True)]
        for each in (earlier, *parts):
            for _ in each.kept():  # raises an error if a user removed or changed the predictions
                pass
    except (OSError, ValueError, KeyError):
        return None
    earlier.parts = dict(zip(names, parts, strict=True))
    return earlier


def tasks_in(run: Mapping[str, Any]) -> list[str]:
    """Return the tasks of a run, by its ``run.json``, if it has several."""
    return run["task"] if isinstance(run.get("task"), list) else []


def _run_in(out: Path) -> dict[str, Any]:
    try:
        run = json.loads((out / "run.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return run if isinstance(run, dict) else {}


def _last_common_number(folders: Sequence[Path]) -> int:
    """Return the largest number of inputs after which the runs in all folders can continue; 0 without such a number."""
    numbers = heapq.merge(*((record["done"] for record, _ in _places(folder)) for folder in folders))
    return max((number for number, same in groupby(numbers) if len(list(same)) == len(folders)), default=0)


def _at_place(out: Path, run: dict[str, Any], last: int) -> Earlier:
    """Read the journal up to the last line at which the run can continue, after at most ``last`` inputs."""
    place: dict[str, Any] = {}
    size, tally = 0, Tally()
    for record, end in _places(out):
        if record["done"] > last:
            break
        place, size, tally = record, end, tally + Tally.from_json(record.get("tally", {}))
    count = run["inputs"] if run.get("complete") else place.get("done", 0)
    return Earlier(run, place, size, count, out, tally)


def _places(out: Path) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield the lines of a journal at which the run can continue, and the position in bytes after each."""
    end = 0
    found: dict[str, int] = {}
    for line in journal_lines(out / JOURNAL):
        end += len(line)
        record = _record(line)
        if "done" in record and not _has_sizes(out, record["sizes"], found):
            return  # the sizes of later lines are not smaller
        if "done" in record:
            yield record, end


def journal_lines(path: Path, start: int = 0) -> Iterator[bytes]:
    """Yield the lines of a journal from a position in bytes."""
    with open(path, "rb") as file:
        file.seek(start)
        yield from file


def _record(line: bytes) -> dict[str, Any]:
    """Return a line of the journal; empty for the incomplete last line."""
    try:
        return json.loads(line)
    except ValueError:
        return {}


def _has_sizes(out: Path, sizes: Mapping[str, int], found: dict[str, int]) -> bool:
    """Return True if the files have at least these sizes, which a power failure can prevent.

    Args:
        out: folder of the files.
        sizes: sizes in bytes by name.
        found: the sizes that the files have, filled for each new name.
    """
    for name, size in sizes.items():
        if name not in found:
            files = (out / name, part_of(out / name))
            found[name] = max((path.stat().st_size for path in files if path.is_file()), default=-1)
        if found[name] < size:
            return False
    return True


def newest_run(wanted: Path) -> Path:
    """Return the folder of a run of inference to resume, among ``wanted``, ``wanted-2``, ...; else ``wanted``.

    It is the newest run that is not complete; if all are complete, the newest run.
    """
    name = re.compile(rf"{re.escape(wanted.name)}(-\d+)?")
    beside = wanted.parent.iterdir() if wanted.parent.is_dir() else ()
    runs = [path for path in beside if name.fullmatch(path.name) and (path / JOURNAL).is_file()]
    return max(runs, key=lambda path: (not _is_complete(path), (path / JOURNAL).stat().st_mtime_ns), default=wanted)


def interrupted_text(folder: Path) -> str:
    """Return the sentence about an interrupted run of inference in a folder; empty if the folder has none."""
    run = _run_in(folder)
    parts = sorted((folder / PARTS).glob("[0-9]*")) or [folder]
    known = [earlier for path in parts if (earlier := earlier_run(path)) is not None]
    if not known or run.get("complete"):
        return ""
    total = run.get("total")
    number = f"{sum(each.count for each in known)}" + (f" of {total}" if isinstance(total, int) else "")
    return f"{shown_path(folder)} has the results of {number} inputs (interrupted); --resume finishes it"


def _is_complete(folder: Path) -> bool:
    run = _run_in(folder)
    return "settings" in run and bool(run.get("complete"))


def fingerprint(model: torch.nn.Module) -> str:
    """Return a short hash of all parameters and buffers of a model.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 2)
        >>> before = fingerprint(model)
        >>> _ = torch.nn.init.zeros_(model.bias)
        >>> before == fingerprint(model), len(before)
        (False, 16)
    """
    import torch

    digest = hashlib.blake2b(digest_size=8)
    for name, value in model.state_dict().items():
        digest.update(name.encode())
        if isinstance(value, torch.Tensor):
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def digest_of(values: Any) -> str:
    """Return a short hash of nested dicts, lists and plain values.

    Example:
        >>> digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
        True
    """
    text = json.dumps(values, sort_keys=True, default=lambda value: getattr(value, "__name__", type(value).__name__))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def remove_unfinished(out: Path, earlier: Earlier) -> None:
    """Remove the incomplete files of a killed run, which have hidden names.

    Args:
        out: folder of the files that the journal names.
        earlier: the killed run.
    """
    names: dict[Path, set[str]] = {earlier.folder: {"run.json"}}
    for line in journal_lines(earlier.folder / JOURNAL, earlier.size):
        if name := _record(line).get("file", ""):
            names.setdefault((out / name).parent, set()).add(Path(name).name)
    for folder, own in names.items():
        for path in folder.iterdir() if folder.is_dir() else ():
            hidden = _HIDDEN.fullmatch(path.name)
            if hidden and f"{hidden[1]}{hidden[2] or ''}" in own:
                path.unlink()


def remove_old_results(out: Path) -> None:
    """Remove only those files that an earlier run of inference wrote into ``out``, and folders that are empty then."""
    parts = sorted((out / PARTS).glob("[0-9]*"))
    for name in tasks_in(_run_in(out)):
        _remove_results(out / name, [part / name for part in parts])
        with contextlib.suppress(OSError):  # it has files of the user
            (out / name).rmdir()
    _remove_results(out, parts)
    if parts:
        shutil.rmtree(out / PARTS, ignore_errors=True)


def _remove_results(out: Path, parts: Sequence[Path]) -> None:
    """Remove the files in ``out`` that a run wrote, by its journal and by those of its parts."""
    journals = [path for folder in (out, *parts) if (path := folder / JOURNAL).is_file()]
    if not (out / _LINES).is_file() and not journals:
        return
    for name in _FILES:
        (out / name).unlink(missing_ok=True)
        part_of(out / name).unlink(missing_ok=True)
    if not journals:
        for name in _FOLDERS:
            shutil.rmtree(out / name, ignore_errors=True)
        return
    folders: set[Path] = set()
    for journal in journals:
        for line in journal_lines(journal):
            if name := _record(line).get("file", ""):
                (out / name).unlink(missing_ok=True)
                folders |= {parent for parent in Path(name).parents if parent != Path()}
        journal.unlink()
    for folder in sorted(folders, key=lambda path: len(path.parts), reverse=True):
        with contextlib.suppress(OSError):  # it has files of the user
            (out / folder).rmdir()
