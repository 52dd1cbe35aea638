"""Read checkpoints of TensorFlow, ``model.ckpt.index`` and ``model.ckpt.data-00000-of-00001``, without TensorFlow.

The index is a table of LevelDB: blocks of sorted keys with checksums, and a footer with the place of the block of
blocks. Its values are protocol buffers: a header under the empty key, and for each tensor its dtype, shape, shard,
place and checksum. The shards hold the tensors as plain bytes. Nothing in these files is run, and every length is
checked before memory is taken. (tensorflow/core/util/tensor_bundle and tensorflow/core/lib/io/format.h)
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from visionzoo.errors import CheckpointError
from visionzoo.weights.crc32c import crc32c

_MAGIC = 0xDB4775248B80FB57
_FOOTER, _TRAILER = 48, 5  # bytes of the footer, and of the compression and checksum after each block
_MOST_INDEX = 256 << 20  # bytes
_MOST_SHARDS, _MOST_AXES = 10_000, 16
_MASK_ADDED = 0xA282EAD8

# Numbers of TensorFlow's dtypes. Text, which has no entry, is left out.
_DTYPES = {
    1: "<f4",
    2: "<f8",
    3: "<i4",
    4: "u1",
    5: "<i2",
    6: "i1",
    9: "<i8",
    10: "?",
    19: "<f2",
}
_BFLOAT16, _TEXT = 14, 7


class _Damaged(Exception):
    """Bytes that are not those of a whole checkpoint."""


@dataclass(frozen=True)
class _Entry:
    """Place of one tensor: numbers of its dtype, its shape, and its bytes in a shard."""

    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    checksum: int
    has_slices: bool


def is_tf_bundle(path: Path) -> bool:
    """Return True if ``path`` followed by ``.index`` is a file; ``model.ckpt`` itself does not exist.

    Example:
        >>> is_tf_bundle(Path("/nowhere/model.ckpt"))
        False
    """
    return not path.exists() and _index_of(path).is_file()


def read_tf_bundle(path: Path) -> dict[str, Tensor]:
    """Read all variables of a checkpoint, except those of text.

    Args:
        path: what the names of its files begin with, ``model.ckpt``.

    Returns:
        Tensors by the names of the variables, on the CPU and in the layout of TensorFlow.

    Raises:
        CheckpointError: a file is missing, truncated or changed, or holds what no checkpoint of variables has.
    """
    try:
        index = _index_of(path)
        if index.stat().st_size > _MOST_INDEX:
            raise _Damaged(f"an index of {index.stat().st_size:,} bytes")
        values = dict(_table(index.read_bytes()))
        shards = _shards(path, values.pop(b"", b""))
        entries = {name.decode(): _entry(value) for name, value in values.items()}
        tensors = {name: _tensor(name, entry, shards) for name, entry in entries.items() if entry.dtype != _TEXT}
    except (_Damaged, OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"{error}"
        raise CheckpointError(
            path, expected="a whole checkpoint of TensorFlow", but=f"{reason}", advice="download it again"
        ) from error
    if not tensors:
        raise CheckpointError(path, expected="variables of numbers", found="none", advice="give a trained checkpoint")
    return tensors


def _index_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.index")


# --- the table ---


def _table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and values of a table in order."""
    if len(data) < _FOOTER or struct.unpack("<Q", data[-8:])[0] != _MAGIC:
        raise _Damaged("the index has no footer of a table")
    footer = data[-_FOOTER:-8]
    _, at = _pair(footer, 0)  # of a block that is always empty
    place, _ = _pair(footer, at)
    for _, value in _block(data, *place):
        handle, _ = _pair(value, 0)
        yield from _block(data, *handle)


