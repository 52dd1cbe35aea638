"""Drawn images in the layout of RefCOCO and its relatives: a coloured box or disc in each half, and phrases about them.

::

    refcoco/refs(unc).p              one ref for each object, with up to three phrases that mean only this object
    refcoco/instances.json           polygons of all objects
    images/mscoco/images/train2014/COCO_train2014_000000000001.jpg ...

Phrases name side, size, colour and shape. Side, size and colour decide what a phrase means; its shape is always true,
because small boxes and discs look almost equal. An image has a small and a large object. RefCOCO+ has no sides,
RefCOCOg has whole sentences, and gRefCOCO also has phrases that mean both objects or none. Positions and sizes in the
images of a split occur in no other split.
"""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.random import RandomState

from visionzoo.datasets.tiny.image_files import write_image
from visionzoo.datasets.tiny.saliency import draw_ground

IMAGES = Path("images", "mscoco", "images", "train2014")
COLOURS = {"red": (214, 50, 44), "green": (50, 170, 66), "blue": (52, 80, 220)}  # RGB
SHAPES = ("box", "disc")
SIDES = ("left", "right")
_RADII = {"small": (0.12, 0.14), "large": (0.22, 0.24)}  # fractions of the shorter side
_MOST_PHRASES = 3
_CORNERS = 24  # of the polygon of a disc


@dataclass(frozen=True)
class Thing:
    """One drawn object.

    Attributes:
        side, size, colour, shape: what phrases state about it.
        box: left, top, right and bottom edge in pixels.
    """

    side: str
    size: str
    colour: str
    shape: str
    box: tuple[int, int, int, int]

    @property
    def polygon(self) -> list[float]:
        """The outline in pixels, [x1, y1, x2, y2, ...]."""
        left, top, right, bottom = map(float, self.box)
        if self.shape == "box":
            return [left, top, right, top, right, bottom, left, bottom]
        middle, centre, radius = (left + right) / 2, (top + bottom) / 2, (right - left) / 2
        angles = [2 * math.pi * corner / _CORNERS for corner in range(_CORNERS)]
        points = [(middle + radius * math.cos(a), centre + radius * math.sin(a)) for a in angles]
        return [round(value, 2) for point in points for value in point]


@dataclass(frozen=True)
class Words:
    """The words of a phrase; an empty word is left out."""

    side: str = ""
    size: str = ""
    colour: str = ""
    shape: str = ""

    @property
    def count(self) -> int:
        """Number of words."""
        return sum(map(bool, self.__dict__.values()))

    def fits(self, thing: Thing) -> bool:
        """Return True if the phrase describes an object."""
        pairs = zip(
            (self.side, self.size, self.colour, self.shape), (thing.side, thing.size, thing.colour, thing.shape)
        )
        return all(word in ("", fact) for word, fact in pairs)

    def targets(self, things: Sequence[Thing]) -> tuple[int, ...]:
        """Return the indices of the objects that the phrase describes."""
        return tuple(at for at, thing in enumerate(things) if self.fits(thing))

    def short(self) -> str:
        """Return a phrase such as ``left red box``."""
        return " ".join(filter(None, (self.side, self.size, self.colour, self.shape or "one")))

    def long(self) -> str:
        """Return a phrase such as ``the red box on the left side of the image``."""
        where = f"on the {self.side} side of the image" if self.side else ""
        return " ".join(filter(None, ("the", self.size, self.colour, self.shape or "thing", where)))

    def all_of_them(self) -> str:
        """Return a phrase such as ``all red boxes``."""
        shape = {"box": "boxes", "disc": "discs", "": "things"}[self.shape]
        return " ".join(filter(None, ("all", self.size, self.colour, shape)))


