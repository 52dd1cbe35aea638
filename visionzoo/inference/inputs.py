"""What inference takes: files, folders, globs, ``@list.txt``, ``-`` and pictures in memory, as one stream."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from visionzoo.errors import InputError, nearest_name

PICTURE_SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm", ".pbm", ".jp2")
)


@dataclass(frozen=True)
class Source:
    """One picture to come.

    Attributes:
        name: how results call it: the path as it was given, or ``array 3``.
        value: a path, or a picture in memory.
        place: where its results lie below the output folder, with the structure of the folder it came from.
    """

    name: str
    value: Any
    place: Path


def group_of(source: Source) -> str:
    """What pictures that belong together share: the path of their folder; of pictures in memory ``inputs``."""
    return str(Path(source.name).parent) if isinstance(source.value, str | os.PathLike) else "inputs"


def expand_inputs(
    inputs: Iterable[str | os.PathLike], *, recursive: bool = False, stdin: IO[str] | None = None
) -> Iterator[Source]:
    """The pictures that ``inputs`` name, in their order; folders and globs sorted by name.

    Args:
        inputs: files, folders (their pictures by suffix), globs, ``@FILE`` (one path per line), ``-`` (paths on stdin).
            Lists and stdin are read as they are needed; a path in them that does not exist fails for itself.
        recursive: look into subfolders as well.
        stdin: what ``-`` reads.

    Raises:
        InputError: at once, when one of the inputs is missing or matches nothing.
    """
    streams = [_expand(os.fspath(item), recursive, stdin or sys.stdin) for item in inputs]
    if not streams:
        raise InputError("expected at least one input, found none; name files, folders, globs, @list.txt or -")
    return (source for stream in streams for source in stream)


def count_inputs(inputs: Iterable[str | os.PathLike], *, recursive: bool = False) -> int | None:
    """How many pictures there are; None when only reading stdin will tell."""
    given = [os.fspath(item) for item in inputs]
    if "-" in given:
        return None
    return sum(1 for _ in expand_inputs(given, recursive=recursive))


def _expand(item: str, recursive: bool, stdin: IO[str]) -> Iterator[Source]:
    if item == "-":
        return _from_lines(stdin, Path())
    if item.startswith("@") and not os.path.exists(item):
        return _from_list(Path(item[1:]))
    if "://" in item:
        raise InputError(f"{item}: expected a file, folder, glob, @list.txt or -, found an address; download it first")
    path = Path(item).expanduser()
    if path.is_dir():
        return _from_folder(path, recursive)
    if path.exists():
        return iter([Source(item, path, Path(path.name))])
    if glob.has_magic(item):
        return _from_glob(item, recursive)
    raise InputError(f"{item}: expected a picture, found no such file; {_nearest(path)}")


def _nearest(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"there is no folder {folder} either"
    nearest = nearest_name(path.name, (other.name for other in folder.iterdir()))
    return f"did you mean {folder / nearest}?" if nearest else "check the path"


def _from_folder(folder: Path, recursive: bool) -> Iterator[Source]:
    paths = _pictures_in(folder, recursive)
    if not paths:
        raise InputError(f"{folder}: expected pictures, found none{_what_is_there(folder, recursive)}")
    return (Source(str(path), path, path.relative_to(folder)) for path in paths)


def _pictures_in(folder: Path, recursive: bool) -> list[Path]:
    try:
        found = folder.rglob("*") if recursive else folder.iterdir()
        return sorted(path for path in found if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file())
    except OSError as error:
        raise InputError(f"{folder}: expected a readable folder, but {error.strerror}; check its rights") from error


def _what_is_there(folder: Path, recursive: bool) -> str:
    if not recursive and any(path.is_dir() for path in folder.iterdir()) and _pictures_in(folder, True):
        return "; its subfolders hold some: add -r"
    suffixes = sorted({path.suffix for path in folder.iterdir() if path.is_file()})
    found = f" among files of {', '.join(suffixes[:5])}" if suffixes else ""
    return f"{found}; name files with suffix .jpg, .png, ..."


def _from_glob(pattern: str, recursive: bool) -> Iterator[Source]:
    matches = [Path(path) for path in sorted(glob.glob(os.path.expanduser(pattern), recursive=True))]
    files = [path for path in matches if path.is_file()]
    folders = [path for path in matches if path.is_dir()]
    inside = [path for folder in folders for path in _pictures_in(folder, recursive)] if not files else []
    if not files and not inside:
        where = "" if _fixed_part(pattern).is_dir() else f"; there is no folder {_fixed_part(pattern)}"
        raise InputError(f"{pattern}: expected pictures, but the glob matches none{where}; check it, in quotes")
    root = _fixed_part(pattern)
    return (Source(str(path), path, _below(path, root)) for path in files or inside)


def _first_magic(pattern: str) -> int:
    return min(at for at in (pattern.find(letter) for letter in "*?[") if at >= 0)


def _fixed_part(pattern: str) -> Path:
    """The folder before the first wildcard."""
    return Path(os.path.dirname(os.path.expanduser(pattern)[: _first_magic(os.path.expanduser(pattern))]))


def _below(path: Path, root: Path) -> Path:
    return path.relative_to(root) if path.is_relative_to(root) else Path(path.name)


def _from_list(path: Path) -> Iterator[Source]:
    try:
        file = open(path, encoding="utf-8")  # noqa: SIM115 - read to its end by the stream
    except OSError as error:
        raise InputError(f"@{path}: expected a list of pictures, but {error.strerror}; check the path") from error
    return _closing(file, path.parent)


def _closing(file: IO[str], folder: Path) -> Iterator[Source]:
    with file:
        yield from _from_lines(file, folder)


def _from_lines(lines: Iterable[str], folder: Path) -> Iterator[Source]:
    """One source per line; paths are relative to the working folder, else to the list's own."""
    for line in lines:
        name = line.strip()
        if not name or name.startswith("#"):
            continue
        path = Path(name).expanduser()
        if not path.exists() and (folder / path).exists():
            path = folder / path
        yield Source(name, path, Path(path.name) if path.is_absolute() else _without_parents(Path(name)))


def _without_parents(path: Path) -> Path:
    """``a/b.jpg`` of ``../a/b.jpg``: results never lie outside the output folder."""
    return Path(*(part for part in path.parts if part not in ("..", ".", "/", "~"))) if path.parts else Path("input")


# --- Python ---


def sources_of(inputs: Any, *, recursive: bool = False) -> Iterator[Source]:
    """Like :func:`expand_inputs` for anything a Python user has: arrays, tensors, PIL pictures, mixed lists."""
    if isinstance(inputs, str | os.PathLike):
        yield from expand_inputs([inputs], recursive=recursive)
        return
    if not _is_many(inputs):
        inputs = [inputs]
    for number, item in enumerate(inputs):
        if isinstance(item, str | os.PathLike):
            yield from expand_inputs([item], recursive=recursive)
        elif isinstance(item, Source):
            yield item
        else:
            yield Source(f"input {number}", item, Path(f"input_{number:06d}.png"))


def _is_many(inputs: Any) -> bool:
    """A list, a generator ...; an array, tensor, PIL picture or the bytes of a file are one picture."""
    return isinstance(inputs, Iterable) and not hasattr(inputs, "shape") and not isinstance(inputs, bytes)
