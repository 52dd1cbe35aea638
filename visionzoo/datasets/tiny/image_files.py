"""Drawn images as files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np


def write_image(path: Path, image: np.ndarray) -> None:
    """(H, W, 3) uint8 RGB as JPEG or PNG."""
    write_pixels(path, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


def write_pixels(path: Path, pixels: np.ndarray) -> None:
    """(H, W) numbers or (H, W, 3) BGR as JPEG or PNG."""
    _, data = cv2.imencode(path.suffix, pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])
    path.write_bytes(data.tobytes())  # cv2.imwrite says nothing when the disk is full