@dataclass(frozen=True)
class ReferTwin:
    """Twin of one data set.

    Attributes:
        folder: its folder.
        split_by: who made its splits.
        tests: names of the splits for testing, which take turns.
        file: name of the file of refs.
        has_sides: phrases name sides.
        phrase_of: function from words to a phrase.
        is_general: phrases may mean several objects, or none.
    """

    folder: str
    split_by: str = "unc"
    tests: tuple[str, ...] = ("testA", "testB")
    file: str = "refs({}).p"
    has_sides: bool = True
    phrase_of: Callable[[Words], str] = Words.short
    is_general: bool = False

    VERSION = 2
    DEFAULTS = {"train": 160, "val": 24, "test": 24, "size": 72, "seed": 0}
    LOWEST = {"train": 1, "val": 1, "test": 2, "size": 48, "seed": 0}

    def draw(self, folder: Path, *, train: int, val: int, test: int, size: int, seed: int) -> None:
        """Draw all splits into ``folder``.

        Args:
            folder: an empty folder.
            train, val, test: number of images of each split.
            size: mean side of the images in pixels; each side differs by at most an eighth.
            seed: different seeds draw different images.
        """
        (folder / IMAGES).mkdir(parents=True)
        (folder / self.folder).mkdir()
        splits = ["train"] * train + ["val"] * val + [self.tests[n % len(self.tests)] for n in range(test)]
        record: dict[str, list] = {"images": [], "annotations": [], "categories": _CATEGORIES}
        refs: list[dict[str, Any]] = []
        seen: dict[tuple, str] = {}
        for number, split in enumerate(splits, start=1):
            rng = RandomState([seed, number])
            image, things = draw_scene(rng, size, partial(_is_free, seen, split))
            name = f"COCO_train2014_{number:012d}.jpg"
            write_image(folder / IMAGES / name, image)
            height, width = image.shape[:2]
            record["images"].append({"id": number, "file_name": name, "height": height, "width": width})
            first = len(record["annotations"]) + 1
            record["annotations"] += [_annotation(first + at, number, thing) for at, thing in enumerate(things)]
            for targets, phrases in self._phrases(rng, things):
                refs.append(self._ref(len(refs), number, first, targets, things, phrases, split))
        path = folder / self.folder / self.file.format(self.split_by)
        path.write_bytes(pickle.dumps(refs, protocol=2) if path.suffix == ".p" else json.dumps(refs).encode())
        text = json.dumps(record, separators=(",", ":"))
        (folder / self.folder / "instances.json").write_text(text, encoding="utf-8")

    def _phrases(self, rng: RandomState, things: Sequence[Thing]) -> list[tuple[list[int], list[str]]]:
        """Return the objects and phrases of each ref of an image."""
        sides = ("", *SIDES) if self.has_sides else ("",)
        by_targets: dict[tuple[int, ...], list[str]] = {}
        for words in (Words(*each) for each in product(sides, ("", *_RADII), ("", *COLOURS), ("", *SHAPES))):
            targets = words.targets(things)
            if targets != replace(words, shape="").targets(things):
                continue
            if len(targets) == 1 and 0 < words.count <= 3:
                by_targets.setdefault(targets, []).append(self.phrase_of(words))
            elif self.is_general and len(targets) > 1 and not words.side:
                by_targets.setdefault(targets, []).append(words.all_of_them())
            elif self.is_general and not targets and words.colour and words.shape and words.count <= 3:
                by_targets.setdefault((), []).append(self.phrase_of(words))
        return [
            (list(targets), [phrases[at] for at in sorted(rng.permutation(len(phrases))[:_MOST_PHRASES])])
            for targets, phrases in sorted(by_targets.items())
        ]

    def _ref(
        self,
        ref_id: int,
        image: int,
        first: int,
        targets: Sequence[int],
        things: Sequence[Thing],
        phrases: Sequence[str],
        split: str,
    ) -> dict[str, Any]:
        anns = [first + at for at in targets] or [-1]
        kinds = [SHAPES.index(things[at].shape) + 1 for at in targets] or [-1]
        sent_ids = [_MOST_PHRASES * ref_id + at for at in range(len(phrases))]
        sentences = [
            {"raw": phrase, "sent": phrase, "tokens": phrase.split(), "sent_id": sent_id}
            for phrase, sent_id in zip(phrases, sent_ids, strict=True)
        ]
        ref = {
            "ref_id": ref_id,
            "ann_id": anns if self.is_general else anns[0],
            "category_id": kinds if self.is_general else kinds[0],
            "image_id": image,
            "file_name": f"COCO_train2014_{image:012d}_{ref_id}.jpg",
            "split": split,
            "sent_ids": sent_ids,
            "sentences": sentences,
        }
        return {**ref, "no_target": not targets} if self.is_general else ref


