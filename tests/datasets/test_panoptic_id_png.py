"""Id maps of every kind of PNG; both decoders read the same ids."""

import io
import struct
import zlib

import numpy as np
import pytest
from panoptic_files import ids_of
from PIL import Image

from visionzoo.datasets.panoptic.id_png import decode_id_png, encode_id_png, read_id_png, write_id_png
from visionzoo.errors import DataError


def test_id_maps_of_every_kind_of_png(tmp_path):
    ids = ids_of(70_000, 256**3 - 1, 3)
    path = tmp_path / "a.png"
    write_id_png(path, ids)
    assert np.array_equal(read_id_png(path), ids)
    Image.open(path).convert("RGBA").save(path)
    assert np.array_equal(read_id_png(path), ids)
    small = ids_of(1, 255, 3)
    Image.fromarray(small.astype(np.uint8)).save(path)
    assert np.array_equal(read_id_png(path), small)
    Image.fromarray(ids_of(1, 60_000, 3).astype(np.uint16)).save(path)
    assert np.array_equal(read_id_png(path), ids_of(1, 60_000, 3))
    indices = Image.fromarray(small.astype(np.uint8), mode="L").convert("P")
    indices.putpalette([number * 7 % 256 for number in range(768)])
    indices.save(path)
    assert np.array_equal(read_id_png(path), np.array(indices))
    Image.fromarray(small.astype(np.uint8)).convert("LA").save(path)
    with pytest.raises(DataError, match=r"a\.png: expected an id map in RGB .*found grey with alpha of 8 bits"):
        read_id_png(path)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("interlaced", [False, True])
def test_libpng_and_pillow_read_the_same_ids(mode, interlaced, monkeypatch):
    colours = np.random.default_rng(0).integers(0, 256, (5, 7, len(mode)), dtype=np.uint8)
    data = interlaced_png(colours) if interlaced else png_of(Image.fromarray(colours))
    ids = decode_id_png(data, "a.png")
    assert ids.tolist() == (colours[..., :3].astype(int) @ (1, 256, 65536)).tolist()
    monkeypatch.setattr("visionzoo.datasets.panoptic.id_png._decoded_by_libpng", lambda data: None)
    np.testing.assert_array_equal(decode_id_png(data, "a.png"), ids)


def interlaced_png(colours):
    """Return a PNG in the seven passes of Adam7, which Pillow does not write."""
    passes = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1))
    parts = (colours[top::down, left::across] for top, down, left, across in passes)
    lines = b"".join(b"\0" + row.tobytes() for part in parts if part.shape[1] for row in part)
    height, width, channels = colours.shape
    header = struct.pack(">IIBBBBB", width, height, 8, {3: 2, 4: 6}[channels], 0, 0, 1)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    packed = (
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def png_of(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_an_id_that_does_not_fit_is_not_written():
    for number in (-1, 256**3):
        with pytest.raises(DataError, match=r"a\.png: expected ids from 0 to 16777215"):
            encode_id_png(np.array([[number, 0]]), "a.png")
    assert decode_id_png(encode_id_png(np.zeros((1, 1), int), "a.png"), "a.png").tolist() == [[0]]
