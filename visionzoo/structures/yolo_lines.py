"""Detections as the lines of YOLO's text files."""

from __future__ import annotations

import cv2
import numpy as np

from visionzoo.structures.detections import Detections, decode_mask


def yolo_lines(found: Detections) -> str:
    """Return one line for each detection; empty without detections.

    A line is ``class cx cy w h score``, or with masks ``class x1 y1 x2 y2 ... score``: the outline of the largest part
    of the mask. Coordinates are fractions of the width and height of the image. A mask of less than three corners has
    the corners of its box.

    Example:
        >>> boxes = np.array([[0.0, 0.0, 4.0, 3.0]])
        >>> yolo_lines(Detections(boxes, np.array([0.5]), np.array([1]), size=(8, 6)))
        '1 0.250000 0.250000 0.500000 0.500000 0.500000\\n'
    """
    lines = []
    for index, box in enumerate(found.boxes.astype(float)):
        corners = (box / np.tile(found.size, 2)).clip(0, 1)
        if found.masks is None:
            numbers = np.concatenate([(corners[:2] + corners[2:]) / 2, corners[2:] - corners[:2]])
        else:
            numbers = _outline(decode_mask(found.masks[index]), corners)
        values = " ".join(f"{number:.6f}" for number in [*numbers, found.scores[index]])
        lines.append(f"{int(found.labels[index])} {values}\n")
    return "".join(lines)


def _outline(mask: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Return x, y, x, y, ... of the outline of the largest part of a mask, (H, W) bool, as fractions."""
    parts, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    largest = max(parts, key=cv2.contourArea, default=np.zeros((0, 1, 2)))
    if len(largest) < 3:
        x1, y1, x2, y2 = corners
        return np.array([x1, y1, x2, y1, x2, y2, x1, y2])
    return ((largest[:, 0] + 0.5) / mask.shape[::-1]).ravel()
