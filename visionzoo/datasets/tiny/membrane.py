"""Drawn sections of tissue in the layout of a saliency set: dark membranes between cells, as in electron microscopy.

::

    imgs/01.png ...                 grey images
    gt/01.png ...                   0 and 255: the membrane
    train.txt, val.txt, test.txt    one name per line

The cells are the regions that are nearest to one of some random places. A few cells have a dark speck in the
middle, which is not a membrane.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.random import RandomState

from visionzoo.datasets.tiny.image_files import write_pixels

VERSION = 1
DEFAULTS = {"train": 16, "val": 6, "test": 6, "size": 96, "seed": 0}
LOWEST = {"train": 1, "val": 1, "test": 1, "size": 48, "seed": 0}

_SPLITS = ("train", "val", "test")
_CELL = 24  # mean side of a cell in pixels


def draw(folder: Path, *, train: int, val: int, test: int, size: int, seed: int) -> None:
    """Draw all splits into ``folder``.

    Args:
        folder: an empty folder.
        train, val, test: number of images of each split.
        size: height of the images in pixels; the width is larger by an eighth.
        seed: different seeds draw different sections.
    """
    for name in ("imgs", "gt"):
        (folder / name).mkdir()
    number = 0
    for split, count in zip(_SPLITS, (train, val, test)):
        names = []
        for index in range(count):
            number += 1
            names.append(f"{number:02d}")
            image, membrane = draw_section(RandomState([seed, _SPLITS.index(split), index]), size, size * 9 // 8)
            write_pixels(folder / "imgs" / f"{names[-1]}.png", image)
            write_pixels(folder / "gt" / f"{names[-1]}.png", np.where(membrane, 255, 0).astype(np.uint8))
        (folder / f"{split}.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


def draw_section(rng: RandomState, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a section.

    Returns:
        Image (H, W) uint8, and (H, W) bool, True on the membrane.

    Example:
        >>> image, membrane = draw_section(RandomState(0), 48, 54)
        >>> image.shape, bool(image[membrane].mean() < image[~membrane].mean())
        ((48, 54), True)
    """
    count = max(3, height * width // _CELL**2)
    places = np.stack([rng.randint(0, height, count), rng.randint(0, width, count)], 1)
    rows, columns = np.mgrid[:height, :width]
    cells = np.argmin((rows[..., None] - places[:, 0]) ** 2 + (columns[..., None] - places[:, 1]) ** 2, axis=2)
    border = np.zeros((height, width), np.uint8)
    border[1:] |= cells[1:] != cells[:-1]
    border[:, 1:] |= cells[:, 1:] != cells[:, :-1]
    membrane = cv2.dilate(border, np.ones((2, 2), np.uint8)).astype(bool)
    image = 165 + rng.randint(-14, 15, count)[cells] + rng.randint(-22, 23, (height, width))
    image = np.clip(image, 0, 255).astype(np.uint8)
    for row, column in places[:: max(1, count // 4)].tolist():
        cv2.circle(image, (column, row), 2, 80, cv2.FILLED)
    image[membrane] = np.clip(60 + rng.randint(-20, 21, int(membrane.sum())), 0, 255)
    return cv2.GaussianBlur(image, (3, 3), 0), membrane
