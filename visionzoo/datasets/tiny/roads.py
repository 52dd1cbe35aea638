"""Drawn roads with up to four lanes, seen from a car, for the twins of CULane and TuSimple."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.random import RandomState

SCENES = ("normal", "crowd", "hlight", "shadow", "noline", "arrow", "curve", "cross", "night")
_WHITE, _YELLOW = (235, 235, 228), (228, 190, 70)  # RGB


@dataclass(frozen=True)
class Road:
    """Lane geometry of one image.

    Attributes:
        height, width: size of the image in pixels.
        horizon: row of the horizon.
        vanishing: column where the lanes meet at the horizon.
        spacing: width of a lane at the lower border in pixels.
        bend: distance of a curve from the straight line at the horizon, in columns.
        slots: existing lanes, from 0 for the far left lane to 3 for the far right lane.
    """

    height: int
    width: int
    horizon: float
    vanishing: float
    spacing: float
    bend: float
    slots: tuple[int, ...]

    def x(self, slot: float | np.floating, y: np.ndarray) -> np.ndarray:
        """Return the columns of a lane at the rows ``y``; fractional slots are between two lanes."""
        near = (np.asarray(y, np.float64) - self.horizon) / (self.height - self.horizon)
        return self.vanishing + (slot - 1.5) * self.spacing * near + self.bend * (1 - near) ** 2

    def points(self, slot: int, rows: np.ndarray) -> np.ndarray:
        """Return (n, 2) points of a lane at rows below the horizon, up to a tenth of the width outside the image."""
        rows = rows[rows > self.horizon + 0.08 * self.height]
        x = self.x(slot, rows)
        inside = (x > -0.1 * self.width) & (x < 1.1 * self.width)
        return np.stack([x[inside], rows[inside]], axis=1)


def draw_road(rng: RandomState, height: int, width: int, scene: str, *, fifth: bool = False) -> tuple[np.ndarray, Road]:
    """Draw a road.

    Args:
        rng: generator of random numbers.
        height, width: size of the image in pixels.
        scene: one of ``SCENES``; ``cross`` has no lanes, ``curve`` bends more than the other scenes.
        fifth: add lane 4, to the right of the far right lane.

    Returns:
        Image (H, W, 3) uint8 RGB, and its lanes.

    Example:
        >>> image, road = draw_road(RandomState(0), 36, 100, "cross")
        >>> image.shape, road.slots
        ((36, 100, 3), ())
    """
    road = _road(rng, height, width, scene)
    if fifth and road.slots:
        road = replace(road, slots=(*road.slots, 4))
    image = _ground(rng, road)
    strength = 0.35 if scene == "noline" else 1.0
    for slot in road.slots:
        colour = np.array(_YELLOW if slot in (0, 3) and rng.randint(3) == 0 else _WHITE)
        _paint(image, _strip(road, slot, 0.012), colour, strength)
    if scene in _EXTRAS:
        _EXTRAS[scene](rng, image, road)
    noise = rng.randint(-6, 7, (height, width, 1))
    return np.clip(image + noise, 0, 255).astype(np.uint8), road


def _road(rng: RandomState, height: int, width: int, scene: str) -> Road:
    there = {0, 1, 2, 3}
    if rng.randint(3) == 0:
        there -= {(0, 3)[rng.randint(2)]}
    bend = rng.uniform(0.10, 0.18) * (-1, 1)[rng.randint(2)] if scene == "curve" else rng.uniform(-0.03, 0.03)
    return Road(
        height=height,
        width=width,
        horizon=height * rng.uniform(0.34, 0.42),
        vanishing=width * rng.uniform(0.44, 0.56),
        spacing=width * rng.uniform(0.36, 0.44),
        bend=width * bend,
        slots=() if scene == "cross" else tuple(sorted(there)),
    )


def _ground(rng: RandomState, road: Road) -> np.ndarray:
    """Return (H, W, 3) float: sky, land, and a road of grey texture."""
    height, width = road.height, road.width
    image = np.empty((height, width, 3))
    image[:] = np.array([150, 180, 205]) + rng.randint(-15, 16, 3)
    image[int(road.horizon) :] = np.array([96, 110, 74]) + rng.randint(-12, 13, 3)
    rows, right = np.arange(int(road.horizon), height + 1), max((3, *road.slots)) + 0.35
    edges = np.concatenate([np.stack([road.x(-0.35, rows), rows], 1), np.stack([road.x(right, rows), rows], 1)[::-1]])
    _paint(image, edges, np.full(3, rng.randint(78, 104)))
    for cells, strength in ((5, 10), (18, 6)):
        grown = cv2.resize(
            rng.randint(0, 2 * strength + 1, (cells, cells)).astype(np.uint8),
            (width, height),
            interpolation=cv2.INTER_LINEAR_EXACT,
        )
        image += grown[..., None].astype(np.float64) - strength
    return image


def _strip(road: Road, slot: float, share: float) -> np.ndarray:
    """Return the outline of a marking along a lane; ``share`` is its width at the lower border / image width."""
    rows = np.arange(int(road.horizon + 0.04 * road.height), road.height + 1)
    half = share * road.width / 2 * (rows - road.horizon) / (road.height - road.horizon) + 0.6
    x = road.x(slot, rows)
    return np.concatenate([np.stack([x - half, rows], 1), np.stack([x + half, rows], 1)[::-1]])


def _paint(image: np.ndarray, outline: np.ndarray, colour: np.ndarray, strength: float = 1.0) -> None:
    """Fill an outline in place with opacity ``strength``."""
    covered = np.zeros(image.shape[:2], np.uint8)
    cv2.fillPoly(covered, [np.rint(outline).astype(np.int32)], 1)
    there = covered > 0
    image[there] += strength * (colour - image[there])


# --- features of each scene ---


def _cars(rng: RandomState, image: np.ndarray, road: Road) -> None:
    for slot in (0.5, 2.5):
        low = road.horizon + (road.height - road.horizon) * rng.uniform(0.35, 0.7)
        x = float(road.x(slot, np.array(low)))
        half = 0.3 * road.spacing * (low - road.horizon) / (road.height - road.horizon)
        corners = np.array(
            [[x - half, low], [x + half, low], [x + half, low - 1.5 * half], [x - half, low - 1.5 * half]]
        )
        _paint(image, corners, rng.randint(20, 200, 3).astype(np.float64))


def _glare(rng: RandomState, image: np.ndarray, road: Road) -> None:
    y, x = np.mgrid[: road.height, : road.width]
    spot = road.width * rng.uniform(0.2, 0.8)
    far = ((x - spot) / (0.3 * road.width)) ** 2 + ((y - road.horizon) / (0.5 * road.height)) ** 2
    image += (90 * np.maximum(0, 1 - far))[..., None]


def _shadow(rng: RandomState, image: np.ndarray, road: Road) -> None:
    top = int(road.horizon + (road.height - road.horizon) * rng.uniform(0.2, 0.5))
    image[top : top + road.height // 5] *= 0.5


def _arrow(rng: RandomState, image: np.ndarray, road: Road) -> None:
    base, tip = (road.horizon + (road.height - road.horizon) * share for share in (0.85, 0.55))
    corners = [(1.45, base), (1.55, base), (1.54, tip), (1.62, tip), (1.5, tip - 0.06 * road.height), (1.38, tip)]
    outline = np.array([(float(road.x(slot, np.array(y))), y) for slot, y in [*corners, (1.46, tip)]])
    _paint(image, outline, np.array(_WHITE))


def _zebra(rng: RandomState, image: np.ndarray, road: Road) -> None:
    low, high = (road.horizon + (road.height - road.horizon) * share for share in (0.75, 0.5))
    for slot in np.arange(-0.1, 3.2, 0.4):
        corners = [(slot, low), (slot + 0.2, low), (slot + 0.2, high), (slot, high)]
        _paint(image, np.array([(float(road.x(s, np.array(y))), y) for s, y in corners]), np.array(_WHITE))


def _night(rng: RandomState, image: np.ndarray, road: Road) -> None:
    image *= 0.4


_EXTRAS = {"crowd": _cars, "hlight": _glare, "shadow": _shadow, "arrow": _arrow, "cross": _zebra, "night": _night}
