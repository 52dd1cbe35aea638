"""Sizes of images and of what belongs to them."""

from __future__ import annotations

import os
from collections.abc import Sequence

from PIL import Image

from visionzoo.errors import DataError


def size_of_file(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Return (width, height) in pixels as stored, whatever EXIF says; only the header is read.

    Raises:
        DataError: the file is missing or is not an image.
    """
    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, SyntaxError, ValueError) as error:  # Pillow's for headers that are cut or broken
        raise DataError(
            os.fspath(path), expected="an image", but=f"it cannot be read ({error})", advice="copy it again"
        ) from error


def require_size(
    shape: Sequence[int], size: Sequence[int], where: object, *, what: str, like: object, advice: str
) -> None:
    """Pass only what has the size of its image.

    Args:
        shape: its own, height first.
        size: (H, W) of the image.
        where: its file, for the error.
        what: it is, ``a mask``.
        like: the image's name.
        advice: what to do about it.

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
