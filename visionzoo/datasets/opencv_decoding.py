"""Decoding of image files with OpenCV, without the warnings that its PNG library prints on stderr."""

from __future__ import annotations

import cv2
import numpy as np

_PNG = b"\x89PNG\r\n\x1a\n"

# Chunks of a PNG file that describe it. OpenCV's pixels do not depend on them, and libpng prints a warning about those
# that break a rule, such as a colour profile with a wrong white point.
_DESCRIPTIVE = (
    *(b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"sBIT", b"bKGD", b"pHYs", b"hIST", b"sPLT"),
    *(b"tIME", b"tEXt", b"zTXt", b"iTXt"),
)


def decode_with_opencv(data: bytes, flags: int) -> np.ndarray | None:
    """Decode the bytes of an image file.

    Args:
        data: content of the file.
        flags: sum of ``cv2.IMREAD_*``.

    Returns:
        Pixels (H, W) or (H, W, C) in BGR order, or None if OpenCV cannot decode them.

    Example:
        >>> data = cv2.imencode(".png", np.zeros((2, 3), np.uint8))[1].tobytes()
        >>> decode_with_opencv(data, cv2.IMREAD_UNCHANGED).shape
        (2, 3)
    """
    return cv2.imdecode(np.frombuffer(_without_descriptions(data), np.uint8), flags)


def _without_descriptions(data: bytes) -> bytes:
    if not data.startswith(_PNG):
        return data
    kept, start = [_PNG], len(_PNG)
    while start < len(data):
        end = start + 12 + int.from_bytes(data[start : start + 4], "big")
        if data[start + 4 : start + 8] not in _DESCRIPTIVE:
            kept.append(data[start:end])
        start = end
    return b"".join(kept)
