"""All errors that a user can cause.

::

    ZooError                  exit code 2 (wrong use), unless stated otherwise
     ├─ ConfigError           a config that cannot be run; lists every problem at once
     │   └─ CardError         a model card that violates the schema; lists every problem
     ├─ UnknownName           an unknown name, with the nearest known one
     ├─ PluginError           an installed plugin that cannot be found or imported
     ├─ DataError             data that is missing, unreadable or inconsistent
     ├─ InputError            an input of inference that cannot be read or is not valid
     ├─ OutputError           a path that cannot be written, or a full disk
     ├─ CheckpointError       weights that are missing, unsafe, broken or for another model
     ├─ MissingExtra          an optional package that is not installed
     ├─ MissingOp             a compiled mmcv op without a replacement here
     ├─ BrokenOps             a compiled mmcv that is installed but does not load
     └─ RunFailed             exit code 1: a valid task that failed (NaN loss, failed check)

An error stores its facts, and the message is built from them::

    ZooError(path, expected="a config file", found="a folder", advice="name a file in it")
    path: expected a config file, found a folder; name a file in it

``but`` replaces ``found`` where a reason fits better: ``expected a readable file, but permission denied``. A sentence
of another form is the only argument: ``ZooError("conv.weight has no gradient")``. The first line of every message is
one complete sentence. Only lists (config problems, findings in a file, checkpoint mismatches) follow
below it.

A caller adds the outer place of an error, such as the file, by :meth:`ZooError.at`. It never edits the message.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

# Python stores a byte of a file name that is not UTF-8 as one of the surrogates U+DC80 to U+DCFF.
_NOT_UTF8 = re.compile("[\ud800-\udfff]")
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def as_utf8(text: str) -> str:
    """Return a text with an escape such as ``\\xff`` for each byte of a file name that is not UTF-8.

    Example:
        >>> import os
        >>> as_utf8(os.fsdecode(b"caf\\xe9.jpg"))
        'caf\\\\xe9.jpg'
    """
    return _NOT_UTF8.sub(_escape, text)


def on_one_line(text: str) -> str:
    """Return a text with escapes for its control characters and for bytes that are not UTF-8, for a message.

    Example:
        >>> on_one_line("two\\nlines.jpg")
        'two\\\\nlines.jpg'
    """
    return _CONTROLS.sub(lambda match: repr(match[0])[1:-1], as_utf8(text))


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


class ZooError(Exception):
    """Base of all errors that a user can cause; the command line prints it without a traceback.

    Bytes of file names that are not UTF-8 are written as escapes, see :func:`as_utf8`.

    Args:
        where: the file, option, key or part with the error. Without ``expected``, the whole sentence.
        problems: printed as a list below the first line.
        expected: the expected value or state, without the word "expected".
        found: the actual value or state, without the word "found".
        but: a reason, instead of ``found``.
        advice: how to fix the error.

    Example:
        >>> str(ZooError("batch size", expected="a number >= 1", found="0", advice="use 1"))
        'batch size: expected a number >= 1, found 0; use 1'
    """

    exit_code = 2

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
        self.where = "" if expected is None else on_one_line(f"{where}")
        self.expected, self.found, self.but, self.advice = expected, found, but, advice
        self.problems = tuple(problems)
        sentence = _message(where if expected is None else self.where, expected, found, but, advice)
        super().__init__(as_utf8("\n".join([sentence, *(f"  - {problem}" for problem in self.problems)])))

    @property
    def sentence(self) -> str:
        """The first line of the message, without the lists below it."""
        return str(self).partition("\n")[0]

    def at(self, place: object, kind: type[ZooError] | None = None) -> ZooError:
        """Return the error with ``place`` in front of its message, or unchanged if the message begins with ``place``.

        Args:
            place: the file, input or key that contains ``where``.
            kind: the class of the result (default: the same class).

        Example:
            >>> str(DataError("line 3", expected="a number", found="'x'", advice="correct it").at("points.txt"))
            "points.txt: line 3: expected a number, found 'x'; correct it"
        """
        kind, place = kind or type(self), on_one_line(f"{place}")
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
    """A config that cannot be run.

    Example:
        >>> print(ConfigError("a.py", ["model: add it", "task: add it"], expected="a config", found="2 problems"))
        a.py: expected a config, found 2 problems
          - model: add it
          - task: add it
    """


class CardError(ConfigError):
    """A model card that cannot be read or violates the schema."""


class UnknownName(ZooError, LookupError):
    """An unknown name.

    Args:
        name: the unknown name, or a value of another type.
        kind: the word for the named object, ``model``.
        known: the names that exist.
        hint: added to the message, for example the command that lists all names.

    Example:
        >>> str(UnknownName("RCNett", kind="model", known=["RCNet", "FPN"]))
        "no model is called 'RCNett'; did you mean 'RCNet'?"
    """

    def __init__(self, name: object, *, kind: str, known: Iterable[str], hint: str = ""):
        self.name, self.kind, self.nearest = f"{name}", kind, nearest_name(f"{name}", known)
        if not isinstance(name, str):
            super().__init__(f"{kind} takes a name, found {article_of(name)}; {hint or one_of(known)}")
            return
        answer = f"did you mean {self.nearest!r}?" if self.nearest else hint or one_of(known)
        super().__init__(f"no {kind} is called {name!r}; {answer}" + (f" ({hint})" if hint and self.nearest else ""))


class PluginError(ZooError):
    """An installed plugin that cannot be found or imported."""


class DataError(ZooError):
    """Data that is missing, unreadable or inconsistent."""


class InputError(ZooError):
    """An input of inference that cannot be read or is not valid."""


class OutputError(ZooError):
    """A path that cannot be written, or a full disk."""


class CheckpointError(ZooError):
    """Weights that are missing, unsafe, broken or for another model."""


class MissingExtra(ZooError, ImportError):
    """An optional package that is not installed.

    Example:
        >>> str(MissingExtra("onnx", "export"))
        'needs onnx: pip install "visionzoo[export]"'
    """

    def __init__(self, package: str, extra: str, *, where: str = ""):
        prefix = f"{where}: " if where else ""
        super().__init__(f'{prefix}needs {package}: pip install "visionzoo[{extra}]"')
        self.package, self.extra, self.where = package, extra, where


class MissingOp(ZooError, NotImplementedError):
    """A compiled mmcv op without a replacement here."""


class BrokenOps(ZooError, ImportError):
    """A compiled mmcv that is installed but does not load; it is never replaced silently."""


class RunFailed(ZooError):
    """A valid task that ran and failed (a NaN loss, a check below its threshold)."""

    exit_code = 1


def _message(where: object, expected: str | None, found: str | None, but: str | None, advice: str | None) -> str:
    if expected is None:
        if (found, but, advice) != (None, None, None):
            raise TypeError("an error with found, but or advice needs expected; or write one whole sentence")
        return f"{where}"
    if found is not None and but is not None:
        raise TypeError("an error has found or but, not both")
    answer = f", found {found}" if found is not None else "" if but is None else f", but {but}"
    message = f"expected {expected}{answer}" + ("" if advice is None else f"; {advice}")
    return f"{where}: {message}" if f"{where}" else message


def _rebuilt(kind: type[ZooError], message: str, data: Mapping[str, Any]) -> ZooError:
    """Return an error of ``kind`` with this message and these attributes, without calling ``__init__``."""
    error = kind.__new__(kind)
    super(ZooError, error).__init__(message)
    error.__dict__.update(data)
    return error


def in_cwd(path: object) -> str:
    """Return ``" (in CWD)"`` for a relative path, which explains why it was not found, and "" for an absolute one.

    Example:
        >>> in_cwd("/data/coco")
        ''
    """
    return "" if os.path.isabs(f"{path}") else f" (in {os.getcwd()})"


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most similar to ``name``, or None if none is similar.

    Example:
        >>> nearest_name("lane", ["lanes", "kernel"])
        'lanes'
    """
    by_folded = {other.lower(): other for other in known}
    matches = difflib.get_close_matches(name.lower(), by_folded, n=1, cutoff=0.6)
    return by_folded[matches[0]] if matches else None


