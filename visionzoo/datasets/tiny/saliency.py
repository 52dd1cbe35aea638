"""Drawn images in the layout of saliency sets: coloured discs and rectangles on grey ground.

::

    imgs/0001.jpg ...             images of different sizes; HKU-IS has .png
    gt/0001.png ...               0 and 255; PASCAL-S has grey edges
    train.txt, val.txt, test.txt  one name per line; test-only sets have no lists

Four scenes alternate: a disc inside the image, a rectangle at the border, two separate objects, and two objects that
touch. With ``hard``, the fifth image of each split has no salient pixel, and the sixth image has one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.random import RandomState

from visionzoo.datasets.tiny.image_files import write_image, write_pixels

SPLITS = ("train", "val", "test")
_EMPTY_AT, _SINGLE_AT = 4, 5
_COLOURS = ((214, 66, 52), (58, 170, 72), (62, 92, 214), (230, 190, 40), (170, 60, 190))  # RGB
_IMAGES = {"train": 24, "val": 8, "test": 8}


@dataclass(frozen=True)
class SaliencyTwin:
    """Twin of one saliency set.

    Attributes:
        splits: splits with a list; empty for a test-only set.
        suffix: ending of the images.
        soft: masks have grey edges, like averages over several annotators.
    """

    splits: tuple[str, ...] = ()
    suffix: str = ".jpg"
    soft: bool = False

    VERSION = 1

    @property
    def DEFAULTS(self) -> dict[str, int]:  # noqa: N802 - the name of this attribute in all twins
        """Options and their default values."""
        counts = {split: _IMAGES[split] for split in self.splits or ("test",)}
        return {**counts, "size": 64, "hard": 1, "seed": 0}

    @property
    def LOWEST(self) -> dict[str, int]:  # noqa: N802
        """Options and their smallest values."""
        return {**dict.fromkeys(self.splits or ("test",), 1), "size": 32, "hard": 0, "seed": 0}

    def draw(self, folder: Path, *, size: int, hard: int, seed: int, **counts: int) -> None:
        """Draw all splits into ``folder``.

        Args:
            folder: an empty folder.
            size: mean side of the images in pixels; each side differs by at most a quarter.
            hard: 1 includes the empty mask and the mask of one pixel, 0 does not.
            seed: different seeds draw different images.
            counts: number of images of each split.
        """
        for name in ("imgs", "gt"):
            (folder / name).mkdir()
        number = 0
        for split, count in counts.items():
            names = []
            for index in range(count):
                number += 1
                names.append(f"{number:04d}")
                image, ids = draw_scene(RandomState([seed, SPLITS.index(split), index]), size, index, hard=bool(hard))
                write_image(folder / "imgs" / f"{names[-1]}{self.suffix}", image)
                write_pixels(folder / "gt" / f"{names[-1]}.png", self._mask(ids))
            if self.splits:
                (folder / f"{split}.txt").write_text("\n".join(names) + "\n", encoding="utf-8")

    def _mask(self, ids: np.ndarray) -> np.ndarray:
        mask = np.where(ids > 0, 255, 0).astype(np.uint8)
        return cv2.GaussianBlur(mask, (3, 3), 0) if self.soft else mask


MSRA_B = SaliencyTwin(SPLITS)
HKU_IS = SaliencyTwin(SPLITS, suffix=".png")
DUTS = SaliencyTwin(("train", "test"))
ECSSD = DUT_OMRON = SaliencyTwin()
PASCAL_S = SaliencyTwin(soft=True)
TWINS = {
    "dut_omron": DUT_OMRON,
    "duts": DUTS,
    "ecssd": ECSSD,
    "hku_is": HKU_IS,
    "msra_b": MSRA_B,
    "pascal_s": PASCAL_S,
}


def draw_scene(rng: RandomState, size: int, index: int, *, hard: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Draw a scene with salient objects.

    Args:
        rng: generator of random numbers.
        size: mean side in pixels.
        index: index of the image in its split, which selects the scene.
        hard: draw no object in image 4 and one pixel in image 5.

    Returns:
        Image (H, W, 3) uint8 RGB, and the object number of each pixel, (H, W) uint8, 0 for the ground.

    Example:
        >>> image, ids = draw_scene(RandomState(0), 32, index=3)
        >>> image.shape[:2] == ids.shape, np.unique(ids).tolist()
        (True, [0, 1, 2])
    """
    height, width = (int(side) for side in rng.randint(size * 3 // 4, size * 5 // 4 + 1, 2))
    image, ids = draw_ground(rng, height, width), np.zeros((height, width), np.uint8)
    if hard and index == _EMPTY_AT:
        return image, ids
    if hard and index == _SINGLE_AT:
        ids[rng.randint(1, height - 1), rng.randint(1, width - 1)] = 1
    else:
        _SCENES[index % len(_SCENES)](rng, ids)
    first = rng.randint(len(_COLOURS))
    for number in range(1, int(ids.max()) + 1):
        colour = np.array(_COLOURS[(first + number) % len(_COLOURS)]) + rng.randint(-20, 21, 3)
        image[ids == number] = np.clip(colour, 0, 255)
    return image, ids


def draw_ground(rng: RandomState, height: int, width: int) -> np.ndarray:
    """Draw greyish noise at two scales over a tint, (H, W, 3) uint8.

    Example:
        >>> draw_ground(RandomState(0), 4, 6).shape
        (4, 6, 3)
    """
    texture = np.zeros((height, width, 1), np.int16)
    for cells, strength in ((4, 30), (16, 15)):
        noise = rng.randint(0, 2 * strength + 1, (cells, cells)).astype(np.uint8)
        grown = cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR_EXACT)
        texture += grown.astype(np.int16)[..., None] - strength
    tint = rng.randint(95, 150) + rng.randint(-10, 11, 3)
    return np.clip(texture + tint, 0, 255).astype(np.uint8)


# --- scenes ---


def _disc_inside(rng: RandomState, ids: np.ndarray) -> None:
    side = min(ids.shape)
    radius = int(rng.randint(side // 6, side // 4 + 1))
    _disc(ids, 1, (_between(rng, radius, ids.shape[1]), _between(rng, radius, ids.shape[0])), radius)


def _rectangle_at_border(rng: RandomState, ids: np.ndarray) -> None:
    height, width = ids.shape
    rows, columns = int(rng.randint(height // 3, height // 2)), int(rng.randint(width // 3, width // 2))
    top = (0, height - rows)[rng.randint(2)]
    left = int(rng.randint(0, width - columns + 1))
    ids[top : top + rows, left : left + columns] = 1


def _two_apart(rng: RandomState, ids: np.ndarray) -> None:
    height, width = ids.shape
    radius = min(height, width // 2) // 5
    _disc(ids, 1, (width // 4, _between(rng, radius, height)), radius)
    top = int(rng.randint(1, height // 2))
    ids[top : top + height // 3, width * 5 // 8 : width * 7 // 8] = 2


def _touching_pair(rng: RandomState, ids: np.ndarray) -> None:
    """Draw two discs; the first covers a part of the second, so that they share a border."""
    height, width = ids.shape
    radius = min(height, width) // 5
    row = _between(rng, radius + 2, height)
    column = _between(rng, 2 * radius, width)
    _disc(ids, 2, (column + radius * 4 // 5, row), radius)
    _disc(ids, 1, (column - radius * 4 // 5, row), radius)


_SCENES = (_disc_inside, _rectangle_at_border, _two_apart, _touching_pair)


def _between(rng: RandomState, margin: int, side: int) -> int:
    return int(rng.randint(margin + 1, max(margin + 2, side - margin - 1)))


def _disc(ids: np.ndarray, number: int, centre: tuple[int, int], radius: int) -> None:
    cv2.circle(ids, centre, radius, number, cv2.FILLED)
