"""How many people, vehicles or cells one image shows, and where: what is written, drawn and compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from visionzoo.errors import InputError
from visionzoo.structures.arrays import as_array


@dataclass(frozen=True)
class CrowdCount:
    """The count of one image and the density that it is the sum of.

    Attributes:
        count: people in the image, a fraction as a rule.
        density: (h, w) float32, people per cell of a grid that lies evenly over the image: pixel row y belongs to
            cell ``y * h // H``, columns likewise. Its sum is ``count``.
        size: (width, height) of the original image in pixels.

    Raises:
        InputError: a value is not finite, which no image should cause.
    """

    count: float
    density: np.ndarray
    size: tuple[int, int]

    def __post_init__(self) -> None:
        if not (np.isfinite(self.count) and np.isfinite(self.density).all()):
            raise InputError("the model gives a density that is not finite; check its weights")

    def above(self, threshold: float) -> CrowdCount:
        """The same: a count is no list of things with scores."""
        return self

    def to_json(self) -> dict[str, Any]:
        """Plain numbers; who writes files adds where the density is."""
        return {"count": round(self.count, 3)}

    def to_row(self) -> dict[str, Any]:
        """The count as a row of a table."""
        return self.to_json()

    def full_density(self) -> np.ndarray:
        """(H, W) float32, people per pixel, of the same sum; a cell's people are shared evenly by its pixels."""
        width, height = self.size
        return _spread(_spread(self.density, height).T, width).T.astype(np.float32)


def _spread(cells: np.ndarray, pixels: int) -> np.ndarray:
    """(n, m) to (pixels, m): rows repeated and divided, or added where the grid is the finer one."""
    count = len(cells)
    if count > pixels:
        found = np.zeros((pixels, cells.shape[1]))
        np.add.at(found, np.arange(count) * pixels // count, cells)
        return found
    cell = np.arange(pixels) * count // pixels
    return (cells / np.bincount(cell, minlength=count)[:, None])[cell]


def count_of(sample: Any, size: tuple[int, int]) -> CrowdCount:
    """Of a sample with ``pred_count`` and ``pred_density`` (h, w) or (1, h, w).

    Args:
        sample: a data sample, or its dict.
        size: (width, height) of the original image.
    """
    density = as_array(sample.get("pred_density"), np.float32, single=True)
    count = float(as_array(sample.get("pred_count"), single=True))
    return CrowdCount(count, density[0] if density.ndim == 3 else density, size)
