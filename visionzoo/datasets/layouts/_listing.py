"""Names of the files and folders of a data set, each folder read once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from visionzoo.errors import DataError
from visionzoo.structures.image_names import ANY_IMAGE_ENDINGS, is_left_over


class Listing:
    """The visible files and folders below a folder, sorted by name.

    Args:
        root: the folder; relative names are below it.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     os.makedirs(f"{folder}/images")
        ...     Path(folder, "images", "1.jpg").touch()
        ...     listing = Listing(Path(folder))
        ...     listing.folders(), listing.images("images")
        (['images'], ['1.jpg'])
    """

    def __init__(self, root: Path):
        self.root = root
        self._read: dict[str, tuple[list[str], list[str]]] = {}

    def folders(self, name: str = "") -> list[str]:
        """Return the names of the folders in a folder; none if it does not exist."""
        return self._names(name)[0]

    def files(self, name: str = "", endings: Sequence[str] | None = None) -> list[str]:
        """Return the names of the files in a folder, optionally those with one of the endings (lower case)."""
        files = self._names(name)[1]
        return files if endings is None else [file for file in files if file.lower().endswith(tuple(endings))]

    def images(self, name: str = "") -> list[str]:
        """Return the names of the images in a folder."""
        return self.files(name, ANY_IMAGE_ENDINGS)

    def below(self, depth: int = 3) -> Iterator[str]:
        """Yield the relative names of the folders down to a depth, those above first; the first is ``""``."""
        level = [""]
        for _ in range(depth + 1):
            yield from level
            level = [inside(name, folder) for name in level for folder in self.folders(name)]

    def has(self, name: str) -> bool:
        """Return True if a path below the folder is a file."""
        return os.path.isfile(self.root / name)

    def folder_with(self, names: Iterable[str], near: str = "") -> str | None:
        """Return the folder that has the most of some files, or None.

        Args:
            names: relative paths of files.
            near: a folder that is searched first, and preferred at equal numbers.
        """
        wanted = list(names)
        ranked = {folder: sum(self.has(inside(folder, name)) for name in wanted) for folder in [near, *self.below()]}
        best = max(ranked, key=lambda folder: ranked[folder])
        return best if ranked[best] else None

    def _names(self, name: str) -> tuple[list[str], list[str]]:
        if name not in self._read:
            self._read[name] = _scan(self.root / name)
        return self._read[name]


def inside(folder: str, name: str) -> str:
    """Return the path of a name in a folder, whose name may be empty.

    Example:
        >>> inside("", "a"), inside("a", "b")
        ('a', 'a/b')
    """
    return f"{folder}/{name}" if folder else name


def _scan(folder: Path) -> tuple[list[str], list[str]]:
    folders: list[str] = []
    files: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not is_left_over(entry.name):
                    (folders if _is_folder(entry) else files).append(entry.name)
    except PermissionError as error:
        raise DataError(
            folder, expected="a readable folder", but=f"{error.strerror}", advice="check its rights"
        ) from error
    except OSError:
        return [], []
    return sorted(folders), sorted(files)


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
