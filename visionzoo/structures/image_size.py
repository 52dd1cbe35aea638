"""Sizes of image files, their limit, and the check that masks have the size of their image."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import BinaryIO

from PIL import Image

from visionzoo.errors import DataError

# EXIF tag of the orientation, and the orientations that swap width and height.
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)

MOST_PIXELS = 200_000_000
_LIMIT = "VISIONZOO_MAX_PIXELS"
_CURE = f"make it smaller, or raise the limit: --max-pixels, max_pixels in Python, or ${_LIMIT} for data sets"
_PILLOW = threading.Lock()


def open_header(file: str | os.PathLike[str] | BinaryIO) -> Image.Image:
    """Read the header of an image file with Pillow, without Pillow's own limit of pixels.

    Raises:
        Exception: the plugins of Pillow raise errors of almost any type for damaged headers.
    """
    with _PILLOW:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(file)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def frames_of(path: str | os.PathLike[str]) -> int:
    """Return the number of frames or pages of an image file; 1 if its header states none.

    Example:
        >>> import tempfile
        >>> frames = [Image.new("L", (3, 2), grey) for grey in (0, 128, 255)]
        >>> with tempfile.NamedTemporaryFile(suffix=".gif") as file:
        ...     frames[0].save(file.name, save_all=True, append_images=frames[1:])
        ...     frames_of(file.name)
        3
    """
    try:
        with open_header(path) as image:
            return int(getattr(image, "n_frames", 1))
    except Exception:  # for damaged files, the plugins of Pillow raise errors of almost any type; reading reports them
        return 1


def most_pixels() -> float:
    """Return the largest number of pixels of an image that is decoded: ``$VISIONZOO_MAX_PIXELS``, or 200 million.

    Raises:
        DataError: the variable is not a number >= 1.
    """
    text = os.environ.get(_LIMIT)
    return MOST_PIXELS if not text else pixels_of(text, _LIMIT)


def pixels_of(value: object, where: str) -> float:
    """Return a limit of pixels, such as ``200000000``, ``2e8`` or ``inf``, as a number.

    Raises:
        DataError: it is not a number >= 1.

    Example:
        >>> pixels_of("1e9", "--max-pixels")
        1000000000.0
    """
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = 0.0
    if isinstance(value, bool) or not number >= 1:  # also true for nan
        advice = "use a number such as 2e8, or inf for no limit"
        raise DataError(where, expected="a number of pixels >= 1", found=f"{value!r}", advice=advice)
    return number


def require_pixels(size: Sequence[int], where: object, most: float | None = None) -> None:
    """Check that an image is small enough to be decoded. A small file may declare a huge image.

    Args:
        size: (width, height).
        where: the image, for the error.
        most: largest number of pixels; None for :func:`most_pixels`.

    Raises:
        DataError: the image has more pixels.

    Example:
        >>> require_pixels((32000, 32000), "a.png", 2e8)
        Traceback (most recent call last):
        visionzoo.errors.DataError: a.png: expected at most 200000000 pixels, found 1024000000 (32000x32000); ...
    """
    limit = most_pixels() if most is None else most
    if size[0] * size[1] > limit:
        raise DataError(
            where,
            expected=f"at most {limit:.0f} pixels",
            found=f"{size[0] * size[1]} ({size[0]}x{size[1]})",
            advice=_CURE,
        )


def size_of_file(path: str | os.PathLike[str], *, exif: bool = False) -> tuple[int, int]:
    """Return the (width, height) in pixels; only the header is read.

    Args:
        path: an image file.
        exif: True for the size after the rotation by the EXIF orientation, False for the stored size.

    Raises:
        DataError: the file is missing or is not an image.
    """
    try:
        with open_header(path) as image:
            # the size of a TIFF file is always the turned one, as its decoders always turn it
            turned = exif and image.format != "TIFF" and image.getexif().get(_ORIENTATION) in _TURNED
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
