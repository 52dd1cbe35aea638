"""Atomic writing: a file is either complete or not changed.

Data is written to a temporary file in the same folder, synced and renamed. If this fails, the temporary file is removed
and an existing file stays unchanged.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

from visionzoo.errors import OutputError

_ADVICE = {
    errno.ENOSPC: "no space is left on the disk; free some and run again",
    errno.EDQUOT: "the disk quota is used up; free some space and run again",
    errno.EFBIG: "the file would be larger than the system allows (ulimit -f); raise the limit and run again",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.EACCES: "permission is denied; choose another folder or change its rights",
    errno.EPERM: "permission is denied; choose another folder or change its rights",
    errno.ENOENT: "the folder cannot be created; choose another folder",
    errno.ENOTDIR: "a part of the path is a file; choose another folder",
    errno.EEXIST: "a file of that name exists; choose another folder",
}


def write_file(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file with ``write``; it appears at ``path`` when it is complete.

    Args:
        path: the file; its folder must exist.
        write: called with a writable binary file.

    Raises:
        OutputError: the file cannot be written, or the disk is full. ``path`` is then unchanged.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_file(Path(folder, "a.bin"), lambda file: file.write(b"abc"))
        ...     Path(folder, "a.bin").read_bytes()
        b'abc'
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    recorder: _Recorder | None = None
    try:
        with open(beside, "wb") as file:
            recorder = _Recorder(file)
            write(cast(BinaryIO, recorder))
            recorder.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
        _sync_folder(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        cause = recorder.error if recorder is not None and recorder.error is not None else error
        if isinstance(cause, OSError):
            raise cannot_write(path, cause) from error
        raise


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, complete or not at all.

    Raises:
        OutputError: as for :func:`write_file`.
    """
    write_file(path, lambda file: file.write(text.encode()))


def require_writable(path: Path) -> None:
    """Check that a file or folder can be created, before the work for it begins.

    A temporary folder is created and removed in the folder of ``path``, or in the nearest existing folder above.

    Raises:
        OutputError: it cannot be created.

    Example:
        >>> require_writable(Path("setup.cfg/new.json"))
        Traceback (most recent call last):
        visionzoo.errors.OutputError: setup.cfg/new.json: expected a place that can be written, but a part of the path \
is a file; choose another folder
    """
    try:
        above = path.absolute().parent
        while not above.exists():
            above = above.parent
        tempfile.TemporaryDirectory(dir=above, prefix=f".{path.name}-old-").cleanup()
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: str | Path, error: OSError) -> OutputError:
    """Return an OutputError that states the cause of an error of the operating system."""
    why = _ADVICE.get(error.errno or 0, f"{error.strerror or error}; choose another folder")
    return OutputError(path, expected="a place that can be written", but=f"{why}")


def _sync_folder(folder: Path) -> None:
    """Sync a folder, if the system can, so that a rename in it survives a power cut."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class _Recorder(io.RawIOBase):
    """Pass writes to ``file`` and keep the first OSError, because torch.save hides its cause in a RuntimeError."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self.error: OSError | None = None

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = self.error or error
            raise

    def flush(self) -> None:
        try:
            self._file.flush()
        except OSError as error:
            self.error = self.error or error
            raise

    def close(self) -> None:
        """Leave the file open; its caller closes it."""
