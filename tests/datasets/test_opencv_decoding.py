"""OpenCV decodes PNG files without a warning on stderr, to the same pixels."""

import struct
import zlib

import cv2
import numpy as np
import pytest

from visionzoo.datasets.opencv_decoding import decode_with_opencv
from visionzoo.datasets.transforms.loading import read_image

PIXELS = np.random.default_rng(0).integers(0, 65536, (5, 7, 3), dtype=np.uint16)
PLAIN = cv2.imencode(".png", PIXELS)[1].tobytes()
PROFILE = zlib.compress(b"\x00\x00\x00\x84" + b"junk" * 32)
CHUNKS = {
    "iCCP": b"ICC Profile\x00\x00" + PROFILE,
    "gAMA": struct.pack(">I", 0),
    "sBIT": b"\x00\x20\x20",
    "cHRM": struct.pack(">8I", *[0] * 8),
    "iTXt": b"k\x00\x01\x00\x00\x00broken",
}


def with_chunk(name):
    body = name.encode() + CHUNKS[name]
    chunk = struct.pack(">I", len(CHUNKS[name])) + body + struct.pack(">I", zlib.crc32(body))
    return PLAIN[:33] + chunk + PLAIN[33:]


@pytest.mark.parametrize("name", CHUNKS)
def test_a_broken_description_prints_nothing_and_keeps_the_pixels(name, capfd):
    np.testing.assert_array_equal(decode_with_opencv(with_chunk(name), cv2.IMREAD_UNCHANGED), PIXELS)
    assert read_image(with_chunk(name)).shape == (5, 7, 3)
    assert capfd.readouterr().err == ""


def test_opencv_alone_prints_a_warning(capfd):
    cv2.imdecode(np.frombuffer(with_chunk("iCCP"), np.uint8), cv2.IMREAD_UNCHANGED)
    assert "iCCP" in capfd.readouterr().err


@pytest.mark.parametrize("data", [b"", PLAIN[:8], PLAIN[:40], PLAIN[:-20], b"\x89PNG\r\n\x1a\n" + b"\xff" * 20])
def test_damaged_files_end_in_none_or_pixels(data):
    try:
        pixels = decode_with_opencv(data, cv2.IMREAD_UNCHANGED)
    except cv2.error:  # OpenCV rejects an empty buffer
        return
    assert pixels is None or pixels.shape == PIXELS.shape
