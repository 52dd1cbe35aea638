"""Damage files of every format, read them, and count what happens.

``PYTHONPATH=tests python -m reliability`` repeats the numbers of ``docs/reliability.md``; ``--write`` updates it.

Each mutation begins with a small valid data set, damages one file of it and reads everything that a run would read:
annotations, images, and the samples after the pipeline. Its outcome is one of

- ``read``: the contents are what an independent, plain reader of the same file finds;
- ``refused``: an error of the package whose first line is one sentence (the command line prints it, exit code 2);
- a failure: any other exception, other contents, or no end within the time limit.
"""

from __future__ import annotations

import gc
import importlib
import pkgutil
import signal
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, ClassVar

from reliability import formats
from visionzoo.errors import ZooError

SECONDS = 30
UNKNOWN = object()


class Format:
    """One format. A module in ``formats/`` has one subclass or more.

    Attributes:
        name: name in tables.
        damages: functions of :mod:`reliability.mutations` by weight, with the pattern of the files they damage.
    """

    name: ClassVar[str]
    damages: ClassVar[Sequence[tuple[str, Callable[[Path, Random], str]]]]

    def write(self, folder: Path, random: Random) -> None:
        """Write a small valid data set."""
        raise NotImplementedError

    def read(self, folder: Path, workers: int = 0) -> Any:
        """Read everything that a run reads, and return its contents in plain values that can be compared."""
        raise NotImplementedError

    def truth(self, folder: Path) -> Any:
        """Return the contents as an independent, plain reader finds them; UNKNOWN if it cannot read the file."""
        return UNKNOWN

    def damage(self, folder: Path, random: Random) -> str:
        """Damage one file and return a description."""
        pattern, mutation = random.choice(self.damages)
        return mutation(random.choice(sorted(path for path in folder.glob(pattern) if path.is_file())), random)


@dataclass
class Tally:
    """Counts of outcomes, and the failures with what was damaged."""

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def all_formats() -> dict[str, Format]:
    """Return the formats by name."""
    for module in pkgutil.iter_modules(formats.__path__):
        importlib.import_module(f"{formats.__name__}.{module.name}")
    found = list(_subclasses(Format))
    return {each.name: each() for each in sorted(found, key=lambda each: each.name)}


def _subclasses(cls: type) -> Iterator[type]:
    for each in cls.__subclasses__():
        if "name" in vars(each):
            yield each
        yield from _subclasses(each)


def run(each: Format, count: int, *, seed: int = 0, workers: int = 0) -> Tally:
    """Read ``count`` damaged data sets of a format, after one that is whole, whose reading imports what is needed."""
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        each.write(Path(folder), Random(seed))
        each.read(Path(folder), workers)
    gc.freeze()  # data sets collect garbage when they are built, which takes most of the time without this
    for number in range(count):
        with tempfile.TemporaryDirectory() as folder:
            outcome, details = attempt(each, Path(folder), Random(f"{each.name} {seed} {number}"), workers)
        tally.outcomes[outcome] += 1
        if outcome not in ("read", "refused"):
            tally.failures.append(f"{each.name} {seed} {number}: {outcome}: {details}")
    gc.unfreeze()
    return tally


def attempt(each: Format, folder: Path, random: Random, workers: int = 0) -> tuple[str, str]:
    """Damage one data set and read it. Return the outcome, and what was damaged with the details of a failure."""
    each.write(folder, random)
    done = each.damage(folder, random)
    try:
        with _at_most(SECONDS), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tests turn a warning of the zoo into an exception
            contents = each.read(folder, workers)
    except ZooError as error:
        return ("refused", done) if _is_one_sentence(error) else ("unclear error", f"{done}: {error}")
    except TimeoutError:
        return "no end", done
    except BaseException:
        return "traceback", f"{done}: {traceback.format_exc(limit=-3)}"
    truth = each.truth(folder)
    if truth is UNKNOWN or truth == contents:
        return "read", done
    return "other contents", f"{done}: expected {truth!r:.300}, found {contents!r:.300}"


def _is_one_sentence(error: ZooError) -> bool:
    first = error.sentence
    return 20 < len(first) < 600 and first.isprintable() and "Traceback" not in str(error)


@contextmanager
def _at_most(seconds: int) -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def table(rows: dict[str, tuple[Tally, Tally]]) -> str:
    """Return the outcomes as a Markdown table."""
    lines = [
        "| format | mutations | read | refused | failures | by a worker |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, (tally, worked) in rows.items():
        counts = tally.outcomes
        failures = len(tally.failures) + len(worked.failures)
        numbers = [counts.total(), counts["read"], counts["refused"], failures, worked.outcomes.total()]
        lines.append(f"| {name} | {' | '.join(f'{number:,}' for number in numbers)} |")
    return "\n".join(lines)
