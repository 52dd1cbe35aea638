"""Lists of paths, in a file or on stdin: one per line, or separated by NUL as ``find -print0`` writes them.

A list is read lazily. Line ends may be ``\\n`` or ``\\r\\n``, and a byte order mark of UTF-8 is skipped. Blank lines
are skipped, as are lines that begin with ``#``, unless a file has this name. Names between NULs are taken as they are.
Bytes that are not UTF-8 stand for the same bytes of a file name.
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import IO, Any

from visionzoo.errors import InputError, nearest_name
from visionzoo.structures.file_kinds import kind_of

Stream = IO[str] | IO[bytes] | Iterable[str] | Iterable[bytes]

_CHUNK = 1 << 16
_BINARY = re.compile(rb"[\x01-\x08\x0e-\x1f]")


def names_of_file(path: str) -> Iterator[str]:
    """Return the paths in a list file.

    Raises:
        InputError: the file is missing, a folder, not a list of paths, or names no path. The call raises it.
    """
    try:
        file = open(path, "rb")  # noqa: SIM115 - _closing closes it
    except IsADirectoryError as error:
        raise InputError(
            f"@{path}", expected="a list of paths", found="a folder", advice=f"give {path} without @"
        ) from error
    except FileNotFoundError as error:
        raise InputError(
            f"@{path}", expected="a list of paths", found="no such file", advice=_nearest_list(path)
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        reason = getattr(error, "strerror", None) or f"{error}"
        raise InputError(f"@{path}", expected="a list of paths", but=reason, advice="check the path") from error
    return names_in(_closing(file), f"@{path}")


def names_in(stream: Stream, where: str) -> Iterator[str]:
    """Return the paths in a list. Bytes that are not UTF-8 are surrogates, as :func:`os.fsdecode` returns them.

    Args:
        stream: bytes, text or an iterable of lines. It is read as needed, but its first path is read by the call.
        where: ``-`` or ``@FILE``, for errors.

    Raises:
        InputError: the stream is not a list of paths, or names no path. The call raises it.

    Example:
        >>> list(names_in([b"a.jpg\\0two\\nlines.jpg\\0"], "-")), list(names_in([b"a.jpg\\r\\n", b"# c\\n"], "-"))
        (['a.jpg', 'two\\nlines.jpg'], ['a.jpg'])
    """
    chunks = _chunks(stream)
    start = _start_of(chunks)
    _require_list(start, where)
    names = map(os.fsdecode, _split(chain([start.removeprefix(codecs.BOM_UTF8)], chunks), b"\0" in start))
    first = next(names, None)
    if first is None:
        found = "no path" if start else "nothing" if where == "-" else "an empty file"
        raise InputError(where, expected="at least one path", found=found, advice="write one path per line")
    return chain([first], names)


def _closing(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        yield from iter(partial(file.read, _CHUNK), b"")


def _chunks(stream: Any) -> Iterator[bytes]:
    """Yield the bytes of a stream as soon as they arrive."""
    stream = getattr(stream, "buffer", stream)
    if hasattr(stream, "read1"):
        yield from iter(partial(stream.read1, _CHUNK), b"")
        return
    for line in stream:
        yield line if isinstance(line, bytes) else os.fsencode(line if "\0" in line else line.rstrip("\n") + "\n")


def _start_of(chunks: Iterator[bytes]) -> bytes:
    """Return the first chunks, up to the first end of a name."""
    start = b""
    for chunk in chunks:
        start += chunk
        if b"\0" in chunk or b"\n" in chunk:
            break
    return start


def _require_list(start: bytes, where: str) -> None:
    kind = kind_of(start)
    if kind is None and not _BINARY.search(re.split(rb"[\0\n]", start, maxsplit=1)[0]):
        return
    advice = "write one path per line" if kind is None else kind.advice
    if kind is not None and (kind.is_image or kind.noun == "a video"):
        advice = "name the file itself" if where == "-" else f"give {where[1:]} without @"
    found = "bytes that are not text" if kind is None else kind.noun
    raise InputError(where, expected="a list of paths", found=found, advice=advice)


def _split(chunks: Iterator[bytes], by_nul: bool) -> Iterator[bytes]:
    """Yield the names of a list. A list of lines may contain NULs after its first lines; they end a name too."""
    end = re.compile(rb"\0" if by_nul else rb"[\0\n]")
    rest = b""
    for chunk in chain(chunks, [b"\0"]):
        *names, rest = end.split(rest + chunk)
        for name in names:
            if not by_nul:
                name = name.strip()
            if name and (by_nul or not name.startswith(b"#") or os.path.exists(name)):
                yield name


def _nearest_list(path: str) -> str:
    folder = Path(path).parent
    try:
        nearest = nearest_name(Path(path).name, (each.name for each in folder.iterdir() if each.is_file()))
    except (OSError, ValueError):
        nearest = None
    return f"did you mean @{folder / nearest}?" if nearest else "check the path"
