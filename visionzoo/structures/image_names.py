"""File name endings of images."""

from __future__ import annotations

# Endings of published data sets. If a stem has several files, the first ending is used.
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp")
# Endings that are accepted in any folder of images.
ANY_IMAGE_ENDINGS = (*IMAGE_ENDINGS, ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm", ".pbm", ".jp2")


def without_ending(name: str) -> str:
    """Remove an ending of ``IMAGE_ENDINGS`` from a name; other names are unchanged.

    Example:
        >>> without_ending("a/1.JPG"), without_ending("a/1.5")
        ('a/1', 'a/1.5')
    """
    ending = next((ending for ending in IMAGE_ENDINGS if name.lower().endswith(ending)), "")
    return name[: len(name) - len(ending)]
