"""Count and density of people, vehicles or cells in one image, for files, drawings and comparisons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from visionzoo.errors import InputError
from visionzoo.structures.arrays import as_array


@dataclass(frozen=True)
class CrowdCount:
    """Count of one image, and the density whose sum is the count.

    Attributes:
        count: people in the image, >= 0; usually not a whole number.
        density: (h, w) float32, people per cell of an even grid over the image. Its sum is ``count``, or a negative
            number if ``count`` is 0, because a model may return negative densities.
        size: (width, height) of the original image in pixels.

    Raises:
        InputError: a value is not finite. No image should cause this.

    Convention:
        Pixel row y of an image of height H belongs to grid row ``y * h // H``. Columns follow the same rule.

    Example:
        >>> count = CrowdCount(4.0, np.array([[1.0, 3.0]], dtype=np.float32), size=(4, 2))
        >>> count.full_density().tolist()
        [[0.25, 0.25, 0.75, 0.75], [0.25, 0.25, 0.75, 0.75]]
    """

    count: float
    density: np.ndarray
    size: tuple[int, int]

    def __post_init__(self) -> None:
        if not (np.isfinite(self.count) and np.isfinite(self.density).all()):
            raise InputError("the model returns a density that is not finite; check its weights")

    def above(self, threshold: float) -> CrowdCount:
        """Return the count unchanged, because a count has no scores."""
        return self

    def to_json(self) -> dict[str, Any]:
        """Return the count as a plain number; the writer of files adds the path of the density."""
        return {"count": round(self.count, 3)}

    def to_row(self) -> dict[str, Any]:
        """Return the count as a table row."""
        return self.to_json()

    def full_density(self) -> np.ndarray:
        """Return the density as (H, W) float32, people per pixel, with the same sum.

        The people of a cell are distributed evenly over its pixels.
        """
        width, height = self.size
        return _spread(_spread(self.density, height).T, width).T.astype(np.float32)


def _spread(cells: np.ndarray, pixels: int) -> np.ndarray:
    """Resample (n, m) to (pixels, m): repeat and divide the rows, or sum them if the grid is finer."""
    count = len(cells)
    if count > pixels:
        rows = np.zeros((pixels, cells.shape[1]))
        np.add.at(rows, np.arange(count) * pixels // count, cells)
        return rows
    cell = np.arange(pixels) * count // pixels
    return (cells / np.bincount(cell, minlength=count)[:, None])[cell]


def count_of(sample: Any, size: tuple[int, int]) -> CrowdCount:
    """Return the count of a sample.

    Args:
        sample: a data sample or its dict, with ``pred_count`` and ``pred_density`` (h, w) or (1, h, w).
        size: (width, height) of the original image.

    Returns:
        The count and its density. A negative count is 0; its density is unchanged. Metrics read ``pred_count`` itself.

    Example:
        >>> count_of({"pred_count": -0.5, "pred_density": np.full((1, 2), -0.25)}, (2, 1))
        CrowdCount(count=0.0, density=array([[-0.25, -0.25]], dtype=float32), size=(2, 1))
    """
    density = as_array(sample.get("pred_density"), np.float32, single=True)
    count = float(as_array(sample.get("pred_count"), single=True))
    # the comparison keeps nan, which CrowdCount reports
    return CrowdCount(0.0 if count <= 0 else count, density[0] if density.ndim == 3 else density, size)
