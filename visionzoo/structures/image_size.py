"""Sizes of image files."""

from __future__ import annotations

import os

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
