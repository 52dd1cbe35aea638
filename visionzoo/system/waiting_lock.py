"""A lock that waits: of several processes on one machine, one works and the others use its result."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

_SECONDS_BETWEEN_TRIES = 0.05


@contextlib.contextmanager
def one_at_a_time(path: Path, waiting: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Hold the lock of a file while the ``with`` block runs. Wait while another process or thread holds it.

    The system releases the lock of a process that ends. On systems and file systems without such locks, the block runs
    without one.

    Args:
        path: file of the lock, which is removed afterwards; its folder must exist.
        waiting: called once if another process holds the lock.

    Raises:
        OSError: the file cannot be created.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, one_at_a_time(Path(folder, "a.lock")):
        ...     print("working")
        working
    """
    with contextlib.closing(_locked(path, waiting)):
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # it is removed while it is locked, so that no other holds it
                path.unlink()


def _locked(path: Path, waiting: Callable[[], object]) -> IO[bytes]:
    """Return the locked file that is at ``path``. Another process may remove the one that was waited for."""
    while True:
        file = open(path, "a+b")  # noqa: SIM115 - the caller closes it
        try:
            _wait_for(file, waiting)
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                return file
        except FileNotFoundError:
            pass
        except BaseException:
            file.close()
            raise
        file.close()


def _wait_for(file: IO[bytes], waiting: Callable[[], object]) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        return
    told = False
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if not told:
                waiting()
                told = True
            time.sleep(_SECONDS_BETWEEN_TRIES)
        except OSError:  # a file system without locks
            return
