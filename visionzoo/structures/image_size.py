"""Sizes of image files, and the check that masks have the size of their image."""

from __future__ import annotations

import os
from collections.abc import Sequence

from PIL import Image

from visionzoo.errors import DataError

# EXIF tag of the orientation, and the orientations that swap width and height.
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)


def size_of_file(path: str | os.PathLike[str], *, exif: bool = False) -> tuple[int, int]:
    """Return the (width, height) in pixels; only the header is read.

    Args:
        path: an image file.
        exif: True for the size after the rotation by the EXIF orientation, False for the stored size.

    Raises:
        DataError: the file is missing or is not an image.
    """
    try:
        with Image.open(path) as image:
            turned = exif and image.getexif().get(_ORIENTATION) in _TURNED
            return image.size[::-1] if turned else image.size
    except Exception as error:  # for damaged headers, the plugins of Pillow raise errors of almost any type
        reason = f"{error}".partition("\n")[0]
        raise DataError(
            os.fspath(path), expected="an image", but=f"it cannot be read ({reason})", advice="copy it again"
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
