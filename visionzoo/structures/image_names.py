"""File names of images."""

from __future__ import annotations

# Endings of published data sets. If a stem has several files, the first ending is used.
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".jpe", ".jfif", ".webp", ".tif", ".tiff")
# Endings that are accepted in any folder of images.
ANY_IMAGE_ENDINGS = (
    *IMAGE_ENDINGS, ".jif", ".mpo", ".apng", ".avif", ".avifs", ".gif", ".jp2", ".j2k", ".j2c", ".jpx", ".jpf", ".dib",
    ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".pcx", ".sgi", ".qoi", ".ras", ".sr",
)  # fmt: skip

_LEFT_OVER = ("__macosx", "thumbs.db", "desktop.ini")


def without_ending(name: str) -> str:
    """Remove an ending of ``IMAGE_ENDINGS`` from a name; other names are unchanged.

    Example:
        >>> without_ending("a/1.JPG"), without_ending("a/1.5")
        ('a/1', 'a/1.5')
    """
    ending = next((ending for ending in IMAGE_ENDINGS if name.lower().endswith(ending)), "")
    return name[: len(name) - len(ending)]


def is_left_over(name: str) -> bool:
    """Return True for the name of a hidden file, or of a file or folder that systems leave beside the data.

    Example:
        >>> is_left_over("._a.jpg"), is_left_over("__MACOSX"), is_left_over("a.jpg")
        (True, True, False)
    """
    return name.startswith(".") or name.lower() in _LEFT_OVER
