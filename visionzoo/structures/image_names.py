"""Endings of the names of image files."""

from __future__ import annotations

# What data sets are published with; where a stem has several files, the first of these counts.
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp")
# All that is read where any folder of images may be given.
ANY_IMAGE_ENDINGS = (*IMAGE_ENDINGS, ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm", ".pbm", ".jp2")


def without_ending(name: str) -> str:
    """The name without an ending of ``IMAGE_ENDINGS``; other names as they are.

    >>> without_ending("a/1.JPG"), without_ending("a/1.5")
    ('a/1', 'a/1.5')
    """
    ending = next((ending for ending in IMAGE_ENDINGS if name.lower().endswith(ending)), "")
    return name[: len(name) - len(ending)]
