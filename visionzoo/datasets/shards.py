"""Shards: tar files of samples in the form of WebDataset (https://github.com/webdataset/webdataset).

The files of a sample are neighbours and have one key, the path up to the first dot of the file name::

    000.tar/train/0001.jpg     key train/0001, ending jpg
    000.tar/train/0001.cls     key train/0001, ending cls

Only headers are read to list a shard. A file in it is read on demand from its position, so a shard must not be
compressed. Its address, ``shards/000.tar#train/0001.jpg``, is its name in results and errors.
"""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from visionzoo.errors import DataError

ENDING = ".tar"
COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
_COMPRESSED_BYTES = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")  # the first ones
_BLOCK = 512
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


@dataclass(frozen=True)
class ShardMember(os.PathLike[str]):
    """A file in a shard, which :func:`visionzoo.datasets.decoding.read_bytes` reads like any other file.

    Attributes:
        shard: path of the shard.
        name: path of the file in the shard.
        offset: position of its first byte in the shard.
        size: number of its bytes.
        instead: what the shard has instead of the content, such as a link; empty for a usual file.

    Example:
        >>> str(ShardMember("shards/000.tar", "a/1.jpg", 512, 9)), ShardMember("0.tar", "a/1.seg.png", 0, 0).key
        ('shards/000.tar#a/1.jpg', ('a/1', 'seg.png'))
    """

    shard: str
    name: str
    offset: int
    size: int
    instead: str = ""

    def __fspath__(self) -> str:
        return f"{self.shard}#{self.name}"

    def __str__(self) -> str:
        return os.fspath(self)

    @property
    def key(self) -> tuple[str, str]:
        """Key of the sample and ending of the file, without the dot between them."""
        path = PurePosixPath(self.name)
        stem, _, ending = path.name.partition(".")
        return str(path.with_name(stem or path.name)), ending.lower()

    def read(self) -> bytes:
        """Return the content.

        Raises:
            DataError: the shard cannot be read, ends before the end of the file, or does not have the content.
        """
        if self.instead:
            raise DataError(
                self,
                expected="the content of a file",
                found=self.instead,
                advice="write the shard again with tar -h --hard-dereference, without --sparse",
            )
        try:
            with open(self.shard, "rb") as file:
                file.seek(self.offset)
                data = file.read(self.size)
        except OSError as error:
            raise DataError(self, expected="a file in a shard", but=f"{error.strerror}", advice="check it") from error
        if len(data) < self.size:
            raise DataError(
                self,
                expected=f"{self.size} bytes",
                found=f"{len(data)} before the end of the shard",
                advice="copy or download the shard again",
            )
        return data


def is_shard(path: str | os.PathLike[str]) -> bool:
    """Return True if the path has the ending of a shard, also of a compressed one.

    Example:
        >>> is_shard("000.tar"), is_shard("000.TAR.GZ"), is_shard("000.zip")
        (True, True, False)
    """
    return os.fspath(path).lower().endswith((ENDING, *COMPRESSED))


def members_of(shard: str | os.PathLike[str]) -> Iterator[ShardMember]:
    """Yield the files in a shard in their order. Memory does not grow with their number.

    Args:
        shard: path of the shard.

    Raises:
        DataError: the shard is missing, compressed or not a tar file, or it is damaged or cut off. All files before the
            damage are yielded first, and one that is cut off too; its :meth:`ShardMember.read` raises an error, as that
            of a link does.
    """
    if os.fspath(shard).lower().endswith(COMPRESSED):
        raise _compressed(shard)
    try:
        with tarfile.open(shard, "r:") as archive:
            yield from _listed(archive, os.fspath(shard))
    except tarfile.ReadError as error:
        if _first_bytes(shard).startswith(_COMPRESSED_BYTES):
            raise _compressed(shard) from error
        raise DataError(
            shard, expected="a complete tar file", but=f"{error}", advice="copy or download it again"
        ) from error
    except OSError as error:
        raise DataError(shard, expected="a shard", but=f"{error.strerror}", advice="check the path") from error


def _first_bytes(shard: str | os.PathLike[str]) -> bytes:
    with open(shard, "rb") as file:
        return file.read(_BLOCK)


def _compressed(shard: str | os.PathLike[str]) -> DataError:
    return DataError(
        shard, expected="a tar file without compression", found="a compressed one", advice="decompress it first"
    )


def _listed(archive: tarfile.TarFile, shard: str) -> Iterator[ShardMember]:
    while (entry := archive.next()) is not None:
        archive.members.clear()  # type: ignore[attr-defined]  # tarfile keeps all headers
        if entry.isreg() or entry.islnk() or entry.issym():
            yield ShardMember(shard, entry.name, entry.offset_data, entry.size, _instead_of_content(entry))
    file = archive.fileobj
    if file is None:
        return
    file.seek(archive.offset)  # tarfile ends without a word at the first header that it cannot read
    header = file.read(_BLOCK)
    if len(header) < _BLOCK:
        raise DataError(
            shard,
            expected="the end of a tar file, a block of zeros",
            found=f"{len(header)} bytes",
            advice="it is cut off: copy or download it again",
        )
    if header.strip(b"\0"):
        raise DataError(
            shard,
            expected=f"the header of a file at byte {archive.offset}",
            found="other bytes",
            advice="it is damaged: copy or download it again",
        )


def _instead_of_content(entry: tarfile.TarInfo) -> str:
    if entry.isreg():
        return "a sparse file" if entry.issparse() else ""
    return f"a link to {entry.linkname}"


def expanded_braces(text: str) -> list[str]:
    """Return the texts that braces stand for, as in a shell and in WebDataset.

    Args:
        text: braces contain two numbers, of equal length if the results have leading zeros, or texts with commas.

    Example:
        >>> expanded_braces("{a,b}-{08..10}.tar")
        ['a-08.tar', 'a-09.tar', 'a-10.tar', 'b-08.tar', 'b-09.tar', 'b-10.tar']
    """
    match = next((each for each in _BRACES.finditer(text) if _alternatives(each[1])), None)
    if match is None:
        return [text]
    before, after = text[: match.start()], text[match.end() :]
    return [f"{before}{each}{rest}" for each in _alternatives(match[1]) for rest in expanded_braces(after)]


def _alternatives(content: str) -> list[str]:
    numbers = _RANGE.fullmatch(content)
    if numbers is None:
        return content.split(",") if "," in content else []
    width = len(numbers[1]) if numbers[1].startswith("0") else 0
    return [f"{number:0{width}}" for number in range(int(numbers[1]), int(numbers[2]) + 1)]


def shards_in(text: str | os.PathLike[str], root: Path | None = None) -> list[Path]:
    """Return the shards that a text names: a file, a folder, or a pattern with braces.

    Args:
        text: the text.
        root: folder that contains relative paths; None for the working folder.

    Raises:
        DataError: a shard is missing, or the folder has none.
    """
    paths = [(root or Path()) / each for each in expanded_braces(os.path.expanduser(os.fspath(text)))]
    shards: list[Path] = []
    for path in paths:
        found = sorted(each for each in path.iterdir() if is_shard(each)) if path.is_dir() else [path]
        if not found or not all(each.is_file() for each in found):
            raise DataError(path, expected="a shard, NAME.tar", found="none", advice="check the path")
        shards += found
    return shards
