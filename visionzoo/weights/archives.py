"""Weights inside an archive, ``.tar``, ``.tar.gz`` or ``.zip``. Only the files that are asked for are unpacked."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from visionzoo.errors import CheckpointError, some_of
from visionzoo.weights.cache_folder import cannot_cache

# Weights hardly shrink. More than this factor is an archive that was made to fill the disk.
_MOST_TIMES_LARGER = 20
_LEAST_LIMIT = 64 << 20
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


@dataclass(frozen=True)
class _Member:
    """A file in an archive: its name, size in bytes and kind; ``open`` returns a file of its contents."""

    name: str
    size: int
    kind: str
    open: Callable[[], IO[bytes] | None]


def unpack(archive: Path, member: str, folder: Path) -> Path:
    """Unpack the weights of an archive.

    Args:
        archive: the archive; its contents determine the format, not its name.
        member: path of the weights in it, or what the names of their files begin with: ``model.ckpt`` for
            ``model.ckpt.index`` and ``model.ckpt.data-00000-of-00001``.
        folder: an existing folder.

    Returns:
        The file in ``folder``; for several files, their common beginning.

    Raises:
        CheckpointError: the archive is damaged, has no such member, is suspiciously large, or contains a path that
            leaves the folder (``../x``, ``/x``); or the member is a link.
        OutputError: the folder cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with zipfile.ZipFile(f"{folder}/a.zip", "w") as file:
        ...         file.writestr("nets/a.pth", b"abc")
        ...     unpack(Path(folder, "a.zip"), "nets/a.pth", Path(folder)).read_bytes()
        b'abc'
    """
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                return _unpacked(archive, _in_zip(opened), member, folder)
        with tarfile.open(archive, "r:*") as opened_tar:
            return _unpacked(archive, _in_tar(opened_tar), member, folder)
    except _BROKEN as error:
        raise CheckpointError(
            archive, expected="a whole archive (.tar.gz, .zip)", but=f"it is truncated, damaged or another file "
            f"({' '.join(str(error).split()) or type(error).__name__})", advice="download it again",
        ) from error  # fmt: skip


def _in_zip(archive: zipfile.ZipFile) -> list[_Member]:
    def kind(entry: zipfile.ZipInfo) -> str:
        if entry.is_dir():
            return "folder"
        return "link" if (entry.external_attr >> 16) & 0o170000 == 0o120000 else "file"

    return [
        _Member(entry.filename, entry.file_size, kind(entry), lambda entry=entry: archive.open(entry))  # type: ignore[misc]
        for entry in archive.infolist()
    ]


def _in_tar(archive: tarfile.TarFile) -> list[_Member]:
    def kind(entry: tarfile.TarInfo) -> str:
        return "file" if entry.isreg() else "folder" if entry.isdir() else "link"

    return [
        _Member(entry.name, entry.size, kind(entry), lambda entry=entry: archive.extractfile(entry))  # type: ignore[misc]
        for entry in archive.getmembers()
    ]


def _unpacked(archive: Path, members: list[_Member], wanted: str, folder: Path) -> Path:
    for member in members:
        _require_inside(archive, member)
    by_name = {_clean(member.name): member for member in members if member.kind != "folder"}
    wanted = _clean(wanted)
    chosen = {name: each for name, each in by_name.items() if name == wanted or name.startswith(f"{wanted}.")}
    if wanted in chosen:
        chosen = {wanted: chosen[wanted]}
    if not chosen:
        raise CheckpointError(
            archive,
            expected=f"{wanted} in the archive",
            found=some_of(sorted(by_name), 5) or "no file",
            advice="correct `member` in the card",
        )
    _require_plain(archive, chosen)
    for name, member in chosen.items():
        _write(member, folder / PurePosixPath(name).name)
    return folder / PurePosixPath(wanted).name


def _clean(name: str) -> str:
    return PurePosixPath(name).as_posix()


def _require_inside(archive: Path, member: _Member) -> None:
    path = PurePosixPath(member.name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts:
        raise CheckpointError(
            archive,
            expected="an archive whose files stay in their folder",
            found=f"{member.name!r}",
            advice="do not use it, and report it to its authors",
        )


def _require_plain(archive: Path, chosen: dict[str, _Member]) -> None:
    link = next((name for name, member in chosen.items() if member.kind == "link"), None)
    if link is not None:
        raise CheckpointError(
            archive, expected=f"{link} to be a file", found="a link or a device", advice="do not use this archive"
        )
    total, limit = sum(member.size for member in chosen.values()), archive.stat().st_size * _MOST_TIMES_LARGER
    if total > max(limit, _LEAST_LIMIT):
        raise CheckpointError(
            archive,
            expected=f"at most {_MOST_TIMES_LARGER} times its own size",
            found=f"{total} bytes of weights",
            advice="do not use this archive",
        )


def _write(member: _Member, path: Path) -> None:
    source = member.open()
    if source is None:
        raise tarfile.TarError(f"{member.name} has no contents")
    with source:
        try:
            file = open(path, "wb")  # noqa: SIM115 - it is closed below
        except OSError as error:
            raise cannot_cache(path, error) from error
        with file:
            shutil.copyfileobj(_Reading(source), _Writing(file, path))


class _Reading:
    """A file of an archive whose OSError, of a damaged archive, is not that of the disk."""

    def __init__(self, file: IO[bytes]):
        self._file = file

    def read(self, size: int = -1, /) -> bytes:
        try:
            return self._file.read(size)
        except OSError as error:
            raise tarfile.TarError(str(error)) from error


class _Writing:
    """A file in the cache whose OSError becomes an OutputError."""

    def __init__(self, file: IO[bytes], path: Path):
        self._file, self._path = file, path

    def write(self, data: bytes, /) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            raise cannot_cache(self._path, error) from error
