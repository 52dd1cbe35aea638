"""Drawn scenes of two kinds of ground with objects on them: a segment for every pixel, except some without a label.

The upper part of an image is ``sky`` and the lower part is ``grass``. Discs, squares and triangles in the colours of
their class are in front of both. A grey rectangle has no label. The second scene of a split has a crowd of small
objects of one class, and the third one has no object.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.random import RandomState

from visionzoo.structures.panoptic import PanopticCategory

CATEGORIES = (
    PanopticCategory(1, "disc", True, "shape"),
    PanopticCategory(3, "square", True, "shape"),
    PanopticCategory(8, "triangle", True, "shape"),
    PanopticCategory(187, "sky", False, "ground"),
    PanopticCategory(193, "grass", False, "ground"),
)
COLOURS = {  # RGB
    "disc": (214, 60, 50),
    "square": (240, 200, 40),
    "triangle": (140, 50, 190),
    "sky": (120, 170, 225),
    "grass": (70, 130, 60),
}
CROWD_AT, EMPTY_AT = 1, 2
_THINGS = ("disc", "square", "triangle")
_LEAST_VISIBLE = 0.85  # smallest visible fraction of an object
_NOISE = 10


@dataclass
class Scene:
    """A drawn image and its segments.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        ids: (H, W) uint32; number of the segment of each pixel, from 1 in the order of ``names``; 0 without a label.
        names: class of each segment.
        crowds: numbers of the segments that are crowds.
    """

    image: np.ndarray
    ids: np.ndarray
    names: list[str] = field(default_factory=list)
    crowds: set[int] = field(default_factory=set)

    def mask(self, number: int) -> np.ndarray:
        """Return the pixels of a segment, (H, W) bool."""
        return self.ids == number

    def paint(self, rng: RandomState, mask: np.ndarray, name: str, *, is_crowd: bool = False) -> None:
        """Paint a segment in front of the others."""
        self.names.append(name)
        self.ids[mask] = len(self.names)
        if is_crowd:
            self.crowds.add(len(self.names))
        colour = np.array(COLOURS[name]) + rng.randint(-12, 13, 3)
        self.image[mask] = np.clip(colour, 0, 255)


def draw_scene(rng: RandomState, size: int, index: int) -> Scene:
    """Draw a scene.

    Args:
        rng: generator of random numbers.
        size: mean side in pixels; each side differs by at most a quarter.
        index: number of the scene in its split, which decides if it has a crowd or no object.

    Example:
        >>> scene = draw_scene(RandomState(0), 48, index=2)
        >>> scene.image.shape[:2] == scene.ids.shape, scene.names
        (True, ['sky', 'grass'])
    """
    height, width = (int(side) for side in rng.randint(size * 3 // 4, size * 5 // 4 + 1, 2))
    scene = Scene(np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint32))
    horizon = _horizon(rng, height, width)
    scene.paint(rng, ~horizon, "sky")
    scene.paint(rng, horizon, "grass")
    _paint_unlabelled(rng, scene)
    if index == CROWD_AT:
        _paint_crowd(rng, scene)
    if index != EMPTY_AT:
        first = rng.randint(3)
        for number in range(rng.randint(2, 5)):
            _place(rng, scene, _THINGS[(first + number) % 3])
    noise = rng.randint(-_NOISE, _NOISE + 1, (height, width, 1))
    scene.image = np.clip(scene.image + noise, 0, 255).astype(np.uint8)
    return scene


def _horizon(rng: RandomState, height: int, width: int) -> np.ndarray:
    """Return the pixels below a straight, slightly sloped line in the middle third, (H, W) bool."""
    left, right = (int(rng.randint(height * 2 // 5, height * 3 // 5 + 1)) for _ in range(2))
    line = left + (right - left) * np.arange(width) // width
    return np.arange(height)[:, None] >= line[None]


def _paint_unlabelled(rng: RandomState, scene: Scene) -> None:
    height, width = scene.ids.shape
    rows, columns = height // 8, width // 5
    top, left = int(rng.randint(0, height - rows)), int(rng.randint(0, width - columns))
    scene.ids[top : top + rows, left : left + columns] = 0
    scene.image[top : top + rows, left : left + columns] = rng.randint(60, 90)


def _place(rng: RandomState, scene: Scene, name: str) -> None:
    """Paint one object in front of the others, if one of twenty random places leaves the others visible."""
    height, width = scene.ids.shape
    side = min(height, width)
    for _ in range(20):
        radius = int(rng.randint(side // 8, side // 5 + 1))
        centre = int(rng.randint(radius, width - radius)), int(rng.randint(radius, height - radius))
        mask = _shape(name, centre, radius, (height, width))
        if _leaves_others_visible(scene, mask):
            scene.paint(rng, mask, name)
            return


def _paint_crowd(rng: RandomState, scene: Scene) -> None:
    """Paint a heap of small objects of one class under one segment."""
    height, width = scene.ids.shape
    name, heap = _THINGS[rng.randint(3)], np.zeros((height, width), bool)
    left, top = int(rng.randint(4, width // 2)), int(rng.randint(4, height // 2))
    for _ in range(8):
        centre = left + int(rng.randint(0, width // 3)), top + int(rng.randint(0, height // 3))
        heap |= _shape(name, centre, 3, (height, width))
    scene.paint(rng, heap, name, is_crowd=True)


def _leaves_others_visible(scene: Scene, mask: np.ndarray) -> bool:
    before = np.bincount(scene.ids.ravel(), minlength=len(scene.names) + 1)[1:]
    after = np.bincount(scene.ids[~mask], minlength=len(scene.names) + 1)[1:]
    return bool((after >= _LEAST_VISIBLE * before).all())


def _shape(name: str, centre: tuple[int, int], radius: int, size: tuple[int, int]) -> np.ndarray:
    """Return the pixels of an object in an image of ``size`` (H, W)."""
    mask, (x, y) = np.zeros(size, np.uint8), centre
    if name == "disc":
        cv2.circle(mask, centre, radius, 1, cv2.FILLED)
    elif name == "square":
        half = radius * 7 // 8
        cv2.rectangle(mask, (x - half, y - half), (x + half, y + half), 1, cv2.FILLED)
    else:
        points = [(x, y - radius), (x + radius, y + radius), (x - radius, y + radius)]
        cv2.fillPoly(mask, [np.array(points, np.int32)], 1)
    return mask.astype(bool)
