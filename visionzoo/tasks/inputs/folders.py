"""Files of folders that are inputs, and the files in them that are not read."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Set
from pathlib import Path

from visionzoo.errors import InputError, on_one_line, some_of
from visionzoo.structures.image_names import is_left_over


def files_in(folder: Path, recursive: bool, suffixes: Set[str]) -> list[Path]:
    """Return the files with one of the suffixes, sorted by path, without hidden files.

    Args:
        folder: an existing folder.
        recursive: True to search subfolders too.
        suffixes: in lower case, with the dot.

    Raises:
        InputError: the folder cannot be read.
    """
    return sorted(path for path in _paths(folder, recursive) if _is_read(path, folder, suffixes))


def left_out_of(folders: Iterable[Path], recursive: bool, suffixes: Set[str]) -> str:
    """Return which files of folders are not read, as text; empty if all are read.

    Args:
        folders, recursive, suffixes: see :func:`files_in`.

    Raises:
        InputError: a folder cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("a.jpg", "b.heic", "._a.jpg"):
        ...         Path(folder, name).touch()
        ...     left_out_of([Path(folder)], False, {".jpg"})
        '1 file (.heic), 1 hidden file'
    """
    endings: Counter[str] = Counter()
    hidden = subfolders = 0
    for folder in folders:
        for path in _paths(folder, recursive):
            if _is_hidden(path, folder):
                hidden += path.is_file()
            elif path.is_dir():
                subfolders += not recursive
            elif not _is_read(path, folder, suffixes):
                endings[path.suffix.lower() or "no ending"] += 1
    parts = {
        f"{_number(endings.total(), 'file')} ({some_of(sorted(endings), 6)})": endings.total(),
        _number(hidden, "hidden file"): hidden,
        f"{_number(subfolders, 'subfolder')} (add -r)": subfolders,
    }
    return on_one_line(", ".join(text for text, count in parts.items() if count))


def _paths(folder: Path, recursive: bool) -> list[Path]:
    try:
        return list(folder.rglob("*") if recursive else folder.iterdir())
    except OSError as error:
        raise InputError(
            folder, expected="a readable folder", but=f"{error.strerror}", advice="check its permissions"
        ) from error


def _is_read(path: Path, folder: Path, suffixes: Set[str]) -> bool:
    return path.suffix.lower() in suffixes and not _is_hidden(path, folder) and path.is_file()


def _is_hidden(path: Path, folder: Path) -> bool:
    return any(map(is_left_over, os.path.relpath(path, folder).split(os.sep)))


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("s" if count != 1 else "")
