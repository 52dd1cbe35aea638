"""Images in one folder per class: search, and all findings in one error or one warning."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from visionzoo.datasets.class_map import is_class_name, is_plain, visible
from visionzoo.datasets.findings import Findings, shown
from visionzoo.errors import DataError, first_of
from visionzoo.structures.image_names import is_left_over

_SPLITS = frozenset(("train", "training", "val", "valid", "validation", "test", "testing"))


def class_folders(folder: Path, advice: str) -> list[str]:
    """Return the names of the class folders in alphabetical order.

    Args:
        folder: the folder of a split.
        advice: advice of the error.

    Raises:
        DataError: the folder cannot be read or has no folder.

    Example:
        >>> class_folders(Path("nowhere"), "make one")
        Traceback (most recent call last):
        visionzoo.errors.DataError: nowhere: expected a readable folder, but No such file or directory; make one
    """
    names = [entry.name for entry in _listed(folder, advice) if _is_folder(entry) and not is_left_over(entry.name)]
    if not names:
        raise DataError(folder, expected="one folder per class", found="none", advice=advice)
    return names


def subfolders(folder: Path) -> list[str]:
    """Return the names of the folders in a folder that can be read, without the left over ones."""
    try:
        return class_folders(folder, "")
    except DataError:
        return []


def read_class_folders(folder: Path, endings: tuple[str, ...], findings: Findings) -> dict[str, list[str]]:
    """Return the paths of the images of each class folder, at any depth and in alphabetical order.

    Links are followed. Every real folder is read once: a link to a folder above, or to a folder that is read as part
    of the data, is left out with a note. Hidden files and folders and those of :func:`is_left_over` are left out too.

    Args:
        folder: the folder with the class folders.
        endings: endings of image files, lower case.
        findings: receives notes, names that are not UTF-8, and files and folders that cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as root:
        ...     for name in ("cat/1.png", "dog/deep/2.png", "dog/._3.png"):
        ...         os.makedirs(f"{root}/{os.path.dirname(name)}", exist_ok=True)
        ...         open(f"{root}/{name}", "w").close()
        ...     found = read_class_folders(Path(root), (".png",), Findings(root, expected="images"))
        >>> {name: [os.path.basename(path) for path in paths] for name, paths in found.items()}
        {'cat': ['1.png'], 'dog': ['2.png']}
    """
    search = _Search(folder, endings, findings)
    search.run()
    _note_split_names(search.images, findings)
    return search.images


def endings_in(folder: Path) -> list[str]:
    """Return the endings of the visible files below a folder, the most frequent first."""
    counts = Counter(
        os.path.splitext(name)[1] for _, _, names in os.walk(folder) for name in names if not is_left_over(name)
    )
    return [ending or "no ending" for ending, _ in counts.most_common()]


class _Search:
    """Search for images in class folders.

    Attributes:
        images: paths of images by class.
    """

    def __init__(self, root: Path, endings: tuple[str, ...], findings: Findings):
        self._root, self._real_root = root, os.path.realpath(root)
        self._endings, self._findings = endings, findings
        self._classes: dict[str, str] = {}  # the class of each real folder that is read
        self._links: list[tuple[str, str]] = []  # links to folders, with their class
        self._hidden = 0
        self._other: list[str] = []
        self._beside: list[str] = []
        self.images: dict[str, list[str]] = {}

    def run(self) -> None:
        for entry in _listed(self._root, "check its rights"):
            self._take_top(entry)
        for path, key in self._links:  # grows while it is read
            self._follow(path, key)
        self._note("files that are not images", self._other)
        self._note("files beside the class folders", self._beside)
        self._findings.note("hidden files and folders, left out", self._hidden)
        self._check_names()

    def _take_top(self, entry: os.DirEntry) -> None:
        name = entry.name
        if is_left_over(name):
            self._hidden += 1
        elif not _is_folder(entry):
            self._beside.append(name)
        elif not is_class_name(name):
            self._wrong(entry.path, "class folder", expected="a name of visible UTF-8 text", found=shown(name))
        else:
            self.images[name] = []
            if entry.is_symlink():
                self._links.append((entry.path, name))
            else:
                self._walk(entry.path, os.path.join(self._real_root, name), name)

    def _walk(self, path: str, real: str, key: str) -> None:
        """Read a real folder and those below it, except the ones that are read already."""
        todo = [(path, real)]
        while todo:
            at, real = todo.pop()
            if real not in self._classes:
                self._classes[real] = key
                todo += [(f"{at}/{name}", f"{real}/{name}") for name in reversed(self._read(at, key))]

    def _read(self, at: str, key: str) -> list[str]:
        """Take the files of a folder, and return the names of the real folders in it."""
        try:
            entries = _sorted_entries(at)
        except OSError as error:
            self._wrong(at, "folder", expected="a readable folder", found=f"{error.strerror}")
            return []
        images, folders = self.images[key], []
        for entry in entries:
            name = entry.name
            if name.lower().endswith(self._endings) and name[0] != "." and entry.is_file(follow_symlinks=False):
                images.append(entry.path)
            elif entry.is_dir(follow_symlinks=False) and not is_left_over(name):
                folders.append(name)
            else:
                self._take_other(entry, key)
        if not entries and at.lower().endswith(self._endings):
            self._wrong(at, "file", expected="an image file", found="an empty folder")
        return folders

    def _take_other(self, entry: os.DirEntry, key: str) -> None:
        is_image = entry.name.lower().endswith(self._endings)
        if is_left_over(entry.name):
            self._hidden += 1
        elif _is_folder(entry):
            self._links.append((entry.path, key))
        elif is_image and _is_file(entry):
            self.images[key].append(entry.path)
        elif is_image:
            found = "a link to nothing" if entry.is_symlink() else "another kind of file"
            self._wrong(entry.path, "file", expected="an image file", found=found)
        else:
            self._other.append(entry.name)

    def _follow(self, path: str, key: str) -> None:
        real = os.path.realpath(path)
        other = self._classes.get(real, key)
        is_inside = real.startswith(f"{self._real_root}/")
        if other != key and not is_inside:
            found = f"the folder that is read as class {shown(other)}"
            self._wrong(path, "link", expected="a folder of one class", found=found)
        elif real in self._classes or f"{self._real_root}/".startswith(f"{real.rstrip('/')}/"):
            self._findings.note("links to a folder above or to a folder that is read already, left out")
        else:
            self._walk(path, real, key)

    def _check_names(self) -> None:
        for paths in self.images.values():
            if not is_plain("".join(paths)):
                self._report_names(paths)

    def _report_names(self, paths: Sequence[str]) -> None:
        for name in (os.path.relpath(path, self._root) for path in paths):
            if not is_plain(name):
                self._findings.wrong(visible(name), "name", expected="visible UTF-8 text", found=shown(name))

    def _wrong(self, path: str, field: str, *, expected: str, found: str) -> None:
        name = os.path.relpath(path, self._root)
        self._findings.wrong(visible(name), field, expected=expected, found=found)

    def _note(self, what: str, names: Sequence[str]) -> None:
        self._findings.note(f"{what} ({first_of(map(visible, names))}), left out", len(names))


def _note_split_names(names: dict[str, list[str]], findings: Findings) -> None:
    if len(names) > 1 and all(name.lower() in _SPLITS for name in names):
        findings.note(f"classes with the names of splits ({first_of(names)}): set split if they are splits", len(names))


def _listed(folder: Path, advice: str) -> list[os.DirEntry]:
    try:
        return _sorted_entries(str(folder))
    except OSError as error:
        raise DataError(folder, expected="a readable folder", but=f"{error.strerror}", advice=advice) from error


def _sorted_entries(folder: str) -> list[os.DirEntry]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=_name)


def _name(entry: os.DirEntry) -> str:
    return entry.name


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _is_file(entry: os.DirEntry) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False
