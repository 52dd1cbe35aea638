"""Drawn blood smears in the layout of BCCD after its conversion: red cells, white cells and platelets.

::

    annotations/instances_train2017.json ...   boxes of Platelets, RBC and WBC
    train2017/smear_0001.jpg ...               images of four by three
    train.jsonl, val.jsonl, test.jsonl         the centres of the same boxes

Sizes and colours are near those of the photos: a red cell is a fifth of the height, pale in its middle; a white cell is
twice as wide, with a dark nucleus of lobes; a platelet is a violet speck. The third image of a split has no cell.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.random import RandomState

from visionzoo.datasets.tiny.image_files import write_image

VERSION = 1
DEFAULTS = {"train": 16, "val": 8, "test": 8, "size": 120, "seed": 0}
LOWEST = {"train": 1, "val": 1, "test": 1, "size": 60, "seed": 0}

CLASSES = ("Platelets", "RBC", "WBC")
# By class: radius in shares of the height, and the smallest and largest number of cells of an image.
RADII = {"Platelets": 0.04, "RBC": 0.1, "WBC": 0.18}
_COUNTS = {"Platelets": (0, 3), "RBC": (4, 12), "WBC": (0, 2)}

_SPLITS = ("train", "val", "test")
_EMPTY_AT = 2
_GROUND, _RED, _PALE = (200, 196, 186), (196, 142, 130), (206, 174, 164)
_PLASMA, _NUCLEUS, _PLATELET = (178, 156, 190), (92, 74, 176), (128, 112, 190)


@dataclass(frozen=True)
class Cell:
    """One drawn cell: its class, and its circle in pixels."""

    name: str
    x: int
    y: int
    radius: int

    def box(self, height: int, width: int) -> list[float]:
        """Return x, y, width and height of the part inside the image."""
        left, top = max(0, self.x - self.radius), max(0, self.y - self.radius)
        right, bottom = min(width, self.x + self.radius + 1), min(height, self.y + self.radius + 1)
        return [float(left), float(top), float(right - left), float(bottom - top)]


def draw(folder: Path, *, train: int, val: int, test: int, size: int, seed: int) -> None:
    """Draw all splits into ``folder``.

    Args:
        folder: an empty folder.
        train, val, test: number of images of each split.
        size: height of the images in pixels; the width is four thirds of it.
        seed: different seeds draw different smears.
    """
    (folder / "annotations").mkdir()
    first = 1
    for split, count in zip(_SPLITS, (train, val, test)):
        (folder / f"{split}2017").mkdir()
        smears = []
        for index in range(count):
            rng = RandomState([seed, _SPLITS.index(split), index])
            cells = [] if index == _EMPTY_AT else place_cells(rng, size)
            image = paint_smear(rng, size, cells)
            name = f"smear_{first + index:04d}.jpg"
            write_image(folder / f"{split}2017" / name, image)
            smears.append((name, cells))
        _write_boxes(folder / "annotations" / f"instances_{split}2017.json", smears, size, first)
        _write_points(folder / f"{split}.jsonl", f"{split}2017", smears, size)
        first += count


def place_cells(rng: RandomState, height: int) -> list[Cell]:
    """Return cells at random places that overlap little, large ones first.

    Example:
        >>> {cell.name for cell in place_cells(RandomState(0), 120)} <= set(CLASSES)
        True
    """
    width, cells = _width(height), list[Cell]()
    for name in ("WBC", "RBC", "Platelets"):
        low, high = _COUNTS[name]
        for _ in range(rng.randint(low, high + 1)):
            radius = max(2, round(height * RADII[name] * rng.randint(85, 116) / 100))
            _place(rng, cells, name, radius, (height, width))
    return cells


def _place(rng: RandomState, cells: list[Cell], name: str, radius: int, size: tuple[int, int]) -> None:
    """Add a cell at the first of thirty places at which it covers no other cell's centre."""
    for _ in range(30):
        x, y = int(rng.randint(0, size[1])), int(rng.randint(0, size[0]))
        if all(np.hypot(x - other.x, y - other.y) > 0.85 * (radius + other.radius) for other in cells):
            cells.append(Cell(name, x, y, radius))
            return