def _is_free(seen: dict[tuple, str], split: str, boxes: tuple) -> bool:
    """Return True if no other split has these boxes."""
    return seen.setdefault(boxes, split) == split


_CATEGORIES = [{"id": number, "name": name, "supercategory": "shape"} for number, name in enumerate(SHAPES, start=1)]


def _annotation(ann_id: int, image: int, thing: Thing) -> dict[str, Any]:
    left, top, right, bottom = thing.box
    return {
        "id": ann_id,
        "image_id": image,
        "category_id": SHAPES.index(thing.shape) + 1,
        "bbox": [left, top, right - left, bottom - top],
        "area": (right - left) * (bottom - top),
        "iscrowd": 0,
        "segmentation": [thing.polygon],
    }


def draw_scene(
    rng: RandomState, size: int, is_free: Callable[[tuple], bool] = lambda boxes: True
) -> tuple[np.ndarray, list[Thing]]:
    """Draw an image with an object in its left and one in its right half, one small and one large.

    Args:
        rng: generator of random numbers.
        size: mean side in pixels.
        is_free: False for boxes that must not be drawn; other ones are drawn then.

    Returns:
        Image (H, W, 3) uint8 RGB, and its objects.

    Example:
        >>> image, things = draw_scene(RandomState(0), 64)
        >>> image.ndim, [thing.side for thing in things]
        (3, ['left', 'right'])
    """
    height, width = (int(side) for side in rng.randint(size * 7 // 8, size * 9 // 8 + 1, 2))
    while True:
        sizes = rng.permutation(list(_RADII))  # one of each, because sizes are learned last
        things = [_thing(rng, side, str(size), height, width) for side, size in zip(SIDES, sizes, strict=True)]
        if is_free((height, width, *(thing.box for thing in things))):
            break
    image = draw_ground(rng, height, width)
    for thing in things:
        mask = np.zeros((height, width), np.uint8)
        corners = np.array(thing.polygon).reshape(-1, 2) - 0.5  # from edges to centres of pixels
        cv2.fillPoly(mask, [np.rint(corners).astype(np.int32)], 1)
        image[mask > 0] = np.clip(np.array(COLOURS[thing.colour]) + rng.randint(-15, 16, 3), 0, 255)
    return image, things


def _thing(rng: RandomState, side: str, size: str, height: int, width: int) -> Thing:
    colour, shape = (list(names)[rng.randint(len(names))] for names in (COLOURS, SHAPES))
    low, high = (fraction * min(height, width) for fraction in _RADII[size])
    radius = int(rng.randint(round(low), round(high) + 1))
    begin = 0 if side == "left" else width // 2
    x = begin + int(rng.randint(radius, width // 2 - radius + 1))
    y = int(rng.randint(radius, height - radius + 1))
    return Thing(side, size, colour, shape, (x - radius, y - radius, x + radius, y + radius))


TWINS = {
    "refcoco": ReferTwin("refcoco"),
    "refcoco_plus": ReferTwin("refcoco+", has_sides=False),
    "refcocog": ReferTwin("refcocog", "umd", ("test",), phrase_of=Words.long),
    "grefcoco": ReferTwin("grefcoco", file="grefs({}).json", is_general=True),
}
