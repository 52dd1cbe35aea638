"""MATLAB files: complete ones are read; damaged ones raise an error and never crash the process."""

from __future__ import annotations

import contextlib
import io
import random
import struct
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from visionzoo.datasets.mat_files import check_structure, mat_variable
from visionzoo.errors import DataError

POINTS = np.array([[1.5, 2.0], [30.25, 4.0], [7.0, 80.0]])
INFO = np.empty((1, 1), dtype=object)
INFO[0, 0] = {"location": POINTS, "number": len(POINTS)}
VARIABLES = {
    "annPoints": POINTS,
    "none": np.zeros((0, 2)),
    "bytes": np.arange(6, dtype=np.uint8).reshape(2, 3),
    "BW": np.array([[True, False], [False, True]]),
    "complex": np.array([[1 + 2j, 3 - 1j]]),
    "text": "head points",
    "image_info": INFO,
}


def mat_bytes(*, compressed: bool = False) -> bytes:
    stored = io.BytesIO()
    scipy.io.savemat(stored, VARIABLES, do_compression=compressed)
    return stored.getvalue()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "points.mat"


@pytest.mark.parametrize("compressed", [False, True])
def test_reads_what_scipy_wrote(path: Path, *, compressed: bool) -> None:
    path.write_bytes(mat_bytes(compressed=compressed))
    for name in ("annPoints", "none", "bytes", "BW", "complex"):
        assert np.array_equal(mat_variable(path, name), VARIABLES[name])
    assert mat_variable(path, "text").item() == "head points"
    assert np.array_equal(mat_variable(path, "image_info")[0, 0][0, 0][0], POINTS)


@pytest.mark.parametrize("compressed", [False, True])
def test_damaged_bytes_are_an_error_or_harmless(path: Path, *, compressed: bool) -> None:
    whole, refused = mat_bytes(compressed=compressed), 0
    for seed in range(300):
        draw, damaged = random.Random(seed), bytearray(whole)
        for _ in range(draw.choice([1, 2, 8])):
            damaged[draw.randrange(128, len(damaged))] = draw.randrange(256)
        path.write_bytes(damaged)
        with contextlib.suppress(DataError):
            mat_variable(path, "annPoints")
            continue
        refused += 1
    assert refused > 100


@pytest.mark.parametrize("kept", [0, 60, 127, 130, 150, 300, 500])
def test_files_that_break_off_are_an_error(path: Path, kept: int) -> None:
    path.write_bytes(mat_bytes()[:kept])
    with pytest.raises(DataError, match="expected a MATLAB file"):
        mat_variable(path, "image_info")


def test_a_missing_variable_names_those_that_there_are(path: Path) -> None:
    path.write_bytes(mat_bytes())
    with pytest.raises(DataError, match="expected the variable points, found BW, annPoints"):
        mat_variable(path, "points")


def matrix(flags: int, sizes: tuple[int, ...], *parts: tuple[int, bytes]) -> bytes:
    """Return a file of one unnamed array."""
    elements = [(6, struct.pack("<II", flags, 0)), (5, struct.pack(f"<{len(sizes)}i", *sizes)), (1, b""), *parts]
    body = b"".join(struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8) for kind, data in elements)
    return bytes(124) + b"\x00\x01IM" + struct.pack("<II", 14, len(body)) + body


NAMES = ((5, struct.pack("<i", 4)), (1, b"x\0\0\0"))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (matrix(6, (2, 1), (9, bytes(8))), "2 numbers has 8 bytes"),
        (matrix(6, (-2, 1), (9, bytes(8))), "sizes"),
        (matrix(6, (1 << 20, 1 << 20), (9, bytes(8))), "sizes"),
        (matrix(6, (1, 1), (77, bytes(8))), "type 77"),
        (matrix(6 | 0x0800, (1, 1), (9, bytes(8))), "2 parts and has 1"),
        (matrix(1, (1, 3), (14, b"")), "3 members and has 1"),
        (matrix(1, (1, 1), (9, bytes(8))), "found an element of type 9"),
        (matrix(2, (1, 2), *NAMES, (14, b"")), "2 members and has 1"),
        (matrix(2, (1, 1), (9, bytes(8))), "names of fields"),
        (matrix(17, (1, 1), (9, bytes(8))), "class 17"),
        (bytes(200), "header"),
    ],
)
def test_contradictions_are_named(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check_structure(data)


def test_nesting_without_end_is_refused() -> None:
    data = b""
    for _ in range(40):
        data = matrix(1, (1, 1), (14, data[136:]))
    with pytest.raises(ValueError, match="expected an array, found an element of type 14 at depth 33"):
        check_structure(data)
