"""Drawn scenes in COCO's layout: three kinds of coloured shapes that occlude each other.

::

    annotations/instances_train2017.json     polygons of the visible part, one crowd as RLE
    annotations/instances_val2017.json
    train2017/000000000001.jpg ...           images of different sizes
    val2017/...

The second image of a split has a crowd, and the third image has no object. Random numbers come from ``RandomState``,
whose streams are frozen in NumPy, and shapes are drawn on whole pixels. All machines therefore draw the same scenes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.random import RandomState

from visionzoo.datasets.tiny.image_files import write_image
from visionzoo.datasets.tiny.outline import has_hole, trace_outline

VERSION = 1
DEFAULTS = {"train": 16, "val": 8, "size": 129, "seed": 0}
LOWEST = {"train": 1, "val": 1, "size": 64, "seed": 0}

CATEGORIES = (
    {"supercategory": "shape", "id": 1, "name": "disc"},
    {"supercategory": "shape", "id": 3, "name": "triangle"},
    {"supercategory": "shape", "id": 8, "name": "star"},
)
COLOURS = {"disc": (214, 66, 52), "triangle": (58, 170, 72), "star": (62, 92, 214)}  # RGB

_SPLITS = {"train2017": 0, "val2017": 1}
_CROWD_AT, _EMPTY_AT = 1, 2
_OBJECTS = (4, 9)  # per image: 4 to 8
_LEAST_VISIBLE = 0.6  # smallest visible fraction of an object


@dataclass
class Shape:
    """One drawn object, or one crowd of them.

    Attributes:
        name: name of the class.
        drawn: (H, W) bool, pixels of the whole shape.
        visible: (H, W) bool, pixels that later shapes do not cover.
        crowd: True for several objects under one annotation.
    """

    name: str
    drawn: np.ndarray
    visible: np.ndarray
    crowd: bool = False


def draw(folder: Path, *, train: int, val: int, size: int, seed: int) -> None:
    """Draw both splits into ``folder``.

    Args:
        folder: an empty folder.
        train: number of training images.
        val: number of validation images.
        size: mean side of the images in pixels; each side differs by at most a quarter.
        seed: different seeds draw different scenes.
    """
    (folder / "annotations").mkdir()
    for split, count in zip(_SPLITS, (train, val)):
        (folder / split).mkdir()
        record = _draw_split(folder / split, count, size, seed)
        text = json.dumps(record, separators=(",", ":"))
        (folder / "annotations" / f"instances_{split}.json").write_text(text, encoding="utf-8")


def _draw_split(folder: Path, count: int, size: int, seed: int) -> dict:
    images: list[dict] = []
    annotations: list[dict] = []
    first_id = _SPLITS[folder.name] * 500_000 + 1  # the ids of both splits are disjoint
    for index in range(count):
        rng = RandomState([seed, _SPLITS[folder.name], index])
        image, shapes = draw_scene(rng, size, has_crowd=index == _CROWD_AT, is_empty=index == _EMPTY_AT)
        name = f"{first_id + index:012d}.jpg"
        write_image(folder / name, image)
        images.append(_image_record(first_id + index, name, image))
        for shape in shapes:
            annotations.append(_annotation(shape, first_id + index, 100 * first_id + len(annotations)))
    return {
        "info": {"description": "visionzoo's synthetic twin of COCO 2017", "version": str(VERSION), "year": 2025},
        "licenses": [{"id": 1, "name": "CC0 1.0", "url": "https://creativecommons.org/publicdomain/zero/1.0/"}],
        "images": images,
        "annotations": annotations,
        "categories": list(CATEGORIES),
    }


def _image_record(image_id: int, name: str, image: np.ndarray) -> dict:
    height, width = image.shape[:2]
    return {"license": 1, "file_name": name, "height": height, "width": width, "id": image_id}


def _annotation(shape: Shape, image_id: int, annotation_id: int) -> dict:
    rows, columns = np.nonzero(shape.visible)
    x, y = int(columns.min()), int(rows.min())
    return {
        "segmentation": _run_lengths(shape.visible) if shape.crowd else trace_outline(shape.visible),
        "area": float(shape.visible.sum()),
        "iscrowd": int(shape.crowd),
        "image_id": image_id,
        "bbox": [float(x), float(y), float(columns.max() + 1 - x), float(rows.max() + 1 - y)],
        "category_id": next(category["id"] for category in CATEGORIES if category["name"] == shape.name),
        "id": annotation_id,
    }


def _run_lengths(mask: np.ndarray) -> dict:
    """Return COCO's uncompressed RLE: lengths of alternating runs in column order; the first run is of zeros."""
    flat = np.concatenate([[False], mask.flatten(order="F")])
    starts = np.flatnonzero(flat[1:] != flat[:-1])
    counts = np.diff(np.concatenate([[0], starts, [mask.size]]))
    return {"counts": counts.tolist(), "size": list(mask.shape)}


# --- scenes ---


