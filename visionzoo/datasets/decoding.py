"""Opening of image files with Pillow, for images, masks and id maps. Every fault of a file is a DataError."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from visionzoo.datasets.shards import ShardMember
from visionzoo.errors import DataError
from visionzoo.structures.file_kinds import kind_of
from visionzoo.structures.image_size import open_header, require_pixels


def read_bytes(path: str | os.PathLike[str], what: str = "an image") -> bytes:
    """Return the content of a file.

    Args:
        path: the file, which may be a :class:`visionzoo.datasets.shards.ShardMember`.
        what: the word for the file in errors, ``an image`` or ``a mask``.

    Raises:
        DataError: the file is missing, empty, a folder or not readable.
    """
    try:
        data = path.read() if isinstance(path, ShardMember) else Path(path).read_bytes()
    except FileNotFoundError as error:
        raise DataError(path, expected=what, found="no such file", advice="check the path") from error
    except IsADirectoryError as error:
        raise DataError(path, expected=what, found="a folder", advice="name the files in it") from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        reason = getattr(error, "strerror", None) or f"{error}"
        raise DataError(path, expected=f"{what} that can be read", but=reason, advice="check its rights") from error
    return require_bytes(data, path, what)


def require_bytes(data: bytes, name: object, what: str = "an image") -> bytes:
    """Return the content of a file.

    Raises:
        DataError: it is empty.
    """
    if not data:
        raise DataError(name, expected=what, found="an empty file", advice="copy or download it again")
    return data


def opened_image(
    data: bytes | Image.Image, name: object, what: str = "an image", max_pixels: float | None = None
) -> Image.Image:
    """Decode all pixels of an image file, of the first frame if there are several.

    Args:
        data: content of the file, or an image that Pillow opened.
        name: name of the file in errors.
        what: the word for the file in errors.
        max_pixels: largest number of pixels; None for the limit of :func:`visionzoo.structures.image_size.most_pixels`.

    Raises:
        DataError: the bytes are not an image of a format that Pillow supports (:class:`NotAnImage`), are damaged, or
            their header states more pixels.

    Example:
        >>> file = io.BytesIO()
        >>> Image.new("L", (4, 3)).save(file, "PNG")
        >>> opened_image(file.getvalue(), "a.png").size
        (4, 3)
    """
    try:
        image = open_header(io.BytesIO(data)) if isinstance(data, bytes) else data
        require_pixels(image.size, name, max_pixels)
        image.load()
    except DataError:
        raise
    except UnidentifiedImageError as error:
        raise _not_an_image(data, name, what) from error  # type: ignore[arg-type]  # Pillow raises it for bytes
    except Exception as error:  # for damaged files, the plugins of Pillow raise errors of almost any type
        reason = getattr(error, "strerror", None) or f"{error}".partition("\n")[0] or type(error).__name__
        raise DataError(
            name, expected=f"{what} that can be decoded", but=reason, advice="copy or download it again"
        ) from error
    return image


def _not_an_image(data: bytes, name: object, what: str) -> NotAnImage:
    kind = kind_of(data)
    found = f"{len(data)} bytes that cannot be decoded" if kind is None or kind.noun == "an image" else kind.noun
    advice = "copy or download it again" if kind is None else kind.advice
    return NotAnImage(name, expected=f"{what} (JPEG, PNG, WebP, TIFF, BMP, ...)", found=found, advice=advice)


class NotAnImage(DataError):
    """Bytes that Pillow does not recognise as an image."""


def is_cut_to_8_bits(image: Image.Image, data: bytes) -> bool:
    """Return True if the file has more bits per value than the pixels that Pillow returns."""
    if image.mode == "F" or image.mode.startswith("I;"):
        return False
    if image.format == "PNG":
        return data[24] > 8
    if image.format == "TIFF" and image.mode != "I":
        return max(image.tag_v2.get(258, (1,))) > 8  # type: ignore[attr-defined]  # BitsPerSample
    return False


def to_uint8(pixels: np.ndarray, name: object) -> np.ndarray:
    """Convert pixels of bool, uint16 or floats in [0, 1] to uint8; uint8 is returned unchanged.

    Args:
        pixels: array of any shape.
        name: name of the image in errors.

    Raises:
        DataError: the pixels have another type, or floats are outside [0, 1].

    Example:
        >>> to_uint8(np.array([0.0, 1.0]), "a.tif")
        array([  0, 255], dtype=uint8)
    """
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype.kind == "u" and pixels.dtype.itemsize == 2:
        return np.rint(pixels / 257.0).astype(np.uint8)
    if pixels.dtype == bool:
        return pixels.astype(np.uint8) * np.uint8(255)
    if np.issubdtype(pixels.dtype, np.floating):
        return _unit_floats_to_uint8(pixels, name)
    is_byte = pixels.dtype.kind in "iu" and pixels.size and pixels.min() >= 0 and pixels.max() <= 255
    advice = "convert it with astype(numpy.uint8)" if is_byte else "convert it to 8 bits first"
    if pixels.dtype.kind == "O":
        advice = "make one array of numbers, or pass a list of images"
    raise DataError(
        name, expected="pixels of bool, uint8, uint16 or floats in [0, 1]", found=f"{pixels.dtype}", advice=advice
    )


def _unit_floats_to_uint8(pixels: np.ndarray, name: object) -> np.ndarray:
    low, high = (float(pixels.min()), float(pixels.max())) if pixels.size else (0.0, 0.0)
    if not (low >= 0.0 and high <= 1.0):  # also true for nan
        raise DataError(
            name, expected="float pixels in [0, 1]", found=f"[{low:g}, {high:g}]", advice=_range_advice(low, high)
        )
    return np.rint(pixels * 255.0).astype(np.uint8)


def _range_advice(low: float, high: float) -> str:
    if np.isnan(low) or np.isnan(high):
        return "replace the values that are not numbers"
    if low >= 0 and high <= 255:
        return "divide by 255"
    return "undo the normalisation, so that 0 is black and 1 is white" if low < 0 else "divide by the largest value"
