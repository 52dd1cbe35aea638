"""Heat maps over images, in colours whose order people with colour blindness see too."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image, ImageDraw

from visionzoo.reports.images import label_font

_OPACITY = 0.6
_GAP, _BAR, _LETTERS = 10, 14, 15


def heat_colours(heat: np.ndarray) -> np.ndarray:
    """Map values in [0, 1] to colours of cividis, dark blue over grey to yellow: (...) to (..., 3) uint8 RGB.

    Cividis (Nuñez et al. 2018) looks nearly the same with and without a colour deficiency, and its lightness rises.

    Example:
        >>> low, high = heat_colours(np.array([0.0, 1.0])).astype(int).sum(1)
        >>> bool(low < high)
        True
    """
    shades = np.rint(255 * heat.reshape(1, -1)).astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(shades, cv2.COLORMAP_CIVIDIS), cv2.COLOR_BGR2RGB).reshape(*heat.shape, 3)


def heated(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Blend the grey image with the colours of a map.

    Args:
        image: (H, W, 3) uint8 RGB.
        heat: (H, W) in [0, 1].

    Returns:
        (H, W, 3) uint8 RGB.

    Example:
        >>> heated(np.zeros((2, 3, 3), np.uint8), np.ones((2, 3))).shape
        (2, 3, 3)
    """
    grey = image.mean(axis=2, keepdims=True, dtype=np.float32)
    return np.rint(grey * (1 - _OPACITY) + heat_colours(heat) * _OPACITY).astype(np.uint8)


def colour_bar(width: int, low: str, high: str) -> np.ndarray:
    """Draw the colours from 0 to 1 on white, with a word at both ends: (48, width, 3) uint8 RGB.

    Example:
        >>> colour_bar(300, "low", "high").shape
        (48, 300, 3)
    """
    length = max(2, width - 2 * _GAP)
    strip = np.full((2 * _GAP + _BAR + _LETTERS - 1, width, 3), 255, np.uint8)
    strip[:_BAR, _GAP : _GAP + length] = heat_colours(np.linspace(0, 1, length))
    drawing = Image.fromarray(strip)
    pen, font = ImageDraw.Draw(drawing), label_font(_LETTERS)
    pen.text((_GAP, _BAR + 3), f"0, {low}", fill=(0, 0, 0), font=font)
    end = f"1, {high}"
    pen.text((_GAP + length - pen.textlength(end, font=font), _BAR + 3), end, fill=(0, 0, 0), font=font)
    return np.asarray(drawing)
