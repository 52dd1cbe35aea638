"""Names of files that a run has given, in a file instead of in memory: a million inputs have millions of names."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path

from visionzoo.system.atomic import cannot_write

FILE = ".infer.names"
_CACHE = "-4000"  # KiB of the table in memory; more of it is in the cache of the system
_PRAGMAS = ("journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE", f"cache_size={_CACHE}")


class TakenNames:
    """A set of paths that only grows and takes constant memory. It keeps hashes of 64 bits.

    Two of ten million different paths have the same hash with a probability of 3 in a million. The second one then gets
    a number that it does not need.

    Args:
        folder: folder of the hidden file of the set. Where the system allows it, the file has no name while it is open,
            so that a killed run leaves nothing.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     names = TakenNames(Path(folder))
        ...     names.add([Path("vis/a.jpg")])
        ...     names.has_any([Path("vis/b.jpg")]), names.has_any([Path("vis/b.jpg"), Path("vis/a.jpg")])
        ...     names.close()
        (False, True)
    """

    def __init__(self, folder: Path):
        self._file = folder / FILE
        self._file.unlink(missing_ok=True)
        try:
            self._table = sqlite3.connect(f"{self._file.absolute().as_uri()}?nolock=1", uri=True, isolation_level=None)
            for pragma in _PRAGMAS:
                self._table.execute(f"PRAGMA {pragma}")
            self._table.execute("CREATE TABLE taken (name INTEGER PRIMARY KEY)")
            with contextlib.suppress(PermissionError):  # Windows removes no open file
                self._file.unlink()
            self._table.execute("BEGIN")
        except sqlite3.Error as error:
            raise cannot_write(self._file, OSError(f"{error}")) from error

    def add(self, paths: Iterable[Path]) -> None:
        """Add paths.

        Raises:
            OutputError: the disk is full.
        """
        try:
            self._table.executemany("INSERT OR IGNORE INTO taken VALUES (?)", [(_hash(path),) for path in paths])
        except sqlite3.Error as error:
            raise cannot_write(self._file, OSError(f"{error}")) from error

    def first_free(self, paths_of: Callable[[int], Iterable[Path]]) -> int:
        """Add the paths of a number from 1 of which none was added before, and return this number.

        It is the smallest such number, unless other inputs left gaps. A search of few steps finds it, because a million
        inputs may have one name.

        Args:
            paths_of: function from a number to the paths of an input with this number.
        """
        taken, free = 0, 1
        while self.has_any(paths_of(free)):
            taken, free = free, 2 * free
        while free - taken > 1:
            middle = (taken + free) // 2
            taken, free = (middle, free) if self.has_any(paths_of(middle)) else (taken, middle)
        self.add(paths_of(free))
        return free

    def has_any(self, paths: Iterable[Path]) -> bool:
        """Return True if one of the paths was added."""
        names = [_hash(path) for path in paths]
        marks = ",".join("?" * len(names))
        return self._table.execute(f"SELECT 1 FROM taken WHERE name IN ({marks}) LIMIT 1", names).fetchone() is not None

    def close(self) -> None:
        """Remove the file."""
        with contextlib.suppress(sqlite3.Error):
            self._table.close()
        self._file.unlink(missing_ok=True)


def _hash(path: Path) -> int:
    name = path.as_posix().encode(errors="surrogatepass")
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "big", signed=True)
