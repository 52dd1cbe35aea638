"""Reading of images from a file, bytes or an array as RGB uint8, without torch. Errors name the image.

All images inside visionzoo are RGB. Only this module handles OpenCV's BGR.
"""

from __future__ import annotations

import io
import math
import os
import struct
from collections.abc import Iterator

import cv2
import numpy as np
from PIL import Image, ImageOps

from visionzoo.datasets.decoding import (
    NotAnImage,
    is_cut_to_8_bits,
    opened_image,
    read_bytes,
    require_bytes,
    to_uint8,
)
from visionzoo.datasets.opencv_decoding import decode_with_opencv
from visionzoo.errors import DataError
from visionzoo.structures.image_size import open_header, require_pixels

# OpenCV prints a message for each file that it cannot decode; our error names the file.
cv2.setLogLevel(0)

PILImage = Image.Image
ImageSource = str | os.PathLike | bytes | np.ndarray

_JPEG, _PNG, _RIFF = b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"RIFF"
_JPEG_END, _PNG_END = b"\xff\xd9", b"IEND\xaeB`\x82"
_AS_RGB: int | None = getattr(
    cv2, "IMREAD_COLOR_RGB", None
)  # since OpenCV 4.11; used for JPEG, whose decoder converts colours

_START_OF_SCAN = 0xDA
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def read_image(source: ImageSource, *, exif: bool = True, max_pixels: float | None = None) -> np.ndarray:
    """Read an image as (H, W, 3) uint8 RGB.

    Grey images are repeated over the three channels. Alpha is dropped without a background, as in Pillow's
    ``convert("RGB")`` and OpenCV. 16-bit values are scaled so that 65535 becomes 255.

    Args:
        source: a path; the bytes of a file; or an array, (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA, of bool,
            uint8, uint16 or floats in [0, 1].
        exif: rotate the image by its EXIF orientation (files and bytes only).
        max_pixels: largest number of pixels (files and bytes only), see :func:`decode_image`.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        DataError: the source cannot be read; the message begins with its name.

    Example:
        >>> int(read_image(np.full((4, 6), 0.2)).max())
        51
    """
    if isinstance(source, np.ndarray):
        return _rgb_from_array(source)
    if isinstance(source, bytes):
        return decode_image(source, name="image bytes", exif=exif, max_pixels=max_pixels)
    return decode_image(read_bytes(source), name=str(source), exif=exif, max_pixels=max_pixels)


