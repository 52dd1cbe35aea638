"""Panoptic data sets of two small images, in every shape of file, and with mistakes."""

from __future__ import annotations

import json

import numpy as np
from PIL import Image

from visionzoo.datasets.panoptic.id_png import write_id_png

CATEGORIES = [
    {"id": 1, "name": "cat", "supercategory": "animal", "isthing": 1},
    {"id": 4, "name": "dog", "supercategory": "animal", "isthing": 1},
    {"id": 187, "name": "sky", "supercategory": "sky", "isthing": 0},
]
WIDTH, HEIGHT = 7, 5


def ids_of(first=1, second=2, third=3):
    """Return ids (5, 7): a cat in the upper left, a dog in two parts, sky below, and a row without a label."""
    ids = np.zeros((HEIGHT, WIDTH), np.uint32)
    ids[:2, :3] = first
    ids[:2, 4:5] = ids[1:3, 6:] = second
    ids[2:4, :6] = third
    return ids


def segments(first=1, second=2, third=3, **more):
    """Return the segments of :func:`ids_of`, as COCONut writes them."""
    rows = ((first, 1, 0, 6), (second, 4, 0, 4), (third, 187, 0, 12))
    return [
        {"id": number, "category_id": category, "iscrowd": crowd, "isthing": int(category < 90), "area": area, **more}
        for number, category, crowd, area in rows
    ]


def record(**more):
    """Return a COCO record of the images 9 and 12."""
    images = [{"id": number, "file_name": f"{number:012d}.jpg", "height": HEIGHT, "width": WIDTH} for number in (9, 12)]
    return {
        "images": images,
        "annotations": [annotation(9), annotation(12, (70_000, 256, 3))],
        "categories": CATEGORIES,
        **more,
    }


def annotation(number, numbers=(1, 2, 3)):
    """Return the annotation of one image."""
    return {"image_id": number, "file_name": f"{number:012d}.png", "segments_info": segments(*numbers)}


def write_panoptic_data(root, content=None, name="val"):
    """Write ``<root>/val.json``, ``<root>/val/`` with the PNG files and ``<root>/images/``; return the JSON file."""
    (root / name).mkdir(parents=True)
    (root / "images").mkdir(exist_ok=True)
    for number, numbers in ((9, (1, 2, 3)), (12, (70_000, 256, 3))):
        write_id_png(root / name / f"{number:012d}.png", ids_of(*numbers))
        Image.new("RGB", (WIDTH, HEIGHT), (90, 120, 200)).save(root / "images" / f"{number:012d}.jpg")
    path = root / f"{name}.json"
    path.write_text(json.dumps(record() if content is None else content), encoding="utf-8")
    return path
