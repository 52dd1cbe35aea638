"""Drawn scenes in the layout of ADE20K's scene parsing challenge: an image and a map of classes.

::

    images/training/ADE_train_00000001.jpg ...
    images/validation/ADE_val_00000001.jpg ...
    annotations/training/ADE_train_00000001.png ...    class k as k + 1, 0 for pixels without a label
    annotations/validation/...
    objectInfo150.txt                                  a table with the number and the name of each class

Scenes: :mod:`visionzoo.datasets.tiny.panoptic_scenes`. Crowds have their class.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.random import RandomState

from visionzoo.datasets.tiny.image_files import write_image, write_pixels
from visionzoo.datasets.tiny.panoptic_scenes import CATEGORIES, draw_scene

VERSION = 1
DEFAULTS = {"train": 32, "val": 8, "size": 64, "seed": 0}
LOWEST = {"train": 1, "val": 1, "size": 32, "seed": 0}

_SPLITS = {"training": "train", "validation": "val"}
_NUMBERS = {each.name: number for number, each in enumerate(CATEGORIES, start=1)}


def draw(folder: Path, *, train: int, val: int, size: int, seed: int) -> None:
    """Draw both splits into ``folder``.

    Args:
        folder: an empty folder.
        train, val: number of images of each split.
        size: mean side of the images in pixels; each side differs by at most a quarter.
        seed: different seeds draw different scenes.
    """
    for number, (split, count) in enumerate(zip(_SPLITS, (train, val))):
        for place in ("images", "annotations"):
            (folder / place / split).mkdir(parents=True)
        for index in range(count):
            scene = draw_scene(RandomState([seed, number, index]), size, index)
            name = f"ADE_{_SPLITS[split]}_{index + 1:08d}"
            write_image(folder / "images" / split / f"{name}.jpg", scene.image)
            classes = np.array([0, *(_NUMBERS[each] for each in scene.names)], np.uint8)
            write_pixels(folder / "annotations" / split / f"{name}.png", classes[scene.ids])
    rows = [f"{number}\t{name}" for name, number in _NUMBERS.items()]
    (folder / "objectInfo150.txt").write_text("\n".join(["Idx\tName", *rows]) + "\n", encoding="utf-8")
