"""Names of image files: endings, and names that file systems and programs leave beside data."""

from __future__ import annotations

from pathlib import Path

# Endings of published data sets. If a stem has several files, the first ending is used.
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".jpe", ".jfif", ".webp", ".tif", ".tiff")
# Endings that are accepted in any folder of images.
ANY_IMAGE_ENDINGS = (
    *IMAGE_ENDINGS, ".jif", ".mpo", ".apng", ".avif", ".avifs", ".gif", ".jp2", ".j2k", ".j2c", ".jpx", ".jpf", ".dib",
    ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".pcx", ".sgi", ".qoi", ".ras", ".sr",
)  # fmt: skip

_LONGEST_PART, _LONGEST_ENDING = 200, 10

# Files and folders that no one made as data, beside those whose names begin with a dot.
_LEFT_OVER = frozenset(("__macosx", "thumbs.db", "desktop.ini"))


def is_left_over(name: str) -> bool:
    """Return True for the name of a file or folder that a file system or a program leaves beside data.

    These are names that begin with a dot (``._1.jpg``, ``.ipynb_checkpoints``), ``__MACOSX``, ``Thumbs.db`` and
    ``desktop.ini``.

    Args:
        name: name without folders.

    Example:
        >>> is_left_over("._1.jpg"), is_left_over("__MACOSX"), is_left_over("1.jpg")
        (True, True, False)
    """
    return name.startswith(".") or name.lower() in _LEFT_OVER


def shortened(path: Path) -> Path:
    """Return a path whose parts have at most 200 bytes, so that endings can be added below the limit of 255 bytes.

    Example:
        >>> shortened(Path("a.jpg")).name, len(shortened(Path("x" * 251 + ".jpg")).name)
        ('a.jpg', 200)
    """
    return Path(*map(_short, path.parts))


def _short(part: str) -> str:
    if len(part.encode()) <= _LONGEST_PART:
        return part
    stem, dot, ending = part.rpartition(".")
    kept = f"{dot}{ending}" if stem and len(ending) <= _LONGEST_ENDING else ""
    room = _LONGEST_PART - len(kept.encode())
    return part.encode()[:room].decode(errors="ignore") + kept


def without_ending(name: str) -> str:
    """Remove an ending of ``IMAGE_ENDINGS`` from a name; other names are unchanged.

    Example:
        >>> without_ending("a/1.JPG"), without_ending("a/1.5")
        ('a/1', 'a/1.5')
    """
    ending = next((ending for ending in IMAGE_ENDINGS if name.lower().endswith(ending)), "")
    return name[: len(name) - len(ending)]
