"""Drawn images in ImageNet's layout: the first ten classes of ILSVRC, which differ in shape and colour.

::

    train/n01440764/n01440764_1.JPEG ...               images of different sizes
    val/n01440764/ILSVRC2012_val_00000001.JPEG ...
    meta/train.txt, meta/val.txt                       n01440764/n01440764_1.JPEG 0
    meta/classes.txt                                   n01440764 tench
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.random import RandomState

from visionzoo.datasets.tiny.image_files import write_image
from visionzoo.datasets.tiny.shapes import draw_class

VERSION = 1
DEFAULTS = {"train": 120, "val": 40, "size": 56, "seed": 0}
LOWEST = {"train": 10, "val": 1, "size": 24, "seed": 0}

CLASSES = {
    "n01440764": "tench",
    "n01443537": "goldfish",
    "n01484850": "great white shark",
    "n01491361": "tiger shark",
    "n01494475": "hammerhead",
    "n01496331": "electric ray",
    "n01498041": "stingray",
    "n01514668": "cock",
    "n01514859": "hen",
    "n01518878": "ostrich",
}


def draw(folder: Path, *, train: int, val: int, size: int, seed: int) -> None:
    """Draw both splits into ``folder``; classes alternate.

    Args:
        folder: an empty folder.
        train: number of training images.
        val: number of validation images.
        size: mean side of the images in pixels; each side differs by at most a quarter.
        seed: different seeds draw different images.
    """
    (folder / "meta").mkdir()
    lines = [f"{key} {name}" for key, name in CLASSES.items()]
    (folder / "meta" / "classes.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for number, (split, count) in enumerate((("train", train), ("val", val))):
        _draw_split(folder, split, count, size, [seed, number])


def _draw_split(folder: Path, split: str, count: int, size: int, seeds: list[int]) -> None:
    keys = list(CLASSES)
    lines = []
    for index in range(count):
        label = index % len(keys)
        key = keys[label]
        is_train = split == "train"
        name = f"{key}/{key}_{index + 1}.JPEG" if is_train else f"{key}/ILSVRC2012_val_{index + 1:08d}.JPEG"
        path = folder / split / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, _image(RandomState([*seeds, index]), label, size))
        lines.append(f"{name} {label}")
    (folder / "meta" / f"{split}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _image(rng: RandomState, label: int, size: int) -> np.ndarray:
    height, width = (int(side) for side in rng.randint(size - size // 4, size + size // 4 + 1, 2))
    return draw_class(rng, label, height, width)