def decode_image(data: bytes, *, name: str, exif: bool = True, max_pixels: float | None = None) -> np.ndarray:
    """Decode the bytes of an image file to (H, W, 3) uint8 RGB.

    OpenCV decodes JPEG, because it is faster. Pillow decodes all other formats, because it notices damage and follows
    the EXIF orientation of all of them. Where Pillow cuts values to 8 bits, OpenCV decodes them instead.

    Args:
        data: content of the file.
        name: name of the image in errors.
        exif: rotate the image by its EXIF orientation.
        max_pixels: largest number of pixels, compared with the header before pixels are decoded. None for the limit of
            :func:`visionzoo.structures.image_size.most_pixels`.

    Raises:
        DataError: the bytes are empty, truncated, damaged or not an image, or the image has too many pixels, or pixels
            of another type than :func:`read_image` accepts.
    """
    require_bytes(data, name)
    if data.startswith(_JPEG) and (size := _jpeg_size(data)):
        require_pixels(size, name, max_pixels)
    if _is_cut_off(data):
        raise _truncated(name, data)
    pixels = _decode_with_opencv(data, name, exif) if data.startswith(_JPEG) else None
    return _decode_with_pillow(data, name, exif, max_pixels) if pixels is None else pixels


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Return (width, height) in pixels; None if the header is damaged, which decoding reports."""
    frames = [at for at, marker in _jpeg_segments(data) if marker in _START_OF_FRAME]
    if frames:
        height, width = struct.unpack(">HH", data[frames[-1] + 5 : frames[-1] + 9])
        if height and width:
            return width, height
    try:
        return open_header(io.BytesIO(data)).size
    except Exception:  # for damaged headers, the plugins of Pillow raise errors of almost any type
        return None


def _decode_with_opencv(data: bytes, name: str, exif: bool) -> np.ndarray | None:
    """Return None if this build of OpenCV cannot decode the bytes."""
    as_rgb = _AS_RGB if data.startswith(_JPEG) else None
    colour = cv2.IMREAD_COLOR if as_rgb is None else as_rgb
    try:
        image = decode_with_opencv(data, colour | cv2.IMREAD_ANYDEPTH | (0 if exif else cv2.IMREAD_IGNORE_ORIENTATION))
    except cv2.error as error:  # OpenCV rejects images of more than 2**30 pixels
        raise DataError(name, expected="an image that can be decoded", but=f"OpenCV reports: {error.err}") from error
    if image is not None:
        pixels = to_uint8(image, name)
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB) if as_rgb is None else pixels
    single = decode_with_opencv(data, cv2.IMREAD_UNCHANGED)  # one channel of 64-bit floats
    return None if single is None or single.ndim != 2 else _rgb_of_grey(to_uint8(single, name))


def _rgb_of_grey(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)


def _decode_with_pillow(data: bytes, name: str, exif: bool, max_pixels: float | None) -> np.ndarray:
    try:
        image = opened_image(data, name, max_pixels=max_pixels)
    except NotAnImage:
        is_damaged = data.startswith((_PNG, _RIFF))  # libpng prints what it finds
        pixels = None if is_damaged else _decode_with_opencv(data, name, exif)
        if pixels is None:
            raise
        return pixels
    if is_cut_to_8_bits(image, data) or image.format == "PPM":
        pixels = _decode_with_opencv(data, name, exif)
        if pixels is not None:
            return pixels
    return rgb_of_pillow(image, name, exif=exif)


def rgb_of_pillow(image: PILImage, name: str, *, exif: bool = True) -> np.ndarray:
    """Return the pixels of a Pillow image as (H, W, 3) uint8 RGB.

    Args:
        image: an image of any mode.
        name: name of the image in errors.
        exif: rotate the image by its EXIF orientation.

    Raises:
        DataError: the pixels are 32-bit integers, or floats outside [0, 1].

    Example:
        >>> rgb_of_pillow(Image.new("F", (2, 1), 1.0), "a.tif").tolist()
        [[[255, 255, 255], [255, 255, 255]]]
    """
    turned = _turned(image) if exif else image
    if turned.mode == "F" or turned.mode.startswith("I"):
        return _rgb_of_grey(to_uint8(np.asarray(turned), name))
    if "transparency" in turned.info:
        turned = turned.convert("RGBA")  # Pillow warns if it converts a palette with alpha to RGB
    return np.array(turned if turned.mode == "RGB" else turned.convert("RGB"))


def _turned(image: PILImage) -> PILImage:
    """Rotate an image by its EXIF orientation; damaged EXIF data does not rotate it."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # for damaged EXIF data, Pillow raises errors of almost any type
        return image


# --- truncated files: some OpenCV versions return them and fill the rest with grey ---


def _is_cut_off(data: bytes) -> bool:
    """Return True if the end marker or the stated length shows that bytes are missing."""
    if data.startswith(_JPEG):
        return data.rfind(_JPEG_END, _jpeg_scan_start(data)) < 0 and not _pillow_reads_all(data)
    if data.startswith(_PNG):
        return _PNG_END not in data[-4096:] and _PNG_END not in data
    if data.startswith(_RIFF) and len(data) >= 8:
        return len(data) < 8 + struct.unpack("<I", data[4:8])[0]
    return False


def _jpeg_scan_start(data: bytes) -> int:
    """Return the offset of the first scan, because an embedded thumbnail has an end marker too."""
    return next((at for at, marker in _jpeg_segments(data) if marker == _START_OF_SCAN), len(data))


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield offset and marker of each segment up to the first scan."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        yield at, marker
        if marker == _START_OF_SCAN:
            return
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")


def _pillow_reads_all(data: bytes) -> bool:
    """Return True if Pillow decodes all pixels: some cameras omit the end marker of a complete image."""
    try:
        opened_image(data, "", max_pixels=math.inf)
    except DataError:
        return False
    return True


def _truncated(name: str, data: bytes) -> DataError:
    return DataError(
        name,
        expected="a whole image",
        found=f"a truncated file of {len(data)} bytes",
        advice="copy or download it again",
    )


# --- arrays ---


def _rgb_from_array(array: np.ndarray) -> np.ndarray:
    shape = array.shape
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        raise DataError(
            "image array",
            expected="shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4)",
            found=f"{shape}",
            advice=_shape_advice(shape),
        )
    if array.shape[2] == 1:
        array = np.repeat(array, 3, axis=2)
    return np.ascontiguousarray(to_uint8(array[..., :3], "image array"))


def _shape_advice(shape: tuple[int, ...]) -> str:
    if 0 in shape:
        return "check how it was cut: it has no pixels"
    if len(shape) == 3 and shape[0] in (1, 3, 4):
        return "transpose it to (H, W, C): array.transpose(1, 2, 0)"
    if len(shape) == 4:
        return "pass a list of images, such as list(array)"
    if len(shape) == 3:
        return f"choose three of its {shape[2]} channels"
    return "reshape it to the height and width of the image"
