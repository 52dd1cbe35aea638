"""What an interrupted inference leaves, so that a later one continues it.

The output folder has the file ``.infer.jsonl``, the journal of the run. It has two kinds of lines:

- ``{"file": "vis/a.jpg"}`` before a file is written,
- ``{"done": 12, "sizes": {...}, "tally": {...}, ...}`` after an input, where the run can continue: the number of inputs
  so far, the sizes of the files that grow, and the numbers of the results since the line before (see
  :class:`visionzoo.tasks.Tally`). No video and no group is open at such a place.

A run that continues cuts these files to the sizes of the last such line. ``run.json`` has the settings that determine
the results; the settings of a run that continues must be equal.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
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
        count: number of lines of ``predictions.jsonl`` that are kept.
        folder: folder of the run.
        tally: numbers of the results of these lines.
        sources: all inputs of the run that continues.
    """

    run: dict[str, Any]
    place: dict[str, Any]
    size: int
    count: int
    folder: Path = field(default_factory=Path)
    tally: Tally = field(default_factory=Tally)
    sources: Iterator[Source] = field(default_factory=lambda: iter(()))

    @property
    def complete(self) -> bool:
        return bool(self.run.get("complete"))

    def kept(self) -> Iterator[Kept]:
        """Yield the lines that are kept. They are read one by one, because there may be millions.

        Raises:
            ValueError: a line is absent or not JSON.
        """
        if not self.count:
            return
        with open(self.folder / _LINES, encoding="utf-8", newline="\n") as file:
            for _ in range(self.count):
                record = json.loads(file.readline())
                yield Kept(record["input"], "error" not in record, record.get("group"))

    def groups(self) -> Counter[str | None]:
        """Return the number of kept inputs of each group."""
        return Counter(line.group for line in self.kept())

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

    def skip(self) -> Iterator[tuple[Kept, Source]]:
        """Take the kept inputs from ``sources`` and yield them, so that the next one is the first to process.

        Raises:
            InputError: the inputs differ from those of the run. The message names the first difference.
        """
        for number, line in enumerate(self.kept(), start=1):
            source = next(self.sources, None)
            if source is None or source.name != line.input:
                raise InputError(
                    "--resume",
                    expected=f"{line.input} as input {number}, as in the run to continue",
                    found="no further input" if source is None else source.name,
                    advice="give the inputs of that run in the same order, or leave out --resume for a new folder",
                )
            yield line, source.without_pixels()

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
    if run is None or "settings" not in run:
        return None
    try:
        earlier = _at_last_place(out, run)
        for _ in earlier.kept():  # raises an error if a user removed or changed the predictions
            pass
    except (OSError, ValueError, KeyError):
        return None
    return earlier


def _run_in(out: Path) -> dict[str, Any] | None:
    try:
        run = json.loads((out / "run.json").read_bytes())
    except (OSError, ValueError):
        return None
    return run if isinstance(run, dict) else None


def _at_last_place(out: Path, run: dict[str, Any]) -> Earlier:
    """Read the journal up to the last line at which the run can continue."""
    place: dict[str, Any] = {}
    size = end = 0
    tally = unnoted = Tally()
    found: dict[str, int] = {}
    for line in journal_lines(out / JOURNAL):
        end += len(line)
        record = _record(line)
        if "done" not in record:
            continue
        unnoted += Tally.from_json(record.get("tally", {}))
        if _has_sizes(out, record["sizes"], found):
            place, size, tally = record, end, unnoted
    count = run["inputs"] if run.get("complete") else place.get("done", 0)
    return Earlier(run, place, size, count, out, tally)


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
    earlier = earlier_run(folder)
    if earlier is None or earlier.complete:
        return ""
    total = earlier.run.get("total")
    parts = [part for path in sorted((folder / PARTS).glob("[0-9]*")) if (part := earlier_run(path)) is not None]
    number = f"{sum(part.count for part in parts or [earlier])}" + (f" of {total}" if isinstance(total, int) else "")
    return f"{shown_path(folder)} has the results of {number} inputs (interrupted); --resume finishes it"


def _is_complete(folder: Path) -> bool:
    run = _run_in(folder)
    return run is not None and "settings" in run and bool(run.get("complete"))


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
    parts = sorted((out / PARTS).glob(f"*/{JOURNAL}")) if (out / PARTS).is_dir() else []
    if not (out / _LINES).is_file() and not (out / JOURNAL).is_file() and not parts:
        return
    for name in _FILES:
        (out / name).unlink(missing_ok=True)
        part_of(out / name).unlink(missing_ok=True)
    journals = [path for path in (out / JOURNAL, *parts) if path.is_file()]
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
    shutil.rmtree(out / PARTS, ignore_errors=True)
    for folder in sorted(folders, key=lambda path: len(path.parts), reverse=True):
        with contextlib.suppress(OSError):  # it has files of the user
            (out / folder).rmdir()
