"""Files of a folder by ending, and names in lists of images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path, PurePosixPath
from typing import TypeVar

from visionzoo.datasets.findings import Findings
from visionzoo.structures.image_names import is_left_over

Name = TypeVar("Name", str, Path)
_LONGEST = 255  # bytes in one part of a path, the limit of common file systems


def files_with(folder: Path, endings: Sequence[str], findings: Findings) -> list[Path]:
    """Return the files with one of the endings in any case, sorted by name; hidden ones are skipped with a note.

    Args:
        folder: the folder; subfolders are not searched.
        endings: lower case, with the dot.
        findings: takes the note. Systems write ``._a.xml`` beside ``a.xml``.

    Example:
        >>> files_with(Path("nowhere"), (".xml",), Findings("nowhere", expected="XML files"))
        []
    """
    if not folder.is_dir():
        return []
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in endings)
    visible = [path for path in found if not is_left_over(path.name)]
    findings.note(f"hidden {endings[0]} files, skipped", len(found) - len(visible))
    return visible


def known_name(line: str, known: Collection[str], endings: Sequence[str]) -> str | None:
    """Return the known name that a line of a list means, or None.

    Args:
        line: a name, which may have spaces, folders in front and an ending.
        known: names without ending.
        endings: endings that may follow a name, lower case, with the dot.

    Example:
        >>> known_name("JPEGImages/my cat.JPG", {"my cat"}, (".jpg",))
        'my cat'
    """
    name = line.replace("\\", "/").rpartition("/")[2]
    stem, dot, ending = name.rpartition(".")
    without = stem if f"{dot}{ending}".lower() in endings else name
    return next((each for each in (line, name, without) if each in known), None)


def once_each(names: Sequence[Name], findings: Findings, what: str) -> list[Name]:
    """Return the names in order, each of them once; repeated ones are noted.

    Example:
        >>> once_each(["a", "b", "a"], Findings("list.txt", expected="a list"), "images")
        ['a', 'b']
    """
    counts = Counter(names)
    findings.note(f"{what} that are listed twice, used once", sum(count > 1 for count in counts.values()))
    return list(counts)


def path_problem(name: object) -> str | None:
    """Return what is wrong with the path of a file below a folder, or None.

    Example:
        >>> path_problem("clips/1/20.jpg"), path_problem("../20.jpg"), path_problem(20)
        (None, 'a path that leaves the folder', 'a value that is not text')
    """
    if not isinstance(name, str):
        return "a value that is not text"
    path = PurePosixPath(name)
    if not path.name or not name.isprintable() or name != name.strip():
        return "a text that is not a path"
    if path.is_absolute():
        return "an absolute path"
    if ".." in path.parts:
        return "a path that leaves the folder"
    long = len(name) > _LONGEST // 4 and any(len(part.encode()) > _LONGEST for part in path.parts)
    return "a path that is too long" if long or len(name) > 2000 else None
