"""Every error a user can cause.

::

    ZooError                  exit code 2 (wrong use), unless said otherwise
     ├─ ConfigError           a config that cannot be run; lists every problem at once
     │   └─ CardError         a model card that breaks the schema, in the same way
     ├─ UnknownName           a name that nothing has, with the nearest one that exists
     ├─ PluginError           an installed plugin that cannot be found or imported
     ├─ DataError             data that is missing, unreadable or contradicts itself
     ├─ InputError            an input of inference that cannot be read or understood
     ├─ OutputError           a place that cannot be written, or is full
     ├─ CheckpointError       weights that are missing, unsafe, broken or of another model
     ├─ MissingExtra          an optional package that is not installed
     ├─ MissingOp             a compiled mmcv op that nothing here replaces
     ├─ BrokenOps             a compiled mmcv that is installed but does not load
     └─ RunFailed             exit code 1: the task was right but failed (NaN loss, failed check)

The first line of every message is one complete sentence, ``where: expected, found,
what to do``; only lists (config problems, checkpoint mismatches) may follow below it.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Sequence


class ZooError(Exception):
    """Base of all errors that a user can cause; the command line prints it without a traceback."""

    exit_code = 2


class ConfigError(ZooError):
    """A config that cannot be run. ``problems`` are printed as a list below the first line."""

    def __init__(self, message: str, problems: Sequence[str] = ()):
        self.problems = tuple(problems)
        super().__init__("\n".join([message, *(f"  - {problem}" for problem in self.problems)]))


class CardError(ConfigError):
    """A model card that cannot be read or breaks the schema."""


class UnknownName(ZooError, LookupError):
    """``no <kind> is called 'x'; did you mean 'y'?`` where ``known`` are the names that exist."""

    def __init__(self, name: str, *, kind: str, known: Iterable[str], hint: str = ""):
        self.name, self.kind, self.nearest = name, kind, nearest_name(name, known)
        answer = f"did you mean {self.nearest!r}?" if self.nearest else hint or one_of(known)
        super().__init__(f"no {kind} is called {name!r}; {answer}" + (f" ({hint})" if hint and self.nearest else ""))


class PluginError(ZooError):
    """An installed plugin that cannot be found or imported."""


class DataError(ZooError):
    """Data that is missing, unreadable or contradicts itself."""


class InputError(ZooError):
    """An input of inference that cannot be read or understood."""


class OutputError(ZooError):
    """A place that cannot be written, or a disk that is full."""


class CheckpointError(ZooError):
    """Weights that are missing, unsafe, broken or of another model."""


class MissingExtra(ZooError, ImportError):
    """``needs <package>: pip install "visionzoo[<extra>]"``."""

    def __init__(self, package: str, extra: str, *, where: str = ""):
        prefix = f"{where}: " if where else ""
        super().__init__(f'{prefix}needs {package}: pip install "visionzoo[{extra}]"')


class MissingOp(ZooError, NotImplementedError):
    """A compiled mmcv op that nothing here replaces."""


class BrokenOps(ZooError, ImportError):
    """A compiled mmcv that is installed but does not load; it is never replaced silently."""


class RunFailed(ZooError):
    """The task was set up right, ran, and failed (a NaN loss, a check below its threshold)."""

    exit_code = 1


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to ``name``, or None when none is near.

    >>> nearest_name("lane", ["lanes", "kernel"])
    'lanes'
    """
    by_folded = {other.lower(): other for other in known}
    found = difflib.get_close_matches(name.lower(), by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None


def one_of(known: Iterable[str], most: int = 12) -> str:
    """A short list of what exists: ``known: a, b, c and 4 more``."""
    names = sorted(known)
    return f"known: {some_of(names, most)}" if names else "nothing is registered"


def require_known(name: object, known: Collection[str], kind: str) -> None:
    """Pass a name that exists.

    Raises:
        UnknownName: ``known`` does not have the name.
    """
    if name not in known:
        raise UnknownName(str(name), kind=kind, known=known)


def first_of(names: Iterable[str], most: int = 3) -> str:
    """The first names, and dots where there are more.

    >>> first_of(["a", "b", "c", "d"])
    'a, b, c, ...'
    """
    listed = list(names)
    return ", ".join(listed[:most]) + (", ..." if len(listed) > most else "")


def some_of(names: Iterable[str], most: int) -> str:
    """The first names, and how many more there are.

    >>> some_of(["a", "b", "c", "d"], most=2)
    'a, b and 2 more'
    """
    listed = list(names)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")
