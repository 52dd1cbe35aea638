"""Inner boundaries of masks, by which boundary IoU compares them (Cheng et al., CVPR 2021).

The boundary of a mask is the mask without its erosion by ``width`` steps of a 3 x 3 square. Pixels outside the image
count as outside of the mask, so that the border of the image is a boundary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

RATIO = 0.02  # width of a boundary as a share of the diagonal of the image


def boundary_width(size: Sequence[int], ratio: float = RATIO) -> int:
    """Return the width of boundaries in an image of (height, width) pixels, at least 1.

    Example:
        >>> boundary_width((480, 640)), boundary_width((10, 10))
        (16, 1)
    """
    height, width = size
    return max(1, round(float(ratio * np.sqrt(height**2 + width**2))))


def inner_boundary(mask: np.ndarray, width: int) -> np.ndarray:
    """Return the boundary of a mask.

    The erosion of a mask depends only on the pixels in its box. A caller that has the box may pass only the part of
    the mask in it.

    Args:
        mask: (H, W) bool.
        width: steps of the erosion, see :func:`boundary_width`.

    Returns:
        (H, W) bool.

    Example:
        >>> inner_boundary(np.ones((3, 4), bool), 1).astype(int).tolist()
        [[1, 1, 1, 1], [1, 0, 0, 1], [1, 1, 1, 1]]
    """
    import cv2

    if not mask.size:
        return mask.astype(bool)
    pixels = np.ascontiguousarray(mask).view(np.uint8)
    square = np.ones((3, 3), np.uint8)
    kept = cv2.erode(pixels, square, iterations=width, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return (pixels - kept).view(bool)


class Patch(NamedTuple):
    """Pixels of a mask in a box of the image: ``mask`` is (h, w) bool, its first pixel is at ``left`` and ``top``."""

    mask: np.ndarray
    left: int
    top: int

    @classmethod
    def boundary_of(cls, numbers: np.ndarray, number: int, box: Sequence[int], width: int) -> Patch:
        """Return the boundary of the pixels of one number.

        Args:
            numbers: (H, W) ids or classes of an image.
            number: the number whose pixels are the mask.
            box: left, top, width and height of the box around these pixels.
            width: see :func:`boundary_width`.
        """
        left, top, columns, rows = box
        mask = numbers[top : top + rows, left : left + columns] == number
        return cls(inner_boundary(mask, width), left, top)

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int(np.count_nonzero(self.mask))

    def part_of(self, image: np.ndarray) -> np.ndarray:
        """Return the part of an image (H, W) in the box of the patch."""
        rows, columns = self.mask.shape
        return image[self.top : self.top + rows, self.left : self.left + columns]

    def common(self, other: Patch) -> int:
        """Return the number of pixels in both patches.

        Example:
            >>> Patch(np.ones((2, 2), bool), 0, 0).common(Patch(np.ones((3, 3), bool), 1, 1))
            1
        """
        (top, bottom), (left, right) = (self._span(other, axis) for axis in (0, 1))
        if top >= bottom or left >= right:
            return 0
        parts = (
            each.mask[top - each.top : bottom - each.top, left - each.left : right - each.left]
            for each in (self, other)
        )
        return int(np.count_nonzero(np.logical_and(*parts)))

    def _span(self, other: Patch, axis: int) -> tuple[int, int]:
        """Return first and last position plus one that both boxes have on an axis."""
        starts = [each.top if axis == 0 else each.left for each in (self, other)]
        ends = [start + each.mask.shape[axis] for start, each in zip(starts, (self, other), strict=True)]
        return max(starts), min(ends)
