"""Drawn images with salient instances: scenes of the saliency twin, as id maps and as COCO annotations.

::

    imgs/0001.jpg ...
    instances/0001.png ...                    0 for the ground, k for object k
    train.txt, val.txt, test.txt              one name per line
    annotations/instances_train.json ...      converted from the id maps, as by `visionzoo convert idmaps2coco`
"""

from __future__ import annotations

import json
from pathlib import Path

from numpy.random import RandomState

from visionzoo.datasets.id_maps import images_of, to_coco
from visionzoo.datasets.tiny.image_files import write_image, write_pixels
from visionzoo.datasets.tiny.saliency import SPLITS, draw_scene

VERSION = 1
DEFAULTS = {"train": 16, "val": 8, "test": 8, "size": 96, "seed": 0}
LOWEST = {"train": 1, "val": 1, "test": 1, "size": 32, "seed": 0}


def draw(folder: Path, *, train: int, val: int, test: int, size: int, seed: int) -> None:
    """Draw all splits into ``folder``.

    Args:
        folder: an empty folder.
        train, val, test: number of images of each split.
        size: mean side of the images in pixels; each side differs by at most a quarter.
        seed: different seeds draw different images.
    """
    for name in ("imgs", "instances", "annotations"):
        (folder / name).mkdir()
    number = 0
    for split, count in zip(SPLITS, (train, val, test)):
        names = []
        for index in range(count):
            number += 1
            names.append(f"{number:04d}")
            image, ids = draw_scene(RandomState([seed, SPLITS.index(split), index]), size, index)
            write_image(folder / "imgs" / f"{names[-1]}.jpg", image)
            write_pixels(folder / "instances" / f"{names[-1]}.png", ids)
        (folder / f"{split}.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
        record = to_coco(images_of(folder, folder / f"{split}.txt"))
        text = json.dumps(record, separators=(",", ":"))
        (folder / "annotations" / f"instances_{split}.json").write_text(text, encoding="utf-8")