def paint_smear(rng: RandomState, height: int, cells: Sequence[Cell]) -> np.ndarray:
    """Paint a smear, (H, W, 3) uint8 RGB, with the given cells.

    Args:
        rng: generator of random numbers.
        height: height in pixels; the width is four thirds of it.
        cells: the cells, from back to front.

    Example:
        >>> paint_smear(RandomState(0), 60, [Cell("RBC", 30, 20, 6)]).shape
        (60, 80, 3)
    """
    image = _ground(rng, height)
    for cell in cells:
        _PAINT[cell.name](rng, image, cell)
    return cv2.GaussianBlur(image, (3, 3), 0)


def _width(height: int) -> int:
    return height * 4 // 3


def _ground(rng: RandomState, height: int) -> np.ndarray:
    noise = rng.randint(0, 17, (4, 5, 1)).astype(np.uint8)
    shade = cv2.resize(noise, (_width(height), height), interpolation=cv2.INTER_LINEAR_EXACT).astype(np.int16) - 8
    tint = np.array(_GROUND) + rng.randint(-8, 9, 3)
    grain = rng.randint(-4, 5, (height, _width(height), 1))
    return np.clip(tint + shade[..., None] + grain, 0, 255).astype(np.uint8)


def _tone(rng: RandomState, colour: tuple[int, int, int]) -> tuple[int, ...]:
    return tuple(int(value) for value in np.clip(np.array(colour) + rng.randint(-9, 10), 0, 255))


def _paint_red(rng: RandomState, image: np.ndarray, cell: Cell) -> None:
    cv2.circle(image, (cell.x, cell.y), cell.radius, _tone(rng, _RED), cv2.FILLED)
    cv2.circle(image, (cell.x, cell.y), max(1, cell.radius * 2 // 5), _tone(rng, _PALE), cv2.FILLED)


def _paint_white(rng: RandomState, image: np.ndarray, cell: Cell) -> None:
    cv2.circle(image, (cell.x, cell.y), cell.radius, _tone(rng, _PLASMA), cv2.FILLED)
    colour, lobe = _tone(rng, _NUCLEUS), max(1, cell.radius * 2 // 5)
    for _ in range(4):
        x, y = cell.x + int(rng.randint(-lobe, lobe + 1)), cell.y + int(rng.randint(-lobe, lobe + 1))
        cv2.circle(image, (x, y), lobe, colour, cv2.FILLED)


def _paint_platelet(rng: RandomState, image: np.ndarray, cell: Cell) -> None:
    cv2.circle(image, (cell.x, cell.y), cell.radius, _tone(rng, _PLATELET), cv2.FILLED)


_PAINT = {"RBC": _paint_red, "WBC": _paint_white, "Platelets": _paint_platelet}


# --- files ---


def _write_boxes(path: Path, smears: Sequence[tuple[str, list[Cell]]], height: int, first: int) -> None:
    width = _width(height)
    images: list[dict] = []
    annotations: list[dict] = []
    for number, (name, cells) in enumerate(smears, first):
        images.append({"id": number, "file_name": name, "height": height, "width": width})
        for cell in cells:
            box = cell.box(height, width)
            annotations.append(
                {
                    "id": 1000 * number + len(annotations),
                    "image_id": number,
                    "category_id": CLASSES.index(cell.name) + 1,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                }
            )
    categories = [{"id": number, "name": name, "supercategory": "none"} for number, name in enumerate(CLASSES, 1)]
    record = {"images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(record, separators=(",", ":")), encoding="utf-8")


def _write_points(path: Path, folder: str, smears: Sequence[tuple[str, list[Cell]]], height: int) -> None:
    lines = []
    for name, cells in smears:
        boxes = [cell.box(height, _width(height)) for cell in cells]
        points = [[left + width / 2, top + tall / 2] for left, top, width, tall in boxes]
        lines.append(json.dumps({"image": f"{folder}/{name}", "points": points}))
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
