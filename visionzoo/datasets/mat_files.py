"""Reading of variables from MATLAB files of version 5 to 7.2.

scipy reads the values, but its compiled reader trusts the lengths and types in a file, and damaged bytes can crash the
process. This module therefore checks the structure of a file first.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visionzoo.datasets.findings import shown
from visionzoo.errors import DataError, some_of

# Bytes per value of each data type, then the types that are not plain values or have a special role.
_VALUE_BYTES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8, 16: 1, 17: 2, 18: 4}
_INT8, _INT32, _UINT32, _MATRIX, _COMPRESSED = 1, 5, 6, 14, 15

# Classes of arrays.
_CELL, _STRUCT, _CHAR = 1, 2, 4
_NUMBERS = range(6, 16)
_COMPLEX = 0x0800

_HEADER = 128
_DEEPEST = 32
_MOST_BYTES = 1 << 31

# Errors, besides MatReadError, that scipy's reader raises for other bytes and broken MATLAB files.
_BROKEN = (OSError, ValueError, TypeError, LookupError, OverflowError, UnboundLocalError, zlib.error, struct.error)


def mat_variable(path: Path, name: str) -> Any:
    """Read a variable of a MATLAB file of version 5 to 7.2.

    Raises:
        DataError: the file is missing, broken or of version 7.3 (HDF5), or lacks the variable.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        check_structure(path.read_bytes())
        variables = loadmat(path, appendmat=False)
    except FileNotFoundError as error:
        raise DataError(path, expected="an annotation", found="no such file", advice="copy it again") from error
    except NotImplementedError as error:
        raise DataError(
            path,
            expected="a MATLAB file up to version 7.2",
            found="version 7.3 (HDF5; MATLAB's save(file, '-v7') writes version 7)",
            advice="save it again",
        ) from error
    except (MatReadError, *_BROKEN) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(
            path, expected="a MATLAB file", found=f"a file that cannot be read ({reason:.200})", advice="copy it again"
        ) from error
    if name not in variables:
        there = some_of(sorted(shown(key).strip("'") for key in variables if not key.startswith("__")), 6) or "none"
        raise DataError(path, expected=f"the variable {name}", found=f"{there}", advice="use the files as published")
    return variables[name]


def check_structure(data: bytes) -> None:
    """Check all elements of a file of version 5. Files of version 7.3 pass, because scipy's reader rejects them.

    Raises:
        ValueError: lengths or types contradict each other.
    """
    if len(data) < _HEADER:
        raise ValueError(f"only {len(data)} bytes")
    version, endian = data[124:126], data[126:128]
    if endian not in (b"IM", b"MI"):
        raise ValueError("no MATLAB header")
    order = "<" if endian == b"IM" else ">"
    if version[1 if order == "<" else 0] == 2:  # 7.3
        return
    for element in _elements(data[_HEADER:], order):
        _check_variable(element, order)


@dataclass(frozen=True)
class _Element:
    kind: int
    data: bytes

    def numbers(self, order: str) -> tuple[int, ...]:
        return struct.unpack(f"{order}{len(self.data) // 4}i", self.data[: len(self.data) // 4 * 4])


def _elements(data: bytes, order: str) -> Iterator[_Element]:
    """Yield consecutive elements; each begins with its type and its length in bytes."""
    at = 0
    while at < len(data):
        if at + 8 > len(data):
            raise ValueError("it ends within an element")
        kind, length = struct.unpack_from(f"{order}II", data, at)
        start = at + 8
        if kind >> 16:  # short form: up to four bytes follow the type directly
            kind, length, start = kind & 0xFFFF, kind >> 16, at + 4
            if length > 4:
                raise ValueError("a short element is too long")
        if start + length > len(data):
            raise ValueError("an element is longer than the file")
        yield _Element(kind, data[start : start + length])
        end = start + length
        at = end if kind == _COMPRESSED else end + -end % 8


def _check_variable(element: _Element, order: str) -> None:
    if element.kind != _COMPRESSED:
        _check_matrix(element, order)
        return
    unpacker = zlib.decompressobj()
    unpacked = unpacker.decompress(element.data, _MOST_BYTES)
    if not unpacker.eof:
        raise ValueError("a compressed variable is truncated")
    for inner in _elements(unpacked, order):
        _check_matrix(inner, order)


def _check_matrix(element: _Element, order: str, depth: int = 0) -> None:
    """Check an array of numbers, characters, cells or structs."""
    if element.kind != _MATRIX or depth > _DEEPEST:
        raise ValueError(f"expected an array, found an element of type {element.kind} at depth {depth}")
    if not element.data:
        return  # an empty array
    flags, shape, name, *parts = _padded_elements(element.data, order)
    if (flags.kind, len(flags.data), shape.kind, name.kind) != (_UINT32, 8, _INT32, _INT8):
        raise ValueError("an array does not begin with flags, sizes and a name")
    sizes = shape.numbers(order)
    if len(sizes) < 2 or min(sizes) < 0 or math.prod(sizes) > _MOST_BYTES:
        raise ValueError(f"an array has sizes {sizes}")
    word = flags.numbers(order)[0]
    kind, count = word & 0xFF, math.prod(sizes)
    if kind in (_CELL, _STRUCT):
        _check_members(parts, kind, count, order, depth)
    elif kind in _NUMBERS:
        _check_values(parts, count, 2 if word & _COMPLEX else 1)
    elif kind != _CHAR or len(parts) != 1 or parts[0].kind not in _VALUE_BYTES:
        raise ValueError(f"an array is of class {kind}")


def _padded_elements(data: bytes, order: str) -> list[_Element]:
    elements = list(_elements(data, order))
    if len(elements) < 3:
        raise ValueError("an array lacks flags, sizes or a name")
    return elements


def _check_members(parts: list[_Element], kind: int, count: int, order: str, depth: int) -> None:
    if kind == _STRUCT:
        length, names, *parts = parts if len(parts) >= 2 else [_Element(0, b"")] * 2
        (width,) = length.numbers(order) if length.kind == _INT32 and len(length.data) == 4 else (0,)
        if width < 1 or names.kind != _INT8 or len(names.data) % width:
            raise ValueError("a struct has no proper names of fields")
        count *= len(names.data) // width
    if len(parts) != count:
        raise ValueError(f"an array states {count} members and has {len(parts)}")
    for part in parts:
        _check_matrix(part, order, depth + 1)


def _check_values(parts: list[_Element], count: int, expected: int) -> None:
    if len(parts) != expected:
        raise ValueError(f"an array of numbers states {expected} parts and has {len(parts)}")
    for part in parts:
        if part.kind not in _VALUE_BYTES or len(part.data) != count * _VALUE_BYTES[part.kind]:
            raise ValueError(f"an array of {count} numbers has {len(part.data)} bytes of type {part.kind}")
