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

An error carries data, and its message follows from them::

    ZooError(path, expected="a config file", found="a folder", advice="name a file in it")
    path: expected a config file, found a folder; name a file in it

``but`` takes the place of ``found`` where a reason fits better: ``expected a readable file, but permission denied``.
A sentence of another shape is the only argument: ``ZooError("conv.weight has no gradient")``. The first line of every
message is one complete sentence; only lists (config problems, checkpoint mismatches) may follow below it.

Code that knows a further place adds it with :meth:`ZooError.at`; it never edits the message.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any


class ZooError(Exception):
    """Base of all errors that a user can cause; the command line prints it without a traceback.

    Args:
        where: the file, option, key or part at fault; without ``expected``, the whole sentence.
        expected: what was expected there, without the word "expected".
        found: what is there instead, without the word "found".
        but: a reason in place of ``found``.
        advice: what to do about it.

    >>> str(ZooError("batch size", expected="a number >= 1", found="0", advice="use 1"))
    'batch size: expected a number >= 1, found 0; use 1'
    """

    exit_code = 2

    def __init__(
        self,
        where: object = "",
        *,
        expected: str | None = None,
        found: str | None = None,
        but: str | None = None,
        advice: str | None = None,
    ):
        self.where = "" if expected is None else f"{where}"
        self.expected, self.found, self.but, self.advice = expected, found, but, advice
        super().__init__(_message(where, expected, found, but, advice))

    @property
    def sentence(self) -> str:
        """The first line of the message, without the lists below it."""
        return str(self).partition("\n")[0]

    def at(self, place: object, kind: type[ZooError] | None = None) -> ZooError:
        """The same error with ``place`` in front; the error itself where its message begins with ``place`` already.

        Args:
            place: the file, input or key in which ``where`` lies.
            kind: the class of the result (default: the same class).

        >>> str(DataError("line 3", expected="a number", found="'x'", advice="correct it").at("points.txt"))
        "points.txt: line 3: expected a number, found 'x'; correct it"
        """
        kind = kind or type(self)
        if str(self).startswith(f"{place}:"):
            message, where = str(self), self.where
        else:
            message, where = f"{place}: {self}", f"{place}: {self.where}" if self.where else f"{place}"
        if type(self) is kind and message == str(self):
            return self
        moved = _rebuilt(kind, message, {**self.__dict__, "where": where})
        moved.__cause__, moved.__context__ = self.__cause__, self.__context__
        moved.__suppress_context__ = self.__suppress_context__
        return moved.with_traceback(self.__traceback__)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), str(self), self.__dict__)


class ConfigError(ZooError):
    """A config that cannot be run. ``problems`` are printed as a list below the first line."""

    def __init__(
        self,
        where: object = "",
        problems: Sequence[str] = (),
        *,
        expected: str | None = None,
        found: str | None = None,
        but: str | None = None,
        advice: str | None = None,
    ):
        super().__init__(where, expected=expected, found=found, but=but, advice=advice)
        self.problems = tuple(problems)
        self.args = ("\n".join([str(self), *(f"  - {problem}" for problem in self.problems)]),)


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
        self.package, self.extra, self.where = package, extra, where


class MissingOp(ZooError, NotImplementedError):
    """A compiled mmcv op that nothing here replaces."""


class BrokenOps(ZooError, ImportError):
    """A compiled mmcv that is installed but does not load; it is never replaced silently."""


class RunFailed(ZooError):
    """The task was set up right, ran, and failed (a NaN loss, a check below its threshold)."""

    exit_code = 1


def _message(where: object, expected: str | None, found: str | None, but: str | None, advice: str | None) -> str:
    if expected is None:
        if (found, but, advice) != (None, None, None):
            raise TypeError("an error with found, but or advice needs expected; or write one whole sentence")
        return f"{where}"
    if found is not None and but is not None:
        raise TypeError("an error says found or but, not both")
    answer = f", found {found}" if found is not None else "" if but is None else f", but {but}"
    message = f"expected {expected}{answer}" + ("" if advice is None else f"; {advice}")
    return f"{where}: {message}" if f"{where}" else message


def _rebuilt(kind: type[ZooError], message: str, data: Mapping[str, Any]) -> ZooError:
    """An error of ``kind`` from its message and attributes; the kinds' own arguments differ."""
    error = kind.__new__(kind)
    super(ZooError, error).__init__(message)
    error.__dict__.update(data)
    return error


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


def require_none_missing(missing: Sequence[str], where: object, *, expected: str, advice: str) -> None:
    """Pass only when nothing is missing.

    Raises:
        DataError: with the number of what is missing and the first names.
    """
    if missing:
        raise DataError(where, expected=expected, found=f"{len(missing)} missing ({first_of(missing)})", advice=advice)


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
