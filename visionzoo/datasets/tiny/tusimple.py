"""Drawn roads in TuSimple's files, at a quarter of TuSimple's image size.

::

    label_data_0313.json, label_data_0601.json      training, halves of one split
    label_data_0531.json                            validation
    test_label.json                                 test
    clips/0313-1/60/20.jpg ...

Rows begin at 60, which corresponds to 240 in TuSimple, and in some images at 40. x are whole numbers. A third of the
roads has three lanes. Every fourth road has a fifth lane, which is not one of the four lanes that SCNN learns. As in
TuSimple, each image has lanes, because the benchmark scores an image without lanes as 0 for any prediction.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import RandomState

from visionzoo.datasets.tiny.image_files import write_image
from visionzoo.datasets.tiny.roads import SCENES, Road, draw_road
from visionzoo.structures.lane_files import write_tusimple

VERSION = 1
DEFAULTS = {"train": 36, "val": 9, "test": 9, "seed": 0}
LOWEST = {"train": 2, "val": 1, "test": 1, "seed": 0}

WIDTH, HEIGHT = 320, 180
_SCENES = tuple(scene for scene in SCENES if scene != "cross")
_DATES = {"0313-1": "label_data_0313", "0601": "label_data_0601", "0531": "label_data_0531", "0530": "test_label"}


def draw(folder: Path, *, train: int, val: int, test: int, seed: int) -> None:
    """Draw all splits into ``folder``.

    Args:
        folder: an empty folder.
        train, val, test: number of images of each split.
        seed: different seeds draw different images.
    """
    counts = (train - train // 2, train // 2, val, test)
    for number, ((date, name), count) in enumerate(zip(_DATES.items(), counts)):
        records = [_draw_frame(folder, RandomState([seed, number, index]), date, index) for index in range(count)]
        write_tusimple(folder / f"{name}.json", records)


def _draw_frame(folder: Path, rng: RandomState, date: str, index: int) -> dict[str, Any]:
    """Draw one image and return its record in the label file."""
    image, road = draw_road(rng, HEIGHT, WIDTH, _SCENES[index % len(_SCENES)], fifth=index % 4 == 3)
    raw_file = f"clips/{date}/{60 * (index + 1)}/20.jpg"
    (folder / raw_file).parent.mkdir(parents=True)
    write_image(folder / raw_file, image)
    rows = np.arange(40 if index % 5 == 4 else 60, HEIGHT, 5)
    lanes = [_xs(road, slot, rows) for slot in road.slots]
    return {"lanes": lanes, "h_samples": rows.tolist(), "raw_file": raw_file}


def _xs(road: Road, slot: int, rows: np.ndarray) -> list[int]:
    """Return x at each row; -2 if the lane is above the horizon or outside the image."""
    at = dict(zip(rows.tolist(), [-2] * len(rows)))
    at |= {int(y): round(x) for x, y in road.points(slot, rows) if 0 <= round(x) < road.width}
    return list(at.values())
