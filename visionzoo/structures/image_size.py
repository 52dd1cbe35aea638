"""Sizes of image files."""

from __future__ import annotations

import os

from PIL import Image


def size_of_file(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Return (width, height) in pixels as stored, whatever EXIF says; only the header is read."""
    with Image.open(path) as image:
        return image.size
