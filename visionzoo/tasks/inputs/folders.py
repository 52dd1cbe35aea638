"""Files of folders that are inputs, and the files in them that are not read.

Memory does not grow with the number of files: a folder is read entry by entry, and its names are sorted by
:func:`visionzoo.tasks.inputs.sorting.sorted_texts`.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Set
from pathlib import Path

from visionzoo.errors import InputError, on_one_line, some_of
from visionzoo.structures.image_names import is_left_over
from visionzoo.tasks.inputs.sorting import sorted_texts

_FILE, _FOLDER = "f", "d"
_MOST_ENDINGS = 1000  # files such as frame.000001 have as many endings as there are files


def files_in(folder: Path, recursive: bool, suffixes: Set[str]) -> Iterator[Path]:
    """Return the files with one of the suffixes, sorted by path, without hidden files.

    A subfolder is read when its turn comes. One that cannot be read is left out, see :func:`left_out_of`.

    Args:
        folder: an existing folder.
        recursive: True to search subfolders too; links to folders are not followed.
        suffixes: in lower case, with the dot.

    Raises:
        InputError: the folder cannot be read. The call raises it.
    """
    entries = sorted_texts(_marked(folder, recursive, suffixes))
    return (folder / name for name in _expanded(entries, folder, "", suffixes))


def names_in(folder: Path, recursive: bool, suffixes: Set[str]) -> Iterator[str]:
    """Yield the paths of the same files relative to the folder, in any order, which is faster than :func:`files_in`."""
    for text in _marked(folder, recursive, suffixes):
        name, _, kind = text.rpartition("\0")
        if kind == _FILE:
            yield name
        else:
            yield from (os.path.join(name, below) for below in _names_below(folder / name, suffixes))


def _names_below(folder: Path, suffixes: Set[str]) -> Iterator[str]:
    try:
        yield from names_in(folder, True, suffixes)
    except InputError:
        return


def _expanded(entries: Iterable[str], folder: Path, below: str, suffixes: Set[str]) -> Iterator[str]:
    """Yield the paths of sorted entries relative to the folder; a folder stands for its sorted files."""
    for text in entries:
        name, _, kind = text.rpartition("\0")
        path = os.path.join(below, name)
        if kind == _FILE:
            yield path
            continue
        try:
            inner = sorted_texts(_marked(folder / path, True, suffixes))
        except InputError:
            continue
        yield from _expanded(inner, folder, path, suffixes)


def _marked(folder: Path, recursive: bool, suffixes: Set[str]) -> Iterator[str]:
    """Yield the names of files to read and of folders to search, each with NUL and a letter for its kind.

    Sorted names with this end are in the order of sorted paths.
    """
    for entry in entries_of(folder):
        if is_left_over(entry.name):
            continue
        if os.path.splitext(entry.name)[1].lower() in suffixes and _is_file(entry):
            yield f"{entry.name}\0{_FILE}"
        elif recursive and entry.is_dir(follow_symlinks=False):
            yield f"{entry.name}\0{_FOLDER}"


def entries_of(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield the entries of a folder one by one, in any order.

    Raises:
        InputError: the folder cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            yield from entries
    except OSError as error:
        raise InputError(
            folder, expected="a readable folder", but=f"{error.strerror}", advice="check its permissions"
        ) from error


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
    survey = _Survey(recursive, suffixes)
    for folder in folders:
        survey.add(folder)
    parts = {
        f"{_number(survey.endings.total(), 'file')} ({some_of(sorted(survey.endings), 6)})": survey.endings.total(),
        _number(survey.hidden, "hidden file"): survey.hidden,
        f"{_number(survey.subfolders, 'subfolder')} (add -r)": survey.subfolders,
        f"{_number(survey.unreadable, 'subfolder')} that cannot be read": survey.unreadable,
    }
    return on_one_line(", ".join(text for text, count in parts.items() if count))


class _Survey:
    """Counts of what is not read in folders."""

    def __init__(self, recursive: bool, suffixes: Set[str]):
        self.recursive, self.suffixes = recursive, suffixes
        self.endings: Counter[str] = Counter()
        self.hidden = self.subfolders = self.unreadable = 0

    def add(self, folder: Path, hidden: bool = False) -> None:
        """Count the entries of a folder, and those of its subfolders if the search is recursive."""
        for entry in entries_of(folder):
            self._add_entry(folder, entry, hidden or is_left_over(entry.name))

    def _add_entry(self, folder: Path, entry: os.DirEntry[str], hidden: bool) -> None:
        if self.recursive and entry.is_dir(follow_symlinks=False):
            try:
                self.add(folder / entry.name, hidden)
            except InputError:
                self.unreadable += not hidden
        elif hidden:
            self.hidden += _is_file(entry)
        elif _is_folder(entry):
            self.subfolders += not self.recursive
        else:
            ending = os.path.splitext(entry.name)[1].lower() or "no ending"
            if ending not in self.suffixes or not _is_file(entry):
                known = ending in self.endings or len(self.endings) < _MOST_ENDINGS
                self.endings[ending if known else "others"] += 1


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Return True for a folder or a link to one; False for a link that cannot be followed."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Return True for a file or a link to one; False for a link that cannot be followed."""
    try:
        return entry.is_file()
    except OSError:
        return False


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("s" if count != 1 else "")
