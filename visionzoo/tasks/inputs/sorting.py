"""Sorting of any number of names in constant memory.

A million names take about 100 MB as Python strings. Here, blocks of them are sorted one by one and kept in temporary
files, which are merged while the names are read (external merge sort).
"""

from __future__ import annotations

import heapq
import marshal
import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import IO

_BLOCK = 50_000  # names in memory at a time, about 5 MB
_PAGE = 500  # names that are read at a time of each sorted block


def sorted_texts(texts: Iterable[str], block: int = _BLOCK) -> Iterator[str]:
    """Return texts sorted by code point. The call reads all of them; at most ``block`` are in memory.

    Args:
        texts: the texts, which may contain any character.
        block: number of texts that are sorted in memory, >= 1. More texts need a temporary file for each block.

    Example:
        >>> list(sorted_texts(["c", "a", "d", "b", "a"], block=2))
        ['a', 'a', 'b', 'c', 'd']
    """
    remaining = iter(texts)
    files: list[IO[bytes]] = []
    while names := sorted(islice(remaining, block)):
        if not files and len(names) < block:
            return iter(names)
        files.append(_stored(names))
    return heapq.merge(*map(_read, files))


def _stored(names: list[str]) -> IO[bytes]:
    """Return a temporary file with the names, which the system removes when it is closed."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - _read closes it
    for start in range(0, len(names), _PAGE):
        marshal.dump(names[start : start + _PAGE], file)
    file.seek(0)
    return file


def _read(file: IO[bytes]) -> Iterator[str]:
    with file:
        while True:
            try:
                names = marshal.load(file)
            except EOFError:
                return
            yield from names
