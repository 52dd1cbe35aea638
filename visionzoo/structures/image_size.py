"""Sizes of image files."""

from __future__ import annotations

import os

from PIL import Image

from visionzoo.errors import DataError


def size_of_file(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Return the stored (width, height) in pixels; EXIF is ignored and only the header is read.

    Raises:
        DataError: the file is missing or is not an image.
    """
    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, SyntaxError, ValueError) as error:  # Pillow raises these for truncated or broken headers
        raise DataError(
            os.fspath(path), expected="an image", but=f"it cannot be read ({error})", advice="copy it again"
        ) from error
