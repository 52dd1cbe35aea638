"""Drawn roads in CULane's files, at a fifth of CULane's image size.

::

    driver_23_30frame/05150000_0001.MP4/00000.jpg ...          training; driver_161_90frame for validation
    driver_37_30frame/05180000_0001.MP4/00000.jpg ...          test
    .../00000.lines.txt                                        beside each image; one point per 2 rows, from below
    laneseg_label_w16/driver_23_30frame/.../00000.png          0 to 4
    list/train_gt.txt, val_gt.txt, train.txt, val.txt, test.txt, test_split/test0_normal.txt ...

Scenes alternate in each split, so each of the nine lists has one of the first nine test images. ``cross`` has no
annotated lanes. Some lanes begin outside the image, and a third of the roads has three lanes. The annotation of the
second training image ends with a blank line, as in some copies of CULane.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.random import RandomState

from visionzoo.datasets.lanes.slots import draw_slots
from visionzoo.datasets.tiny.image_files import write_image, write_pixels
from visionzoo.datasets.tiny.roads import SCENES, Road, draw_road
from visionzoo.structures.lane_files import lines_path

VERSION = 1
DEFAULTS = {"train": 36, "val": 9, "test": 18, "width": 328, "seed": 0}
LOWEST = {"train": 2, "val": 1, "test": 9, "width": 164, "seed": 0}

_CLIPS = {
    "train": "driver_23_30frame/05150000_0001.MP4",
    "val": "driver_161_90frame/06030000_0001.MP4",
    "test": "driver_37_30frame/05180000_0001.MP4",
}
_MASKS = "laneseg_label_w16"
_WIDTH, _HEIGHT = 1640, 590  # of CULane
_BLANK_AT = 1


def draw(folder: Path, *, train: int, val: int, test: int, width: int, seed: int) -> None:
    """Draw all splits into ``folder``.

    Args:
        folder: an empty folder.
        train, val, test: number of images of each split.
        width: width of the images in pixels; the aspect ratio is CULane's.
        seed: different seeds draw different images.
    """
    (folder / "list" / "test_split").mkdir(parents=True)
    for number, (split, count) in enumerate(zip(_CLIPS, (train, val, test))):
        entries = []
        for index in range(count):
            rng = RandomState([seed, number, index])
            entries.append(_draw_frame(folder, rng, split, index, width))
        if split == "test":
            for place, scene in enumerate(SCENES):
                _write_list(
                    folder, f"test_split/test{place}_{scene}", [name for name, _ in entries[place :: len(SCENES)]]
                )
        else:
            _write_list(folder, f"{split}_gt", [name + target for name, target in entries])
        _write_list(folder, split, [name for name, _ in entries])


def _draw_frame(folder: Path, rng: RandomState, split: str, index: int, width: int) -> tuple[str, str]:
    """Draw one image; return its name and the rest of its line in a list of targets."""
    height = round(width * _HEIGHT / _WIDTH)
    image, road = draw_road(rng, height, width, SCENES[index % len(SCENES)])
    name = f"{_CLIPS[split]}/{index * 30:05d}.jpg"
    write_image(_file(folder, name), image)
    rows = np.arange(height, 0, -10 * width / _WIDTH)
    lanes = {slot: road.points(slot, rows) for slot in road.slots}
    blank = "\n" if (split, index) == ("train", _BLANK_AT) else ""
    text = "".join(" ".join(f"{value:g}" for value in lane.ravel()) + " \n" for lane in lanes.values())
    (folder / lines_path(name)).write_text(text + blank, encoding="utf-8")
    if split == "test":
        return name, ""
    mask = f"{_MASKS}/{name.removesuffix('.jpg')}.png"
    write_pixels(_file(folder, mask), _mask(road, lanes))
    return name, f" /{mask} " + " ".join(str(int(slot in lanes)) for slot in range(4))


def _mask(road: Road, lanes: dict[int, np.ndarray]) -> np.ndarray:
    """Return (H, W) uint8, 0 to 4; lines are relatively twice as wide as CULane's, to be visible at the small size."""
    slots = [lanes.get(slot) for slot in range(4)]
    return draw_slots(slots, (road.height, road.width), max(1, round(30 * road.width / _WIDTH)))


def _file(folder: Path, name: str) -> Path:
    """Return the path of a file and create its folder."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _write_list(folder: Path, name: str, lines: list[str]) -> None:
    (folder / "list" / f"{name}.txt").write_text("".join(f"/{line}\n" for line in lines), encoding="utf-8")
