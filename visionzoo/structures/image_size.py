"""Sizes of image files, and the check that masks have the size of their image."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence

from PIL import Image

from visionzoo.errors import DataError

# Pillow raises these for truncated or broken headers.
_BROKEN_HEADERS = (
    OSError, SyntaxError, ValueError, ArithmeticError, LookupError, TypeError, EOFError, struct.error,
    Image.DecompressionBombError,
)  # fmt: skip


def size_of_file(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Return the stored (width, height) in pixels; EXIF is ignored and only the header is read.

    Raises:
        DataError: the file is missing or is not an image.
    """
    try:
        with Image.open(path) as image:
            return image.size
    except _BROKEN_HEADERS as error:
        raise DataError(
            os.fspath(path), expected="an image", but=f"it cannot be read ({error})", advice="copy it again"
        ) from error


def require_size(
    shape: Sequence[int], size: Sequence[int], where: object, *, what: str, like: object, advice: str
) -> None:
    """Check that a mask, or another array that belongs to an image, has the size of the image.

    Args:
        shape: shape of the array, height first.
        size: (H, W) of the image.
        where: file of the array, for the error.
        what: the word for the array in the error, ``a mask``.
        like: name of the image, for the error.
        advice: advice of the error.

    Raises:
        DataError: the sizes differ.
    """
    height, width = size
    if tuple(shape) != (height, width):
        raise DataError(
            where,
            expected=f"{what} of {width}x{height} pixels like {like}",
            found="x".join(map(str, reversed(shape))),
            advice=advice,
        )
