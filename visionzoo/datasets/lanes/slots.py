"""Targets for TuSimple: selection of the four lanes that SCNN learns, and their mask.

Source: preparation of TuSimple in harryhan618/SCNN_Pytorch.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

THICKNESS = 15  # pixels, in images 1280 wide
_LEAST_POINTS = 4


def lane_slots(lanes: Sequence[np.ndarray], count: int = 4) -> list[np.ndarray | None]:
    """Select the lanes next to the car.

    Lanes are sorted by the angle of the line from their lower to their upper end, counted from the right. Lanes of up
    to 90 degrees are left of the car, and the last of them is the left lane of the car. Lanes of one point are omitted.
    A lane of two or three points occupies its slot but counts as missing.

    Args:
        lanes: (n, 2) points (x, y) from the top to the bottom of the image, as in TuSimple.
        count: number of slots, half of them on each side.

    Returns:
        ``count`` slots from left to right; None for a missing lane.

    Example:
        >>> lane = np.array([[8, 0], [6, 6], [4, 12], [2, 18]])
        >>> existence(lane_slots([lane])).tolist()
        [0.0, 1.0, 0.0, 0.0]
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
    """Draw lanes as (H, W) uint8: k + 1 for lane k. The later lane covers the earlier one.

    Args:
        slots: see :func:`lane_slots`.
        shape: (H, W) of the image.
        thickness: width of the lanes in pixels.

    Example:
        >>> mask = draw_slots([None, np.array([[5, 0], [5, 9]])], (10, 10), thickness=1)
        >>> np.unique(mask).tolist()
        [0, 2]
    """
    mask = np.zeros(shape, np.uint8)
    for value, lane in enumerate(slots, start=1):
        if lane is not None:
            corners = np.rint(lane).clip(-(2**30), 2**30).astype(np.int32)
            cv2.polylines(mask, [corners], False, value, thickness)
    return mask


def existence(slots: Sequence[np.ndarray | None]) -> np.ndarray:
    """Return (K,) float32 with 1 for each slot that has a lane."""
    return np.array([lane is not None for lane in slots], dtype=np.float32)


def _angle(lane: np.ndarray) -> float:
    """Return the angle in degrees; below 90 for lanes from the lower left to the upper right, left of the car."""
    (x_first, y_first), (x_last, y_last) = lane[0], lane[-1]
    return float(np.degrees(np.arctan2(y_last - y_first, x_first - x_last)))