def draw_scene(
    rng: RandomState, size: int, *, has_crowd: bool = False, is_empty: bool = False
) -> tuple[np.ndarray, list[Shape]]:
    """Draw a scene.

    Returns:
        Image (H, W, 3) uint8 RGB, and its shapes from back to front.
    """
    height, width = (int(side) for side in rng.randint(size * 3 // 4, size * 5 // 4 + 1, 2))
    image = _background(rng, height, width)
    shapes: list[Shape] = []
    if is_empty:
        return image, shapes
    if has_crowd:
        shapes.append(_paint_crowd(rng, image))
    for name in _class_names(rng, rng.randint(*_OBJECTS)):
        _place(rng, image, shapes, name)
    return image, shapes


def _class_names(rng: RandomState, count: int) -> Iterator[str]:
    """Yield the classes in order, starting with a random one, so that all classes occur in few images."""
    first = rng.randint(len(CATEGORIES))
    for index in range(count):
        yield str(CATEGORIES[(first + index) % len(CATEGORIES)]["name"])


def _background(rng: RandomState, height: int, width: int) -> np.ndarray:
    """Draw a greyish texture: noise at three scales over a tint, and a few lines that are not objects."""
    texture = np.zeros((height, width, 3), np.int16)
    for cells, strength in ((3, 40), (12, 24), (48, 12)):
        coarse = rng.randint(0, 2 * strength + 1, (cells, cells, 1)).astype(np.uint8)
        noise = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR_EXACT)
        texture += noise.astype(np.int16)[..., None] - strength
    tint = rng.randint(95, 150) + rng.randint(-12, 13, 3)
    image = np.clip(texture + tint, 0, 255).astype(np.uint8)
    for _ in range(rng.randint(2, 6)):
        ends = rng.randint(0, max(height, width), 4)
        grey = int(rng.randint(50, 200))
        cv2.line(image, ends[:2].tolist(), ends[2:].tolist(), (grey, grey, grey), int(rng.randint(1, 3)))
    return image


def _place(rng: RandomState, image: np.ndarray, shapes: list[Shape], name: str) -> None:
    """Paint one object in front of the others, if one of twenty random places leaves the others visible."""
    height, width = image.shape[:2]
    for _ in range(20):
        radius = int(rng.randint(10, min(36, min(height, width) // 3)))
        margin = radius - radius // 4  # up to a quarter of the radius may be outside
        centre = rng.randint(margin, width - margin), rng.randint(margin, height - margin)
        mask = _mask(name, centre, radius, rng.randint(0, 360), (height, width))
        if _leaves_others_visible(mask, shapes):
            _paint(rng, image, mask, name)
            _cover(shapes, mask)
            shapes.append(Shape(name, mask, mask.copy()))
            return


def _paint_crowd(rng: RandomState, image: np.ndarray) -> Shape:
    """Paint a heap of small objects of one class under one annotation."""
    height, width = image.shape[:2]
    name = str(CATEGORIES[rng.randint(len(CATEGORIES))]["name"])
    left, top = rng.randint(8, width // 2), rng.randint(8, height // 2)
    heap = np.zeros((height, width), bool)
    for _ in range(12):
        centre = left + rng.randint(0, width // 3), top + rng.randint(0, height // 3)
        mask = _mask(name, centre, int(rng.randint(5, 9)), rng.randint(0, 360), (height, width))
        _paint(rng, image, mask, name)
        heap |= mask
    return Shape(name, heap, heap.copy(), crowd=True)


def _leaves_others_visible(mask: np.ndarray, shapes: list[Shape]) -> bool:
    """Return True if enough of each shape remains and no shape gets a hole, which COCO polygons cannot represent."""
    for shape in shapes:
        left = shape.visible & ~mask
        if left.sum() < _LEAST_VISIBLE * shape.drawn.sum() or (not shape.crowd and has_hole(left)):
            return False
    return True


def _cover(shapes: list[Shape], mask: np.ndarray) -> None:
    for shape in shapes:
        shape.visible &= ~mask


def _paint(rng: RandomState, image: np.ndarray, mask: np.ndarray, name: str) -> None:
    """Fill ``mask`` with the colour of the class, slightly shifted, striped, and darker at the edge."""
    colour = np.array(COLOURS[name]) + rng.randint(-26, 27, 3)
    rows, columns = np.nonzero(mask)
    slant, period = rng.randint(-2, 3), rng.randint(4, 9)
    stripes = np.where((rows + slant * columns) // period % 2 == 0, 16, -16)
    image[mask] = np.clip(colour + stripes[:, None], 0, 255).astype(np.uint8)
    inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    image[mask & ~inner] = np.clip(colour // 2, 0, 255).astype(np.uint8)


def _mask(name: str, centre: tuple[int, int], radius: int, degrees: int, shape: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    if name == "disc":
        cv2.circle(mask, (int(centre[0]), int(centre[1])), radius, 1, cv2.FILLED)
    elif name == "triangle":
        cv2.fillPoly(mask, [_spikes(centre, degrees, (radius, radius, radius))], 1)
    else:
        cv2.fillPoly(mask, [_spikes(centre, degrees, (radius, radius * 45 // 100) * 5)], 1)
    return mask.astype(bool)


def _spikes(centre: tuple[int, int], degrees: int, radii: tuple[int, ...]) -> np.ndarray:
    """Return corners at equal angles and the given distances from the centre, (N, 2) int32 on whole pixels."""
    angles = [math.radians(degrees + 360 * index / len(radii)) for index in range(len(radii))]
    points = [(centre[0] + r * math.cos(angle), centre[1] + r * math.sin(angle)) for r, angle in zip(radii, angles)]
    return np.rint(points).astype(np.int32)
