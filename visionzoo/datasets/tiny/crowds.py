"""Drawn crowds in the layouts of the counting sets: one bright disc for each head, on mottled grey ground.

An image has 1 to ``most`` heads. Image sizes differ: the height is within an eighth of ``size``, and the width is
within an eighth of four thirds of ``size``. In each split, counted from 0, image 2 has a head on the border and image 3
has no head. Image 4 has a point outside the image without a visible head, because some real annotations have such
points.

::

    ShanghaiTech   part_A_final/train_data/{images/IMG_1.jpg, ground_truth/GT_IMG_1.mat}
    UCF_CC_50      1.jpg, 1_ann.mat, ... 50: grey
    UCF-QNRF       Train/img_0001.jpg, Train/img_0001_ann.mat, Test/...
    JHU-CROWD++    train/images/0001.jpg, train/gt/0001.txt, train/image_labels.txt
    NWPU-Crowd     images/0001.jpg, mats/0001.mat, jsons/0001.json, train.txt; no points for the test split
    TRANCOS        images/image-1-000001.jpg, ...dots.png, ...mask.mat, image_sets/training.txt
    points         images/0001.jpg, train.jsonl, train.csv
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.random import RandomState

from visionzoo.datasets.tiny.image_files import write_image, write_pixels

_SPLITS = ("train", "val", "test")
_USUAL = {"train": 24, "val": 8, "test": 8}
_BORDER_AT, _EMPTY_AT, _OUTSIDE_AT = 2, 3, 4
_LEVEL_LIMITS = (0, 6, 12, 20)  # NWPU-Crowd's are 0, 100, 500 and 5000 people
_LUMINANCES = 4
_SCENES, _WEATHERS = ("street", "stadium", "rally"), 4


@dataclass(frozen=True)
class Scene:
    """One drawn image.

    Attributes:
        split, number: split of the image and its number there, >= 1.
        image: (H, W, 3) uint8 RGB.
        points: (N, 2) float64 of x and y in pixels; whole numbers for TRANCOS.
        luminance: 0 (dark) to 3 (bright).
    """

    split: str
    number: int
    image: np.ndarray
    points: np.ndarray
    luminance: int


Write = Callable[[Path, list[Scene]], None]


@dataclass(frozen=True)
class CrowdTwin:
    """Twin of one counting set.

    Attributes:
        splits: default number of images of each split.
        write: function that writes the scenes of all splits to disk.
        least: smallest number of images of each split.
        whole: points are whole pixels inside the image, because dots in an image require it.
        most: default largest number of heads in an image.
    """

    splits: Mapping[str, int]
    write: Write
    least: int = 1
    whole: bool = False
    most: int = 30

    VERSION = 1

    @property
    def DEFAULTS(self) -> dict[str, int]:  # noqa: N802 - the name of this attribute in all twins
        """Options and their default values."""
        return {**self.splits, "size": 96, "most": self.most, "seed": 0}

    @property
    def LOWEST(self) -> dict[str, int]:  # noqa: N802
        """Options and their smallest values."""
        return {**dict.fromkeys(self.splits, self.least), "size": 48, "most": 1, "seed": 0}

    def draw(self, folder: Path, *, size: int, most: int, seed: int, **counts: int) -> None:
        """Draw all splits into ``folder``.

        Args:
            folder: an empty folder.
            size: mean height of the images in pixels.
            most: largest number of heads in an image.
            seed: different seeds draw different images.
            counts: number of images of each split.
        """
        scenes = [
            draw_crowd(split, index, size, most, seed, whole=self.whole)
            for split, count in counts.items()
            for index in range(count)
        ]
        self.write(folder, scenes)


def draw_crowd(split: str, index: int, size: int, most: int, seed: int, *, whole: bool = False) -> Scene:
    """Draw image ``index`` of a split; see :class:`CrowdTwin`."""
    rng = RandomState([seed, _SPLITS.index(split), index])
    height = int(rng.randint(size * 7 // 8, size * 9 // 8 + 1))
    width = int(rng.randint(size * 7 // 6, size * 3 // 2 + 1))
    luminance = index % _LUMINANCES
    points = _heads(rng, height, width, 0 if index == _EMPTY_AT else int(rng.randint(1, most + 1)))
    if index == _BORDER_AT and len(points):
        points[0] = width - 1, height // 2
    image = _ground(rng, height, width, luminance)
    _paint_heads(rng, image, points)
    if index == _OUTSIDE_AT and not whole:
        points = np.append(points, [[width + 2.5, -1.25]], axis=0)
    return Scene(split, index + 1, image, np.floor(points) if whole else points, luminance)


def _heads(rng: RandomState, height: int, width: int, count: int) -> np.ndarray:
    """Return up to ``count`` places (N, 2) at least four pixels apart; fewer if the space does not suffice."""
    places: list[np.ndarray] = []
    for _ in range(20 * count):
        place = np.round(rng.random_sample(2) * [width - 1, height - 1], 2)
        if len(places) < count and all(np.abs(place - other).max() >= 4 for other in places):
            places.append(place)
    return np.array(places).reshape(-1, 2)


def _ground(rng: RandomState, height: int, width: int, luminance: int) -> np.ndarray:
    noise = rng.randint(0, 40, (6, 8)).astype(np.uint8)
    mottled = cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR_EXACT).astype(np.int16)
    texture = mottled + rng.randint(-6, 7, (height, width)) + 30 + 15 * luminance
    return np.repeat(np.clip(texture, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def _paint_heads(rng: RandomState, image: np.ndarray, points: np.ndarray) -> None:
    """Paint discs of radius 2 to 4 pixels with a dark edge; discs are smaller in the upper part."""
    for x, y in np.floor(points).astype(int).tolist():
        radius = 2 + round(2 * y / len(image))
        tone = int(rng.randint(190, 250))
        cv2.circle(image, (x, y), radius + 1, (20, 20, 20), cv2.FILLED)
        cv2.circle(image, (x, y), radius, (tone, tone - 30, tone - 50), cv2.FILLED)


# --- formats ---


def write_mat(path: Path, values: Mapping[str, Any]) -> None:
    """Write a MATLAB file of version 5; equal values yield equal bytes."""
    from scipy.io import savemat

    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, dict(values))
    with path.open("r+b") as file:  # savemat writes the date into the first 116 bytes
        file.write(b"MATLAB 5.0 MAT-file".ljust(116))


def shanghaitech_info(points: np.ndarray) -> np.ndarray:
    """Return ``image_info``, a cell with a struct of location and number."""
    struct = np.empty((1, 1), dtype=[("location", object), ("number", object)])
    struct[0, 0] = (points, np.array([[len(points)]], np.uint16))
    cell = np.empty((1, 1), dtype=object)
    cell[0, 0] = struct
    return cell


def _shanghaitech(part: str) -> Write:
    def write(folder: Path, scenes: list[Scene]) -> None:
        for scene in scenes:
            split = folder / f"part_{part}_final" / f"{scene.split}_data"
            _put_image(split / "images" / f"IMG_{scene.number}.jpg", scene.image)
            truth = split / "ground_truth" / f"GT_IMG_{scene.number}.mat"
            write_mat(truth, {"image_info": shanghaitech_info(scene.points)})

    return write


def _ucf_cc_50(folder: Path, scenes: list[Scene]) -> None:
    for number, scene in enumerate(scenes, 1):
        grey = cv2.cvtColor(scene.image, cv2.COLOR_RGB2GRAY)
        write_pixels(folder / f"{number}.jpg", grey)
        write_mat(folder / f"{number}_ann.mat", {"annPoints": scene.points})


def _ucf_qnrf(folder: Path, scenes: list[Scene]) -> None:
    for scene in scenes:
        stem = folder / scene.split.capitalize() / f"img_{scene.number:04d}"
        _put_image(stem.with_suffix(".jpg"), scene.image)
        write_mat(stem.with_name(f"{stem.name}_ann.mat"), {"annPoints": scene.points})


def _jhu_crowd(folder: Path, scenes: list[Scene]) -> None:
    """Write JHU-CROWD++ with whole numbers, as in the published files."""
    for scene in scenes:
        split = folder / scene.split
        _put_image(split / "images" / f"{scene.number:04d}.jpg", scene.image)
        rows = [f"{x} {y} 6 6 1 0" for x, y in np.floor(scene.points).astype(int).tolist()]
        _put_text(split / "gt" / f"{scene.number:04d}.txt", rows)
    for split_name in dict.fromkeys(scene.split for scene in scenes):
        rows = [
            f"{each.number:04d},{len(each.points)},{_SCENES[each.number % 3]},{each.number % _WEATHERS},0"
            for each in scenes
            if each.split == split_name
        ]
        _put_text(folder / split_name / "image_labels.txt", rows)


def _nwpu_crowd(folder: Path, scenes: list[Scene]) -> None:
    lists: dict[str, list[str]] = {}
    for number, scene in enumerate(scenes, 1):
        name = f"{number:04d}"
        _put_image(folder / "images" / f"{name}.jpg", scene.image)
        level = int(np.searchsorted(_LEVEL_LIMITS, len(scene.points)))
        lists.setdefault(scene.split, []).append(f"{name} {scene.luminance} {level}")
        if scene.split != "test":
            write_mat(folder / "mats" / f"{name}.mat", {"annPoints": scene.points})
            record = {"img_id": f"{name}.jpg", "human_num": len(scene.points), "points": scene.points.tolist()}
            _put_text(folder / "jsons" / f"{name}.json", [json.dumps(record)])
    for split, rows in lists.items():
        _put_text(folder / f"{split}.txt", rows)


def _trancos(folder: Path, scenes: list[Scene]) -> None:
    lists: dict[str, list[str]] = {}
    for number, scene in enumerate(scenes, 1):
        stem = f"image-{_SPLITS.index(scene.split) + 1}-{number:06d}"
        _put_image(folder / "images" / f"{stem}.jpg", scene.image)
        dots = np.zeros(scene.image.shape, np.uint8)
        columns, rows = scene.points.astype(int).T
        dots[rows, columns] = 255, 0, 0
        _put_image(folder / "images" / f"{stem}dots.png", dots)
        write_mat(folder / "images" / f"{stem}mask.mat", {"BW": _road(*scene.image.shape[:2])})
        for name in {"train": ("training", "trainval"), "val": ("validation", "trainval")}.get(scene.split, ("test",)):
            lists.setdefault(name, []).append(f"{stem}.jpg")
    for name, names in lists.items():
        _put_text(folder / "image_sets" / f"{name}.txt", names)


def _road(height: int, width: int) -> np.ndarray:
    """Return (H, W) uint8, 1 in a trapezium that excludes the upper corners."""
    road = np.zeros((height, width), np.uint8)
    corners = np.array([[width // 4, 0], [width * 3 // 4, 0], [width - 1, height - 1], [0, height - 1]], np.int32)
    return cv2.fillPoly(road, [corners], 1)


def _points(folder: Path, scenes: list[Scene]) -> None:
    for number, scene in enumerate(scenes, 1):
        _put_image(folder / "images" / f"{number:04d}.jpg", scene.image)
    for split in dict.fromkeys(scene.split for scene in scenes):
        named = [(f"images/{number:04d}.jpg", each) for number, each in enumerate(scenes, 1) if each.split == split]
        lines = [json.dumps({"image": name, "points": scene.points.tolist()}) for name, scene in named]
        _put_text(folder / f"{split}.jsonl", lines)
        rows = [f"{name},{x},{y}" for name, scene in named for x, y in scene.points.tolist() or [["", ""]]]
        _put_text(folder / f"{split}.csv", ["image,x,y", *rows])


def _put_image(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, image)


def _put_text(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


_TRAIN_TEST = {"train": _USUAL["train"], "test": _USUAL["test"]}

SHANGHAITECH_A = CrowdTwin(_TRAIN_TEST, _shanghaitech("A"))
SHANGHAITECH_B = CrowdTwin(_TRAIN_TEST, _shanghaitech("B"), most=12)
UCF_CC_50 = CrowdTwin({"train": 50}, _ucf_cc_50, least=50)
UCF_QNRF = CrowdTwin(_TRAIN_TEST, _ucf_qnrf)
JHU_CROWD = CrowdTwin(_USUAL, _jhu_crowd)
NWPU_CROWD = CrowdTwin({**_USUAL, "val": 16}, _nwpu_crowd)
TRANCOS = CrowdTwin(_USUAL, _trancos, whole=True)
POINTS = CrowdTwin(_TRAIN_TEST, _points)
TWINS = {
    "jhu_crowd": JHU_CROWD,
    "nwpu_crowd": NWPU_CROWD,
    "points": POINTS,
    "shanghaitech_a": SHANGHAITECH_A,
    "shanghaitech_b": SHANGHAITECH_B,
    "trancos": TRANCOS,
    "ucf_cc_50": UCF_CC_50,
    "ucf_qnrf": UCF_QNRF,
}