def _pair(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    """Return two numbers, offset and size of a block, and the position after them."""
    offset, at = _varint(data, at)
    size, at = _varint(data, at)
    return (offset, size), at


def _block(data: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and values of a block, whose keys omit what they share with the key before."""
    end = offset + size
    if end + _TRAILER > len(data) - _FOOTER or size < 4:
        raise _Damaged("a block ends beyond the index")
    kind, checksum = struct.unpack("<BI", data[end : end + _TRAILER])
    if kind != 0:
        raise _Damaged("the index is compressed")
    if _masked(crc32c(data[offset : end + 1])) != checksum:
        raise _Damaged("a block of the index has another checksum")
    (restarts,) = struct.unpack("<I", data[end - 4 : end])
    at, last, key = offset, end - 4 * (restarts + 1), b""
    if last < offset:
        raise _Damaged("a block of the index has no room for its entries")
    while at < last:
        shared, at = _varint(data, at)
        own, at = _varint(data, at)
        length, at = _varint(data, at)
        if shared > len(key) or at + own + length > last:
            raise _Damaged("an entry of the index ends beyond its block")
        key = key[:shared] + data[at : at + own]
        yield key, data[at + own : at + own + length]
        at += own + length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a number of up to ten bytes of seven bits, and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise _Damaged("a number of the index ends beyond it")
        byte, at = data[at], at + 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _Damaged("a number of the index is too long")


def _masked(checksum: int) -> int:
    """Return a checksum as LevelDB stores it."""
    return ((checksum >> 15 | checksum << 17) + _MASK_ADDED) & 0xFFFFFFFF


# --- protocol buffers ---


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the number and value of each field of a message."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        size, at = _varint(data, at) if kind == 2 else ({1: 8, 5: 4}.get(kind, -1), at)
        if size < 0 or at + size > len(data):
            raise _Damaged("a value of the index is not a message")
        yield number, data[at : at + size]
        at += size


def _numbers(data: bytes) -> dict[int, int]:
    return {number: value for number, value in _fields(data) if isinstance(value, int)}


def _entry(data: bytes) -> _Entry:
    numbers, fields = _numbers(data), list(_fields(data))
    checksum = next((value for number, value in fields if number == 6 and isinstance(value, bytes)), bytes(4))
    shape = next((value for number, value in fields if number == 2 and isinstance(value, bytes)), b"")
    return _Entry(
        numbers.get(1, 0),
        _shape(shape),
        numbers.get(3, 0),
        numbers.get(4, 0),
        numbers.get(5, 0),
        int.from_bytes(checksum, "little"),
        any(number == 7 for number, _ in fields),
    )


def _shape(data: bytes) -> tuple[int, ...]:
    axes = [_numbers(value).get(1, 0) for number, value in _fields(data) if number == 2 and isinstance(value, bytes)]
    if len(axes) > _MOST_AXES or any(axis >= 1 << 40 for axis in axes):
        raise _Damaged("a tensor has an impossible shape")
    return tuple(axes)


# --- tensors ---


def _shards(path: Path, header: bytes) -> list[Path]:
    numbers = _numbers(header)
    count = numbers.get(1, 0)
    if not 0 < count <= _MOST_SHARDS:
        raise _Damaged(f"the index states {count} files of tensors")
    if numbers.get(2, 0) != 0:
        raise _Damaged("its numbers are big-endian")
    shards = [path.with_name(f"{path.name}.data-{shard:05d}-of-{count:05d}") for shard in range(count)]
    for shard in shards:
        if not shard.is_file():
            raise _Damaged(f"there is no {shard.name}")
    return shards


def _tensor(name: str, entry: _Entry, shards: list[Path]) -> Tensor:
    is_bfloat16 = entry.dtype == _BFLOAT16
    dtype = np.dtype("<u2" if is_bfloat16 else _DTYPES.get(entry.dtype, "V1"))
    if dtype.kind == "V" or entry.has_slices:
        raise _Damaged(f"{name} is partitioned or of an unknown dtype")
    if entry.size != math.prod(entry.shape) * dtype.itemsize:
        raise _Damaged(f"{name} of shape {entry.shape} has {entry.size} bytes")
    if entry.shard >= len(shards) or entry.offset + entry.size > shards[entry.shard].stat().st_size:
        raise _Damaged(f"{name} ends beyond its file")
    with open(shards[entry.shard], "rb") as file:
        file.seek(entry.offset)
        data = bytearray(file.read(entry.size))
    if len(data) != entry.size or _masked(crc32c(data)) != entry.checksum:
        raise _Damaged(f"{name} has another checksum")
    array = np.frombuffer(data, dtype).reshape(entry.shape)
    if is_bfloat16:
        return torch.from_numpy(array.view("<i2")).view(torch.bfloat16)
    return torch.from_numpy(array)
