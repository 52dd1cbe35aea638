"""A lock on an output folder, so that two runs never write into one folder.

The lock is the file ``.lock`` in the folder. It names the host and the process of the run. A lock that a killed run
left is recognised by its process, and the next run takes it over.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from visionzoo.errors import OutputError
from visionzoo.system.atomic import cannot_write

NAME = ".lock"
_WRITING = 2.0  # seconds after which an incomplete lock is no longer being written


@dataclass
class Lock:
    """The lock of this process.

    Attributes:
        path: the file of the lock.
        note: message for the user if the lock of a killed run was taken over; else empty.
    """

    path: Path
    note: str = ""


@dataclass(frozen=True)
class _Owner:
    """The run that owns a lock. ``start`` is the start time of its process; None if the system does not give it."""

    what: str
    host: str
    process: int
    start: str | None
    command: str
    time: str

    def __str__(self) -> str:
        return f"{self.what} on {self.host}, process {self.process}, since {self.time}"

    def may_be_alive(self) -> bool:
        """Return False only if it is certain that the process has ended."""
        if self.host != socket.gethostname() or os.name != "posix":
            return True
        try:
            os.kill(self.process, 0)  # signal 0 only checks that the process exists
        except (ProcessLookupError, OverflowError):
            return False
        except OSError:
            pass  # it exists and belongs to another user
        start = _start_of(self.process)
        return start is None or self.start is None or start == self.start  # another start: the id was given again


@contextlib.contextmanager
def locked(folder: str | os.PathLike, what: str = "a training") -> Iterator[Lock]:
    """Lock a folder while the ``with`` block runs. The folder is created if it does not exist.

    Only the process that locked the folder removes the lock. A forked child process never does.

    Args:
        folder: the folder that the run writes into.
        what: the kind of run with its article, for the message of another run.

    Yields:
        The lock, with a note if the lock of a killed run was taken over.

    Raises:
        OutputError: another run uses the folder, or no file can be written in it.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with locked(folder, "a test") as lock:
        ...         print(lock.path.name, lock.path.exists())
        ...     print(lock.path.exists())
        .lock True
        False
    """
    lock = Lock(Path(folder, NAME))
    process = os.getpid()
    owner = _Owner(what, socket.gethostname(), process, _start_of(process), " ".join(sys.argv), _now())
    text = json.dumps(asdict(owner), indent=2) + "\n"
    try:
        lock.path.parent.mkdir(parents=True, exist_ok=True)
        _take(lock, text)
    except OSError as error:
        raise cannot_write(lock.path, error) from error
    try:
        yield lock
    finally:
        if os.getpid() == process:
            with contextlib.suppress(OSError):
                if lock.path.read_text(encoding="utf-8") == text:  # else a user deleted it, and another run began
                    lock.path.unlink()


def _take(lock: Lock, text: str) -> None:
    """Write the lock. Remove the lock of an ended run first. Raise OutputError if another run may be active."""
    while not _write_new(lock.path, text):
        with contextlib.suppress(FileNotFoundError), open(lock.path, "rb") as file:
            owner = _owner_in(lock.path)
            if owner is not None and owner.may_be_alive():
                raise _in_use(lock.path, owner)
            if _remove_same(lock.path, file.fileno()):
                left = "" if owner is None else f" ({owner})"
                lock.note = f"{lock.path}: taken over from a run that ended without removing it{left}"


def _in_use(path: Path, owner: _Owner) -> OutputError:
    advice = "wait for it, or choose another folder with -o"
    if owner.host != socket.gethostname() or os.name != "posix":
        advice += f"; if that run has ended, delete {path}"
    return OutputError(path.parent, expected="a folder that no other run uses", found=f"{owner}", advice=advice)


def _write_new(path: Path, text: str) -> bool:
    """Write the file, complete as soon as it is visible. Return False if it exists."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        beside.write_text(text, encoding="utf-8")
        os.link(beside, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        return _write_exclusively(path, text)
    finally:
        beside.unlink(missing_ok=True)
    return True


def _write_exclusively(path: Path, text: str) -> bool:
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        return False
    return True


def _owner_in(path: Path) -> _Owner | None:
    """Return the owner that a lock names; None if its text stays incomplete."""
    end = time.monotonic() + _WRITING
    while True:
        try:
            return _owner_of(json.loads(path.read_bytes()))
        except ValueError:
            if time.monotonic() > end:
                return None
            time.sleep(0.05)


def _owner_of(record: Any) -> _Owner:
    try:
        owner = _Owner(**record)
    except TypeError as error:
        raise ValueError("not the record of a lock") from error
    if not isinstance(owner.process, int):
        raise ValueError("not the id of a process")
    return owner


def _remove_same(path: Path, handle: int) -> bool:
    """Remove the file if it is still the open one. Of several processes that try this, one removes it."""
    with contextlib.suppress(ImportError, OSError):  # systems and file systems without flock
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX)
    if not os.path.samestat(os.fstat(handle), os.stat(path)):
        return False
    path.unlink()
    return True


def _start_of(process: int) -> str | None:
    """Return the start time of a process in ticks since the start of the system; None if it is unknown."""
    try:
        text = Path("/proc", str(process), "stat").read_text()
    except OSError:
        return None
    return text.rpartition(")")[2].split()[19]  # the name before ")" may contain spaces


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S")
