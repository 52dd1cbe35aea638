"""Drawn scenes with panoptic annotations, in the layouts of COCO's panoptic task and of COCONut.

``tiny://coco_panoptic``::

    annotations/panoptic_train2017.json       with bbox; ids of segments are large numbers without order
    annotations/panoptic_val2017.json
    annotations/panoptic_train2017/000000000001.png ...
    annotations/panoptic_val2017/...
    annotations/instances_train2017.json      the things of the same masks, as lossless run-length codes
    annotations/instances_val2017.json
    train2017/000000000001.jpg ...
    val2017/...

``tiny://coconut``::

    coconut_s.json, relabeled_coco_val.json   without bbox; ids of segments are 1, 2, 3, ...; isthing of each segment
    coconut_s/000000000001.png ...
    relabeled_coco_val/...
    panoptic_val2017.json, panoptic_val2017/  the images of val with coarser masks and bbox, as the original COCO-val
    train2017/000000000001.jpg ...
    val2017/...

Scenes: :mod:`visionzoo.datasets.tiny.panoptic_scenes`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.random import RandomState

from visionzoo.datasets.panoptic.id_png import write_id_png
from visionzoo.datasets.tiny.image_files import write_image
from visionzoo.datasets.tiny.panoptic_scenes import CATEGORIES, Scene, draw_scene
from visionzoo.structures.detections import encode_mask
from visionzoo.structures.panoptic import PanopticMap

_IDS = {each.name: each.id for each in CATEGORIES}
_THINGS = {each.id for each in CATEGORIES if each.isthing}
_FOLDERS = ("train2017", "val2017")


@dataclass(frozen=True)
class PanopticTwin:
    """Twin of one data set.

    Attributes:
        description: name in the files.
        annotations: JSON file of each split, without the ending, which is also the folder of its PNG files.
        has_boxes: True if segments have a bbox, and False if they have isthing.
        consecutive: True if ids of segments are 1, 2, 3, ...
        coarse: JSON file of the images of val with coarser masks; empty for none.
        instances: True to write the things as instances too.
    """

    description: str
    annotations: tuple[str, str]
    has_boxes: bool = False
    consecutive: bool = True
    coarse: str = ""
    instances: bool = False

    VERSION = 1
    DEFAULTS = {"train": 32, "val": 8, "size": 64, "seed": 0}
    LOWEST = {"train": 1, "val": 1, "size": 32, "seed": 0}

    def draw(self, folder: Path, *, train: int, val: int, size: int, seed: int) -> None:
        """Draw both splits into ``folder``.

        Args:
            folder: an empty folder.
            train, val: number of images of each split.
            size: mean side of the images in pixels; each side differs by at most a quarter.
            seed: different seeds draw different scenes.
        """
        for split, count in enumerate((train, val)):
            images = folder / _FOLDERS[split]
            images.mkdir()
            scenes = {}
            for index in range(count):
                scene = draw_scene(RandomState([seed, split, index]), size, index)
                scenes[split * 500_000 + 1 + index] = scene
                write_image(images / f"{split * 500_000 + 1 + index:012d}.jpg", scene.image)
            self._write(folder, self.annotations[split], scenes)
            if split == 1 and self.coarse:
                scenes = {image_id: _grown(scene) for image_id, scene in scenes.items()}
                PanopticTwin(self.description, self.annotations, has_boxes=True)._write(folder, self.coarse, scenes)

    def _write(self, folder: Path, name: str, scenes: dict[int, Scene]) -> None:
        """Write the annotations of one split: a JSON file and a folder of PNG files."""
        (folder / name).mkdir(parents=True)
        record: dict[str, Any] = {**_header(self.description, scenes), "annotations": []}
        maps = {image_id: self._map(image_id, scene) for image_id, scene in scenes.items()}
        for image_id, panoptic in maps.items():
            write_id_png(folder / name / f"{image_id:012d}.png", panoptic.ids)
            segments = list(self._segments(panoptic))
            file = {"image_id": image_id, "file_name": f"{image_id:012d}.png", "segments_info": segments}
            record["annotations"].append(file)
        _write_json(folder / f"{name}.json", record)
        if self.instances:
            file_name = Path(name).name.replace("panoptic", "instances")
            _write_json(folder / "annotations" / f"{file_name}.json", _instances(self.description, scenes, maps))

    def _map(self, image_id: int, scene: Scene) -> PanopticMap:
        """Return the segments of a scene that have a visible pixel, numbered as in the files."""
        visible = [number for number in range(1, len(scene.names) + 1) if scene.mask(number).any()]
        numbers: np.ndarray = np.arange(1, len(visible) + 1)
        if not self.consecutive:
            numbers = RandomState(image_id).permutation(10_000)[: len(visible)] * 1601 + 256
        table = np.zeros(len(scene.names) + 1, np.uint32)
        table[visible] = numbers
        categories = {int(table[number]): (_IDS[scene.names[number - 1]], number in scene.crowds) for number in visible}
        return PanopticMap.of_ids(table[scene.ids], categories)

    def _segments(self, panoptic: PanopticMap) -> Iterator[dict[str, Any]]:
        for segment in panoptic.segments:
            facts = {"id": segment.id, "category_id": segment.category_id, "iscrowd": int(segment.iscrowd)}
            more = {"bbox": list(segment.bbox)} if self.has_boxes else {"isthing": int(segment.category_id in _THINGS)}
            yield {**facts, **more, "area": segment.area}


TWINS = {
    "coco_panoptic": PanopticTwin(
        "visionzoo's synthetic twin of COCO's panoptic task",
        ("annotations/panoptic_train2017", "annotations/panoptic_val2017"),
        has_boxes=True,
        consecutive=False,
        instances=True,
    ),
    "coconut": PanopticTwin(
        "visionzoo's synthetic twin of COCONut", ("coconut_s", "relabeled_coco_val"), coarse="panoptic_val2017"
    ),
}


def _header(description: str, scenes: dict[int, Scene]) -> dict[str, Any]:
    images = [
        {"id": image_id, "file_name": f"{image_id:012d}.jpg", "height": scene.ids.shape[0], "width": scene.ids.shape[1]}
        for image_id, scene in scenes.items()
    ]
    categories = [{**asdict(each), "isthing": int(each.isthing)} for each in CATEGORIES]
    return {"info": {"description": description}, "licenses": [], "images": images, "categories": categories}


def _instances(description: str, scenes: dict[int, Scene], maps: dict[int, PanopticMap]) -> dict[str, Any]:
    """Return COCO annotations of the things; the box of a mask has the edges of its pixels."""
    record = _header(description, scenes)
    record["categories"] = [each for each in record["categories"] if each["isthing"]]
    things = [
        {
            "image_id": image_id,
            "category_id": segment.category_id,
            "bbox": list(segment.bbox),
            "area": segment.area,
            "iscrowd": int(segment.iscrowd),
            "segmentation": encode_mask(panoptic.mask(segment)),
        }
        for image_id, panoptic in maps.items()
        for segment in panoptic.segments
        if segment.category_id in _THINGS
    ]
    return {**record, "annotations": [{"id": number, **each} for number, each in enumerate(things, start=1)]}


def _grown(scene: Scene) -> Scene:
    """Return a scene whose segments are grown by one pixel over those of smaller numbers and unlabelled pixels."""
    ids = np.zeros_like(scene.ids)
    for number in range(1, len(scene.names) + 1):
        ids[cv2.dilate(scene.mask(number).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0] = number
    return Scene(scene.image, ids, scene.names, scene.crowds)


def _write_json(path: Path, record: dict[str, Any]) -> None:
    path.write_text(json.dumps(record, separators=(",", ":")), encoding="utf-8")
