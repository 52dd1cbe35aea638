"""Which of a road's lanes are the four that SCNN learns, and their mask: the targets for TuSimple.

Source: harryhan618/SCNN_Pytorch, as it prepares TuSimple.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

THICKNESS = 15  # pixels, in images 1280 wide
_LEAST_POINTS = 4


def lane_slots(lanes: Sequence[np.ndarray], count: int = 4) -> list[np.ndarray | None]:
    """The lanes next to the car, ``count`` places from the left to the right; None where there is none.

    Lanes are ordered by the angle of the line from their lower to their upper end, counted from the right: those up to
    90 degrees are to the left of the car, the last of them is its left lane. Lanes of a single point are left out;
    one of fewer than four keeps its place but counts as missing.

    Args:
        lanes: (n, 2) points (x, y) from the top to the bottom of the image, as TuSimple has them.
        count: places, half of them on each side.
    """
    drawn = [lane for lane in lanes if len(lane) > 1]
    angles = np.array([_angle(lane) for lane in drawn])
    order = np.argsort(angles, kind="stable")
    left = [drawn[index] for index in order if angles[index] <= 90]
    right = [drawn[index] for index in order if angles[index] > 90]
    on_left = count // 2
    near_left, near_right = left[-on_left:] if on_left else [], right[: count - on_left]
    places: list[np.ndarray | None] = [None] * (on_left - len(near_left))
    places += [*near_left, *near_right, *[None] * (count - on_left - len(near_right))]
    return [lane if lane is not None and len(lane) >= _LEAST_POINTS else None for lane in places]


def draw_slots(slots: Sequence[np.ndarray | None], shape: tuple[int, int], thickness: int = THICKNESS) -> np.ndarray:
    """(H, W) uint8: k + 1 where lane k is, the later lane on top where two meet.

    Args:
        slots: see :func:`lane_slots`.
        shape: (H, W) of the image.
        thickness: pixels.
    """
    mask = np.zeros(shape, np.uint8)
    for value, lane in enumerate(slots, start=1):
        if lane is not None:
            corners = np.rint(lane).clip(-(2**30), 2**30).astype(np.int32)
            cv2.polylines(mask, [corners], False, value, thickness)
    return mask


def existence(slots: Sequence[np.ndarray | None]) -> np.ndarray:
    """(K,) float32: 1 for every place with a lane."""
    return np.array([lane is not None for lane in slots], dtype=np.float32)


def _angle(lane: np.ndarray) -> float:
    """Degrees: below 90 for lanes that lead from the lower left to the upper right, those left of the car."""
    (x_first, y_first), (x_last, y_last) = lane[0], lane[-1]
    return float(np.degrees(np.arctan2(y_last - y_first, x_first - x_last)))
