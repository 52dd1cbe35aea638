"""Id maps in PNG files: id = R + 256 G + 65536 B, as in COCO, or one number for each pixel."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np

from visionzoo.datasets.decoding import opened_image, read_bytes
from visionzoo.errors import DataError

LARGEST_ID = 256**3 - 1
_PNG = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB, _PALETTE, _RGBA = 0, 2, 3, 6  # colour types in the header of a PNG
_WHAT = "an id map"


def read_id_png(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an id map as (H, W) uint32; see :func:`decode_id_png`.

    Raises:
        DataError: the file is missing, or see :func:`decode_id_png`.
    """
    return decode_id_png(read_bytes(path, _WHAT), path)


def decode_id_png(data: bytes, where: object) -> np.ndarray:
    """Decode the bytes of an id map to (H, W) uint32.

    RGB of 8 bits is COCO's code; alpha is dropped. A file of one channel, 8 or 16 bits or with a palette, stores plain
    ids, as those of COCONut-XL.

    Args:
        data: content of the PNG.
        where: name of the file in errors.

    Raises:
        DataError: the bytes are not a PNG, are damaged, or have another number of bits or channels.

    Example:
        >>> encode_id_png(np.array([[70000, 3]], np.uint32), "a.png")[:4]
        b'\\x89PNG'
        >>> decode_id_png(encode_id_png(np.array([[70000, 3]], np.uint32), "a.png"), "a.png").tolist()
        [[70000, 3]]
    """
    if not data.startswith(_PNG) or len(data) < 33:
        image = opened_image(data, where, _WHAT)
        advice = "write it as PNG; other formats change ids or are not read by other tools"
        raise DataError(where, expected="an id map as PNG", found=f"{image.format}", advice=advice)
    bits, kind = data[24], data[25]
    if bits == 8 and kind in (_RGB, _RGBA):
        return _ids_of_colours(data, where)
    if kind in (_GREY, _PALETTE):
        return np.array(opened_image(data, where, _WHAT)).astype(np.uint32)
    raise DataError(
        where,
        expected="an id map in RGB of 8 bits, or in one channel",
        found=f"{'RGB' if kind in (_RGB, _RGBA) else 'grey with alpha'} of {bits} bits",
        advice="export the ids again",
    )


def is_single_channel(data: bytes) -> bool:
    """Return True if a PNG stores one number for each pixel.

    Example:
        >>> is_single_channel(encode_id_png(np.zeros((1, 1), np.uint32), "a.png"))
        False
    """
    return data.startswith(_PNG) and len(data) > 25 and data[25] in (_GREY, _PALETTE)


def _ids_of_colours(data: bytes, where: object) -> np.ndarray:
    pixels = _decoded_by_libpng(data) if _is_whole(data) else None
    if pixels is None:
        image = opened_image(data, where, _WHAT)
        pixels = np.array(image if image.mode == "RGBA" else image.convert("RGB"))
    if pixels.shape[2] == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA)  # in a quarter of the time of Pillow's RGBX
    ids = np.ascontiguousarray(pixels).view("<u4")[..., 0]  # the four bytes of a pixel are one number
    ids &= np.uint32(LARGEST_ID)
    return ids


def _is_whole(data: bytes) -> bool:
    """Return True if all chunks have their length and checksum; torchvision ends the process for some that have not."""
    at = len(_PNG)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        name, end = data[at + 4 : at + 8], at + 8 + length
        if data[end : end + 4] != struct.pack(">I", zlib.crc32(data[at + 4 : end])):
            return False
        at = end + 4
        if name == b"IEND":
            return True
    return False


def _decoded_by_libpng(data: bytes) -> np.ndarray | None:
    """Return the colours, (H, W, 3 or 4) uint8, in half of Pillow's time. None if Pillow has to judge the bytes."""
    import torch

    try:
        from torchvision.io import decode_png  # deprecated since torchvision 0.29

        pixels = decode_png(torch.frombuffer(bytearray(data), dtype=torch.uint8))
    except (ImportError, RuntimeError):  # a torchvision without its image library; damaged bytes
        return None
    return pixels.permute(1, 2, 0).numpy()


def colours_of_ids(ids: np.ndarray) -> np.ndarray:
    """Return the RGB colours of ids up to 16,777,215, as uint8 with a last axis of 3.

    Example:
        >>> colours_of_ids(np.array([197121])).tolist()
        [[1, 2, 3]]
    """
    return np.stack([ids & 255, ids >> 8 & 255, ids >> 16 & 255], axis=-1).astype(np.uint8)


def encode_id_png(ids: np.ndarray, where: object) -> bytes:
    """Return a PNG with COCO's code of ids.

    Args:
        ids: (H, W) integers from 0 to 16,777,215.
        where: name of the file in errors.

    Raises:
        DataError: an id is outside this range.
    """
    if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) <= LARGEST_ID:
        found = f"{int(ids.min())} to {int(ids.max())}"
        raise DataError(where, expected=f"ids from 0 to {LARGEST_ID}", found=found, advice="number them from 1")
    _, data = cv2.imencode(".png", colours_of_ids(np.asarray(ids))[..., ::-1])
    return data.tobytes()


def write_id_png(path: Path, ids: np.ndarray) -> None:
    """Write an id map, (H, W) integers from 0 to 16,777,215, as PNG with COCO's code.

    Raises:
        DataError: an id is outside this range.
    """
    path.write_bytes(encode_id_png(ids, path))
