"""Writing of drawn images."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np


def write_image(path: Path, image: np.ndarray) -> None:
    """Write an RGB image, (H, W, 3) uint8, as JPEG or PNG, depending on the ending of the path."""
    write_pixels(path, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


def write_pixels(path: Path, pixels: np.ndarray) -> None:
    """Write (H, W) numbers, or an image (H, W, 3) in BGR, as JPEG or PNG."""
    _, data = cv2.imencode(path.suffix, pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])
    path.write_bytes(data.tobytes())  # cv2.imwrite reports no error if the disk is full
