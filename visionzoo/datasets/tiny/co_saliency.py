"""Drawn groups in the layout of the co-saliency data sets: each group shares one coloured shape.

::

    images/DUTS_class/disc/disc_1.jpg ...      images of different sizes; every third image is a .png
    gts/DUTS_class/disc/disc_1.png ...         the shared shape, 0 or 255
    images/coco-seg/..., images/COCO-9k/..., images/CoCA/..., images/CoSOD3k/..., images/CoSal2015/...

Each image also shows a distractor, the shape of another group. The first group of a set has one image more than the
other groups.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.random import RandomState

from visionzoo.datasets.tiny.image_files import write_pixels

VERSION = 1
DEFAULTS = {"groups": 3, "images": 4, "size": 64, "seed": 0}
LOWEST = {"groups": 2, "images": 1, "size": 24, "seed": 0}

SETS = ("DUTS_class", "coco-seg", "COCO-9k", "CoCA", "CoSOD3k", "CoSal2015")
# Colour (RGB) and number of corners of each group's shape; 0 corners is a disc.
SHAPES = {
    "disc": ((214, 66, 52), 0),
    "square": ((62, 92, 214), 4),
    "triangle": ((58, 170, 72), 3),
    "pentagon": ((230, 200, 40), 5),
    "hexagon": ((160, 60, 180), 6),
    "octagon": ((40, 190, 200), 8),
}


def draw(folder: Path, *, groups: int, images: int, size: int, seed: int) -> None:
    """Draw all six sets into ``folder``.

    Args:
        folder: an empty folder.
        groups: number of groups in each set. There are six shapes; more groups repeat them.
        images: number of images in each group; the first group has one more.
        size: mean side of the images in pixels; each side differs by at most a quarter.
        seed: different seeds draw different images.
    """
    for number, name in enumerate(SETS):
        for group in range(groups):
            count = images + (group == 0)
            for index in range(count):
                _draw_image(folder, name, group, index, RandomState([seed, number, group, index]), size)


def group_name(group: int) -> str:
    """Return the name of a group: ``disc``, ``square`` and so on; names of more than six groups have a number.

    Example:
        >>> group_name(0), group_name(6)
        ('disc', 'disc2')
    """
    names = list(SHAPES)
    turn, index = divmod(group, len(names))
    return names[index] + (str(turn + 1) if turn else "")


def draw_scene(rng: RandomState, group: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw an image of ``group``.

    Returns:
        Image (H, W, 3) uint8 RGB, mask of the shared shape (H, W) bool, mask of the distractor (H, W) bool.
    """
    shape = list(SHAPES)[group % len(SHAPES)]
    others = [other for other in SHAPES if other != shape]
    height, width = (int(side) for side in rng.randint(size * 3 // 4, size * 5 // 4 + 1, 2))
    image = np.full((height, width, 3), rng.randint(90, 160), np.int16)
    image += rng.randint(-14, 15, (height, width, 1)).astype(np.int16)
    halves = rng.permutation(2)  # the two shapes are in different halves, so they never touch
    distractor = _paint(rng, image, others[rng.randint(len(others))], halves[0])
    shared = _paint(rng, image, shape, halves[1])
    return np.clip(image, 0, 255).astype(np.uint8), shared, distractor


def _draw_image(folder: Path, name: str, group: int, index: int, rng: RandomState, size: int) -> None:
    image, shared, _ = draw_scene(rng, group, size)
    stem = f"{group_name(group)}_{index + 1}"
    _write(folder / "gts" / name / group_name(group) / f"{stem}.png", shared.astype(np.uint8) * np.uint8(255))
    ending = ".png" if index % 3 == 2 else ".jpg"
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _write(folder / "images" / name / group_name(group) / f"{stem}{ending}", bgr)


def _paint(rng: RandomState, image: np.ndarray, shape: str, half: int) -> np.ndarray:
    """Paint a shape into one half of the longer side, and return its pixels, (H, W) bool."""
    height, width = image.shape[:2]
    lengths = np.array([height, width])
    long = int(width > height)
    lengths[long] //= 2
    radius = int(rng.randint(min(lengths) // 4, min(lengths) * 7 // 16 + 1))
    centre = [int(rng.randint(radius, max(radius + 1, length - radius))) for length in lengths]
    centre[long] += half * int(lengths[long])
    colour, corners = SHAPES[shape]
    mask = np.zeros((height, width), np.uint8)
    if corners:
        angles = 2 * np.pi * (np.arange(corners) / corners + rng.random_sample())
        points = np.stack([centre[1] + radius * np.cos(angles), centre[0] + radius * np.sin(angles)], 1)
        cv2.fillPoly(mask, [np.rint(points).astype(np.int32)], 1)
    else:
        cv2.circle(mask, (centre[1], centre[0]), radius, 1, cv2.FILLED)
    covered = mask.astype(bool)
    image[covered] = np.array(colour) + rng.randint(-20, 21, 3)
    return covered


def _write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_pixels(path, pixels)
