"""Findings of a reader: everything that is wrong in one file, reported as one error."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType

from mmengine.logging import MMLogger, print_log

from visionzoo.errors import DataError, ZooError, some_of

# A byte of a file name that is not UTF-8, as repr shows it.
_NOT_UTF8 = re.compile(r"\\udc([89a-f][0-9a-f])")


class Findings:
    """Findings in one file or folder, collected by its reader.

    A reader reports each deviation from its format by :meth:`wrong` and reads on. At the end of the ``with`` block,
    one DataError states the number of findings and the first three. A value that is not in its usual form but has one
    obvious meaning is read in this meaning and reported by :meth:`note`; the end of the block prints one warning for
    all notes.

    Args:
        where: the file or folder, for the messages.
        expected: name of the format, for the error.
        advice: advice of the error.
        say_notes: False to print no warning, if another reader of the same file printed it.

    Raises:
        DataError: at the end of the block, if anything is wrong.

    Example:
        >>> with Findings("a.json", expected="COCO annotations") as findings:
        ...     findings.wrong("annotation 7", "bbox", expected="4 numbers", found="[1, 2]")
        Traceback (most recent call last):
        visionzoo.errors.DataError: a.json: annotation 7: bbox: expected 4 numbers, found [1, 2]; correct the file
    """

    MOST = 3

    def __init__(self, where: object, *, expected: str, advice: str = "correct the file", say_notes: bool = True):
        self.where, self.expected, self.advice, self._say_notes = where, expected, advice, say_notes
        self._first: list[DataError] = []
        self._counts: Counter[str] = Counter()
        self._notes: Counter[str] = Counter()

    def wrong(self, entry: object, field: str, *, expected: str, found: str) -> None:
        """Report a value that has no obvious meaning.

        Args:
            entry: the entry with the error, such as ``annotation 7`` or ``line 3``.
            field: name of the field. Findings are counted by field.
            expected: the expected value, without the word "expected".
            found: the actual value; see :func:`shown`.
        """
        self._counts[field] += 1
        for listen in _listeners:
            listen(self, f"{entry}", field, expected, found)
        if len(self._first) < self.MOST:
            self._first.append(DataError(f"{entry}: {field}", expected=expected, found=found))

    def note(self, text: str, count: int = 1) -> None:
        """Report ``count`` values that are read in their obvious meaning, such as ``area null, read as missing``."""
        if count:
            self._notes[text] += count

    def note_once(self, text: str) -> None:
        """Report a fact about the whole data set, without a number; an empty text is not reported."""
        if text:
            self._notes[text] = 0

    def __bool__(self) -> bool:
        """True if anything is wrong."""
        return bool(self._first)

    def __enter__(self) -> Findings:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self.close()

    def close(self) -> None:
        """Raise the error for all findings, or else print the notes.

        Raises:
            DataError: anything is wrong.
        """
        if self._first:
            raise self._error()
        if self._say_notes:
            say_notes(self.where, self._notes)

    def _error(self) -> ZooError:
        if self._counts.total() == 1:
            only = self._first[0]
            return DataError(
                f"{self.where}: {only.where}", expected=only.expected, found=only.found, advice=self.advice
            )
        counts = some_of((f"{count} {field}" for field, count in self._counts.most_common()), most=6)
        return DataError(
            self.where,
            [*map(str, self._first)],
            expected=self.expected,
            found=f"{self._counts.total()} errors ({counts})",
            advice=f"{self.advice}; the first {len(self._first)}:",
        )


def say_notes(where: object, notes: Mapping[str, int]) -> None:
    """Print one warning for notes about a file or folder.

    A run reads a file for each split of it. A note that differs only in its numbers from an earlier one of the same
    run about the same place is not printed again.

    Args:
        where: the file or folder.
        notes: from a note to the number of values; 0 for a note without a number.

    Example:
        >>> say_notes("a.json", {})
    """
    run = MMLogger.get_current_instance().instance_name if notes else ""
    new = {text: count for text, count in notes.items() if _is_new((run, f"{where}", re.sub(r"\d+", "", text)))}
    if new:
        joined = "; ".join(text + (f" ({count})" if count else "") for text, count in new.items())
        print_log(f"{where}: {joined}", "current", logging.WARNING)


Listener = Callable[[Findings, str, str, str, str], object]

_printed: set[tuple[str, str, str]] = set()
_listeners: list[Listener] = []


@contextmanager
def every_finding(listener: Listener) -> Iterator[None]:
    """Within the block, pass each finding of each reader to a function, and let say_notes repeat earlier notes.

    Args:
        listener: its arguments are the findings of the file, and entry, field, expected and found value of the new one.

    Example:
        >>> heard = []
        >>> with every_finding(lambda findings, *values: heard.append(values)):
        ...     Findings("a.json", expected="COCO").wrong("image 3", "id", expected="a number", found="none")
        >>> heard
        [('image 3', 'id', 'a number', 'none')]
    """
    _listeners.append(listener)
    earlier = _printed.copy()
    _printed.clear()
    try:
        yield
    finally:
        _listeners.remove(listener)
        _printed.update(earlier)


def _is_new(key: tuple[str, str, str]) -> bool:
    is_new = key not in _printed
    _printed.add(key)
    return is_new


def shown(value: object, most: int = 40) -> str:
    """Return a value as short text for a message; bytes of file names that are not UTF-8 are ``\\xff``, not surrogates.

    Example:
        >>> shown([1, "two"]), shown("x" * 50, most=8)
        ("[1, 'two']", "'xxxx...")
    """
    text = _NOT_UTF8.sub(r"\\x\1", repr(value))
    return text if len(text) <= most else f"{text[: most - 3]}..."
