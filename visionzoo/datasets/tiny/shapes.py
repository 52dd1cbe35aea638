"""Images of one coloured shape on grey ground; shape and colour distinguish up to a hundred classes."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.random import RandomState

COLOURS = (  # RGB
    (220, 60, 50),
    (60, 170, 70),
    (60, 90, 215),
    (230, 200, 40),
    (160, 60, 180),
    (40, 190, 200),
    (240, 140, 30),
    (245, 245, 245),
    (40, 30, 30),
    (150, 90, 40),
)
# Number of corners of each shape, and radius of the points between them relative to the corners; 0 corners is a disc.
_SHAPES = ((0, 1.0), (3, 0.5), (4, 0.71), (5, 0.4), (6, 0.86), (4, 0.3), (3, 0.2), (8, 0.6), (7, 0.3), (2, 0.25))


def draw_class(rng: RandomState, label: int, height: int, width: int) -> np.ndarray:
    """Draw an image of class ``label`` (0 to 99), (H, W, 3) uint8 RGB.

    Position, size, rotation, shade and ground are random.

    Example:
        >>> draw_class(RandomState(0), label=3, height=12, width=16).shape
        (12, 16, 3)
    """
    ground = np.full((height, width, 3), rng.randint(90, 160), np.int16)
    ground += rng.randint(-14, 15, (height, width, 1)).astype(np.int16)
    mask = _mask(rng, (label // 10 + label) % 10, height, width)
    ground[mask] = np.array(COLOURS[label % 10]) + rng.randint(-20, 21, 3)
    return np.clip(ground, 0, 255).astype(np.uint8)


def _mask(rng: RandomState, shape: int, height: int, width: int) -> np.ndarray:
    side = min(height, width)
    radius = rng.randint(side // 4, side * 7 // 16 + 1)
    centre = width // 2 + rng.randint(-side // 8, side // 8 + 1), height // 2 + rng.randint(-side // 8, side // 8 + 1)
    mask = np.zeros((height, width), np.uint8)
    corners, inner = _SHAPES[shape]
    turn = math.radians(int(rng.randint(0, 360)))
    if corners == 0:
        cv2.circle(mask, (int(centre[0]), int(centre[1])), int(radius), 1, cv2.FILLED)
    else:
        angles = [turn + math.pi * index / corners for index in range(2 * corners)]
        radii = [radius, radius * inner] * corners
        points = [(centre[0] + r * math.cos(a), centre[1] + r * math.sin(a)) for r, a in zip(radii, angles)]
        cv2.fillPoly(mask, [np.rint(points).astype(np.int32)], 1)
    return mask.astype(bool)