def one_of(known: Iterable[str], most: int = 12) -> str:
    """Return a sorted list of known names as text.

    Example:
        >>> one_of(["lanes", "counting", "saliency"], most=2)
        'known: counting, lanes and 1 more'
    """
    names = sorted(known)
    return f"known: {some_of(names, most)}" if names else "nothing is registered"


def nearest_or_known(name: str, known: Collection[str], most: int = 12) -> str:
    """Return the advice for an unknown name: the nearest known name, or the list of known names.

    Example:
        >>> nearest_or_known("scn", ["scnn", "hmode"])
        "did you mean 'scnn'?"
    """
    nearest = nearest_name(name, known)
    return f"did you mean {nearest!r}?" if nearest else one_of(known, most)


def require_known(name: object, known: Collection[str], kind: str) -> None:
    """Raise an error if a name is not known.

    Raises:
        UnknownName: ``name`` is not a string, or ``known`` does not contain it.
    """
    if not isinstance(name, str) or name not in known:
        raise UnknownName(name, kind=kind, known=known)


def article_of(value: object) -> str:
    """Return the kind of a value with its article, for a message.

    Example:
        >>> article_of({}), article_of(3), article_of(None)
        ('a dict', 'the number 3', 'None')
    """
    if isinstance(value, Mapping):
        return "a dict"
    if isinstance(value, (list, tuple)):
        return "a list"
    return f"the number {value}" if isinstance(value, (int, float)) and not isinstance(value, bool) else f"{value!r}"


def require_none_missing(missing: Sequence[str], where: object, *, expected: str, advice: str) -> None:
    """Raise an error if ``missing`` is not empty.

    Args:
        missing: names of missing files or entries.
        where: see :class:`ZooError`, also for ``expected`` and ``advice``.

    Raises:
        DataError: the message has the number of missing names and the first of them.
    """
    if missing:
        raise DataError(where, expected=expected, found=f"{len(missing)} missing ({first_of(missing)})", advice=advice)


def first_of(names: Iterable[str], most: int = 3) -> str:
    """Return the first names, followed by dots if there are more.

    Example:
        >>> first_of(["a", "b", "c", "d"])
        'a, b, c, ...'
    """
    listed = list(names)
    return ", ".join(listed[:most]) + (", ..." if len(listed) > most else "")


def some_of(names: Iterable[str], most: int) -> str:
    """Return the first names and the number of the other names.

    Example:
        >>> some_of(["a", "b", "c", "d"], most=2)
        'a, b and 2 more'
    """
    listed = list(names)
    return ", ".join(listed[:most]) + (f" and {len(listed) - most} more" if len(listed) > most else "")


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, which has an s unless the number is 1.

    Example:
        >>> counted(1, "epoch"), counted(1500, "iteration")
        ('1 epoch', '1,500 iterations')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
