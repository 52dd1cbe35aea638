"""CULane's similarity without shortcuts: both lanes of a pair on full-size images, a line for every step."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np

from visionzoo.metrics.lanes import spline_points


def image_of(lane: np.ndarray, size: tuple[int, int], width: int) -> np.ndarray:
    """Draw a lane: (H, W) uint8."""
    canvas = np.zeros(size[::-1], np.uint8)
    for start, end in pairwise(np.rint(spline_points(lane)).astype(np.int64).tolist()):
        cv2.line(canvas, start, end, 1, width)
    return canvas


def iou_of(one: np.ndarray, other: np.ndarray, size: tuple[int, int], width: int) -> float:
    """Compute the IoU; NaN if both lanes are empty."""
    if len(one) < 2 or len(other) < 2:
        return 0.0
    left, right = image_of(one, size, width), image_of(other, size, width)
    either = int((left | right).sum())
    return int((left & right).sum()) / either if either else float("nan")


def random_lanes(rng: np.random.Generator, count: int, size: tuple[int, int]) -> list[np.ndarray]:
    """Return straight and irregular lanes of 2 to 24 points, inside the image, crossing its border, or outside."""
    lanes = []
    for _ in range(count):
        points = int(rng.integers(2, 25))
        y = np.linspace(size[1] * rng.uniform(0.7, 1.2), size[1] * rng.uniform(-0.1, 0.6), points)
        x = np.linspace(size[0] * rng.uniform(-0.2, 1.2), size[0] * rng.uniform(-0.2, 1.2), points)
        x += rng.normal(scale=rng.choice([0, 1, 4, 20]), size=points)
        if rng.random() < 0.3:
            y = y + rng.normal(scale=8, size=points)
        lane = np.stack([x, y], axis=1)
        lanes.append(np.round(lane) if rng.random() < 0.3 else lane)
    return lanes
