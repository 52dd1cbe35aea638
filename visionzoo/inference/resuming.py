"""What an interrupted inference leaves, so that a later one continues it.

The output folder has the file ``.infer.jsonl``, the journal of the run. It has two kinds of lines:

- ``{"file": "vis/a.jpg"}`` before a file is written,
- ``{"done": 12, "sizes": {...}, "tally": {...}, ...}`` after an input, where the run can continue: the number of inputs
  so far, the sizes of the files that grow, and the numbers of the results since the line before (see
  :class:`visionzoo.tasks.Tally`). No video and no group is open at such a place.

A run that continues cuts these files to the sizes of the last such line. ``run.json`` has the settings that determine
the results; the settings of a run that continues must be equal.

The folder of a model with several tasks has a journal, and so has the folder of each task. Such a run
continues after the last input that all of them have.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visionzoo.errors import InputError
from visionzoo.inference.result_files import part_of
from visionzoo.system.paths import shown_path
from visionzoo.tasks import Tally
from visionzoo.tasks.inputs.base import Source

if TYPE_CHECKING:
    import torch

JOURNAL = ".infer.jsonl"
_LINES = "predictions.jsonl"
_FILES = (
    _LINES, "predictions.csv", "predictions.coco.json", "panoptic.json", "tusimple.json", "run.json",
    "gallery/entries.js",
)  # fmt: skip
_HIDDEN = re.compile(r"\.(.+)\.\d+\.part(\.\w+)?", re.DOTALL)  # of write_file and DrawnVideo
_FOLDERS = ("vis", "raw", "lines", "sheets")  # of earlier versions, which had no journal


@dataclass(frozen=True)
class Kept:
    """One line of ``predictions.jsonl`` that is kept.

    Attributes:
        input: name of the input.
        has_result: False if the input was unusable.
        group: group of the input; None without groups.
    """

    input: str
    has_result: bool
    group: str | None = None


@dataclass
class Earlier:
    """An interrupted or complete run in a folder.

    Attributes:
        run: its ``run.json``.
        place: the last line of the journal at which the run can continue; empty if it begins again.
        size: size of the journal in bytes up to that line.
        kept: the lines of ``predictions.jsonl`` that are kept.
        tally: numbers of the results of these lines.
        sources: the inputs of these lines, filled by :meth:`skip`.
        parts: the runs of its tasks, by task, for a model with several.
    """

    run: dict[str, Any]
    place: dict[str, Any]
    size: int
    kept: list[Kept]
    tally: Tally = field(default_factory=Tally)
    sources: list[Source] = field(default_factory=list)
    parts: Mapping[str, Earlier] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return bool(self.run.get("complete"))

    def groups(self) -> Counter[str | None]:
        """Return the number of kept inputs of each group."""
        return Counter(line.group for line in self.kept)

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

    def skip(self, sources: Iterator[Source]) -> None:
        """Take the kept inputs from ``sources``, so that the next one is the first to process.

        Raises:
            InputError: the inputs differ from those of the run. The message names the first difference.
        """
        for number, line in enumerate(self.kept, start=1):
            source = next(sources, None)
            if source is None or source.name != line.input:
                raise InputError(
                    "--resume",
                    expected=f"{line.input} as input {number}, as in the run to continue",
                    found="no further input" if source is None else source.name,
                    advice="give the inputs of that run in the same order, or leave out --resume for a new folder",
                )
            self.sources.append(source.without_pixels())
        for part in self.parts.values():
            part.sources = self.sources
        further = next(sources, None) if self.complete else None
        if further is not None:
            raise InputError(
                "--resume",
                expected=f"the {len(self.kept)} inputs of the complete run",
                found=f"{further.name} after them",
                advice="leave out --resume for a new folder",
            )


def earlier_run(out: Path) -> Earlier | None:
    """Return the run of inference in a folder; None without a run that can continue."""
    run, journal = _run_in(out), _journal_of(out)
    if journal is None or "settings" not in run:
        return None
    names = tasks_in(run)
    if not names:
        return _earlier_at(out, run, journal, _last_place(out, journal))
    numbers = [_numbers_of(folder) for folder in (out, *(out / name for name in names))]
    return _joint_at(out, run, names, max(set.intersection(*numbers), default=0))


def tasks_in(run: Mapping[str, Any]) -> list[str]:
    """Return the tasks of a run, by its ``run.json``, if it has several."""
    return run["task"] if isinstance(run.get("task"), list) else []


def _run_in(out: Path) -> dict[str, Any]:
    try:
        run = json.loads((out / "run.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return run if isinstance(run, dict) else {}


def _journal_of(out: Path) -> bytes | None:
    try:
        return (out / JOURNAL).read_bytes()
    except OSError:
        return None


def _earlier_at(out: Path, run: dict[str, Any], journal: bytes, at: tuple[dict[str, Any], int]) -> Earlier | None:
    place, size = at
    count = run["inputs"] if run.get("complete") else place.get("done", 0)
    try:
        return Earlier(run, place, size, _kept_lines(out / _LINES, count), _tally_in(journal[:size]))
    except (OSError, ValueError):  # a user removed or changed the predictions
        return None


def _joint_at(out: Path, run: dict[str, Any], names: Sequence[str], number: int) -> Earlier | None:
    """Return the run of several tasks after some inputs; None if a part of it is missing."""
    found = []
    for folder in (out, *(out / name for name in names)):
        journal = _journal_of(folder)
        own = run if folder == out else _run_in(folder)
        if journal is None or "inputs" not in own:
            return None
        own = {**own, "complete": run.get("complete")}
        found.append(_earlier_at(folder, own, journal, _last_place(folder, journal, number)))
    whole, *parts = found
    if whole is None or any(part is None for part in parts):
        return None
    whole.parts = {name: part for name, part in zip(names, parts, strict=True) if part is not None}
    return whole


def _numbers_of(out: Path) -> set[int]:
    """Return the numbers of inputs after which a run can continue."""
    records = map(_record, (_journal_of(out) or b"").splitlines())
    return {record["done"] for record in records if "done" in record and _has_sizes(out, record["sizes"])}


def _last_place(out: Path, journal: bytes, number: int | None = None) -> tuple[dict[str, Any], int]:
    """Return the last line at which the run can continue, and the size of the journal up to it; empty and 0 if none.

    With ``number``, it is the line after this number of inputs.
    """
    end = len(journal)
    for line in reversed(journal.splitlines(keepends=True)):
        record = _record(line)
        if number in (None, record.get("done")) and "done" in record and _has_sizes(out, record["sizes"]):
            return record, end
        end -= len(line)
    return {}, 0


def _tally_in(journal: bytes) -> Tally:
    tallies = (Tally.from_json(_record(line).get("tally", {})) for line in journal.splitlines())
    return sum(tallies, start=Tally())


def _record(line: bytes) -> dict[str, Any]:
    """Return a line of the journal; empty for the incomplete last line."""
    try:
        return json.loads(line)
    except ValueError:
        return {}


def _has_sizes(out: Path, sizes: Mapping[str, int]) -> bool:
    """Return True if the files have at least these sizes, which a power failure can prevent."""
    for name, size in sizes.items():
        found = [path.stat().st_size for path in (out / name, part_of(out / name)) if path.is_file()]
        if not found or max(found) < size:
            return False
    return True


def _kept_lines(path: Path, count: int) -> list[Kept]:
    kept: list[Kept] = []
    if count:
        with open(path, encoding="utf-8", newline="\n") as file:
            for _ in range(count):
                record = json.loads(file.readline())
                kept.append(Kept(record["input"], "error" not in record, record.get("group")))
    return kept


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
    earlier = earlier_run(folder)
    if earlier is None or earlier.complete:
        return ""
    total = earlier.run.get("total")
    number = f"{len(earlier.kept)}" + (f" of {total}" if isinstance(total, int) else "")
    return f"{shown_path(folder)} has the results of {number} inputs (interrupted); --resume finishes it"


def _is_complete(folder: Path) -> bool:
    earlier = earlier_run(folder)
    return earlier is not None and earlier.complete


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
    """Remove the incomplete files of a killed run, which have hidden names."""
    names: dict[Path, set[str]] = {out: {"run.json"}}
    for line in (out / JOURNAL).read_bytes()[earlier.size :].splitlines():
        if name := _record(line).get("file", ""):
            names.setdefault((out / name).parent, set()).add(Path(name).name)
    for folder, own in names.items():
        for path in folder.iterdir() if folder.is_dir() else ():
            hidden = _HIDDEN.fullmatch(path.name)
            if hidden and f"{hidden[1]}{hidden[2] or ''}" in own:
                path.unlink()


def remove_old_results(out: Path) -> None:
    """Remove only those files that an earlier run of inference wrote into ``out``, and folders that are empty then."""
    for name in tasks_in(_run_in(out)):
        remove_old_results(out / name)
        with contextlib.suppress(OSError):  # it has files of the user
            (out / name).rmdir()
    if not (out / _LINES).is_file() and not (out / JOURNAL).is_file():
        return
    for name in _FILES:
        (out / name).unlink(missing_ok=True)
        part_of(out / name).unlink(missing_ok=True)
    if not (out / JOURNAL).is_file():
        for name in _FOLDERS:
            shutil.rmtree(out / name, ignore_errors=True)
        return
    folders = set()
    for line in (out / JOURNAL).read_bytes().splitlines():
        if name := _record(line).get("file", ""):
            (out / name).unlink(missing_ok=True)
            folders |= {parent for parent in Path(name).parents if parent != Path()}
    (out / JOURNAL).unlink()
    for folder in sorted(folders, key=lambda path: len(path.parts), reverse=True):
        with contextlib.suppress(OSError):  # it has files of the user
            (out / folder).rmdir()
