"""Points from an image of dots: one coloured pixel for each object on a black ground."""

from __future__ import annotations

from functools import reduce
from pathlib import Path

import cv2
import numpy as np

from visionzoo.datasets.findings import Findings
from visionzoo.datasets.opencv_decoding import decode_with_opencv
from visionzoo.datasets.transforms.loading import decode_image
from visionzoo.errors import DataError

_PNG = b"\x89PNG\r\n\x1a\n"
_DEPTH_AT, _COLOUR_AT = 24, 25
_WITH_ALPHA = (4, 6)


def read_dots(path: Path, findings: Findings) -> tuple[np.ndarray, tuple[int, int]]:
    """Read dots, one pixel each. Pixels that touch cause a note, because they can be one object.

    The dots have one colour, or bright colours: at least half of the largest value in one channel. JPEG, which TRANCOS
    never uses for dots, leaves dark pixels around each dot.

    Args:
        path: an image of 8 or 16 bit: grey, palette or colours.
        findings: receives the notes.

    Returns:
        The dots, (N, 2) float64, column and row from 0 in row order; and the size (H, W) of the image.

    Raises:
        DataError: the file is not an image, has dark colours or a transparent part, or most of its dots touch.

    Example:
        >>> import tempfile
        >>> findings = Findings("dots", expected="dots")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = cv2.imwrite(f"{folder}/a.png", np.array([[0, 255, 0], [0, 0, 0]], np.uint8))
        ...     read_dots(Path(folder, "a.png"), findings)[0].tolist()
        [[1.0, 0.0]]
    """
    pixels = _stored_pixels(path)
    dots = reduce(np.bitwise_or, np.moveaxis(pixels, 2, 0)) > 0  # many times faster than any(axis=2)
    rows, columns = np.nonzero(dots)
    if len(rows):
        _require_dot_colours(pixels[dots], path)
        touching = _count_touching(dots, rows, columns)
        if touching * 2 > len(rows):
            raise _unusable(path, f"{touching} of {len(rows)} coloured pixels that touch another")
        findings.note("dots that touch another dot, all counted", touching)
    return np.stack([columns, rows], axis=1).astype(np.float64), (pixels.shape[0], pixels.shape[1])


def _stored_pixels(path: Path) -> np.ndarray:
    """Return the stored values (H, W, C) of a whole image, without scaling 16 bit to 8 bit."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(path, expected="an image", found=f"{error.strerror}", advice="copy it again") from error
    pixels = decode_image(data, name=str(path), exif=False)
    if not _is_plain_png(data):
        stored = decode_with_opencv(data, cv2.IMREAD_UNCHANGED)
        if stored is not None and stored.dtype.kind == "u":
            pixels = stored.reshape(*stored.shape[:2], -1)
    if pixels.shape[2] in (2, 4):
        if (pixels[..., -1] != pixels[0, 0, -1]).any():
            raise _unusable(path, "a transparent part")
        pixels = pixels[..., :-1]
    return pixels


def _is_plain_png(data: bytes) -> bool:
    """Return True for 8 bit without transparency, where the usual reader keeps the values."""
    return (
        data.startswith(_PNG)
        and data[_DEPTH_AT] <= 8
        and data[_COLOUR_AT] not in _WITH_ALPHA
        and b"tRNS" not in data[:2048]
    )


def _require_dot_colours(colours: np.ndarray, path: Path) -> None:
    """Accept one colour, or bright colours."""
    limit = np.iinfo(colours.dtype).max // 2
    dark = int((colours.max(axis=1) <= limit).sum())
    if dark and (colours != colours[0]).any():
        raise _unusable(path, f"{len(colours)} coloured pixels, {dark} of them dark, as JPEG leaves them")


def _count_touching(dots: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> int:
    """Count the dots with another dot among their eight neighbours."""
    padded = np.pad(dots, 1)
    around = [
        padded[rows + down, columns + right] for down in range(3) for right in range(3) if (down, right) != (1, 1)
    ]
    return int(np.any(around, axis=0).sum())


def _unusable(path: Path, found: str) -> DataError:
    expected = "one coloured pixel for each object on a black ground"
    return DataError(path, expected=expected, found=found, advice="use the dots as published, as PNG")
