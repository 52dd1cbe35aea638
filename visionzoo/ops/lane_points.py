"""Sample the points of lanes from probability maps, as SCNN's PyTorch port does.

Results equal those of harryhan618/SCNN_Pytorch. Rows and columns are truncated, not rounded. (The authors' Matlab
program rounds, which moves about half of the rows by one.) On each sampled row, the most probable column is the lane's
point if its probability is above a threshold. Column 0 counts as a missing point. A lane with fewer than two points is
dropped.

Arrays: h, w size of a map; H, W size in pixels of the image that the points refer to; K lanes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from visionzoo.errors import DataError, require_known

KINDS = ("culane", "tusimple")

# x of a row without a point.
MISSING = -1.0

_BLUR = 9
_LEAST_POINTS = 2
_GAPS = {"culane": 20, "tusimple": 10}


def lanes_of_maps(
    prob: np.ndarray,
    exists: Sequence[float] | np.ndarray,
    *,
    kind: str = "culane",
    size: Sequence[int] | None = None,
    gap: int | None = None,
    points: int | None = None,
    smooth: bool = True,
    threshold: float = 0.3,
) -> list[np.ndarray | None]:
    """Convert probability maps to one polyline per lane.

    Args:
        prob: (K + 1, h, w). Channel 0 is the background.
        exists: K numbers. A lane exists if its number is above 0.
        kind: ``culane`` samples rows from H - 1 upwards and drops rows without a point. ``tusimple`` samples rows from
            H - 10 upwards and keeps all of them; x is -1 on rows without a point.
        size: (H, W); default: the size of the map.
        gap: distance between two rows in pixels of the image; default: 20 for ``culane``, 10 for ``tusimple``.
        points: number of rows; default: the rows of the lower half of the image.
        smooth: blur the map first.
        threshold: minimum probability of a point.

    Returns:
        K entries. Each is (n, 2) float64 of (x, y) from bottom to top, or None if the lane is missing.

    Raises:
        UnknownName: an unknown kind.
        DataError: ``prob`` is not (K + 1, h, w) for the K numbers of ``exists``.

    Example:
        >>> prob = np.zeros((2, 4, 5))
        >>> prob[1, :, 2] = 1
        >>> lanes_of_maps(prob, [1], gap=1, points=2, smooth=False)[0].tolist()
        [[2.0, 3.0], [2.0, 2.0]]
    """
    require_known(kind, KINDS, "way of sampling rows")
    if prob.ndim != 3 or len(prob) != len(exists) + 1:
        raise DataError(
            "lanes",
            expected="maps (K + 1, h, w) and K numbers of existence",
            found=f"shape {prob.shape} and {len(exists)}",
            advice="put the background in the first map",
        )
    lanes: list[np.ndarray | None] = []
    for lane, is_there in zip(prob[1:], exists, strict=True):
        if not is_there > 0:
            lanes.append(None)
            continue
        rows = sample_rows(blurred(lane) if smooth else lane, kind, size, gap, points, threshold)
        is_point = rows[:, 0] != MISSING
        if is_point.sum() < _LEAST_POINTS:
            lanes.append(None)
        else:
            lanes.append(rows[is_point] if kind == "culane" else rows)
    return lanes


@dataclass(frozen=True)
class Rows:
    """Settings that turn probability maps into polylines; see :func:`lanes_of_maps`.

    All pixels refer to an image of ``size``.

    Attributes:
        kind: ``culane`` or ``tusimple``.
        size: (H, W) of the data set's images.
        gap: pixels between two rows, >= 1.
        points: number of rows, >= 2.
        smooth: blur the maps first.
        threshold: only points whose probability exceeds it are used.
    """

    kind: str
    size: tuple[int, int]
    gap: int
    points: int
    smooth: bool = True
    threshold: float = 0.3

    def lanes(self, prob: np.ndarray, exists: Sequence[bool], ori_size: Sequence[int]) -> list[np.ndarray | None]:
        """Return None or (n, 2) points (x, y) for each lane, from bottom to top in pixels of the original image.

        Args:
            prob: (K + 1, h, w) probabilities of the whole image.
            exists: K values, True for lanes to return.
            ori_size: (H, W) of the original image.
        """
        lanes = lanes_of_maps(
            prob,
            exists,
            kind=self.kind,
            size=self.size,
            gap=self.gap,
            points=self.points,
            smooth=self.smooth,
            threshold=self.threshold,
        )
        factors = np.array([ori_size[1] / self.size[1], ori_size[0] / self.size[0]])
        return [None if lane is None else lane[lane[:, 0] != MISSING] * factors for lane in lanes]


def blurred(prob: np.ndarray) -> np.ndarray:
    """Return the mean of the 9x9 pixels around each pixel, (h, w). Pixels of the border are repeated outside it."""
    import cv2

    return cv2.blur(np.ascontiguousarray(prob, np.float32), (_BLUR, _BLUR), borderType=cv2.BORDER_REPLICATE)


def sample_rows(
    prob: np.ndarray,
    kind: str,
    size: Sequence[int] | None = None,
    gap: int | None = None,
    points: int | None = None,
    threshold: float = 0.3,
) -> np.ndarray:
    """Sample one map on evenly spaced rows.

    Args:
        prob: (h, w).
        kind, size, gap, points, threshold: as for :func:`lanes_of_maps`.

    Returns:
        (points, 2) float64 of (x, y) from bottom to top; x is -1 on rows without a point.

    Example:
        >>> prob = np.zeros((4, 5))
        >>> prob[3, 2] = 1
        >>> sample_rows(prob, "culane", gap=1, points=2).tolist()
        [[2.0, 3.0], [-1.0, 2.0]]
    """
    height, width = prob.shape
    full_height, full_width = prob.shape if size is None else size
    gap = _GAPS[kind] if gap is None else gap
    steps = np.arange(round(full_height / 2 / gap) if points is None else points)
    if kind == "culane":
        rows, y = height - steps * gap / full_height * height - 1, full_height - 1 - steps * gap
    else:
        rows, y = (full_height - 10 - steps * gap) * height / full_height, full_height - 10 - steps * gap
    rows = np.trunc(rows).astype(int)
    is_inside = (rows >= 0) & (rows < height)
    lines = prob[np.clip(rows, 0, height - 1)]
    columns = lines.argmax(1)
    x = np.trunc(columns / width * full_width)
    is_found = is_inside & (lines[np.arange(len(lines)), columns] > threshold) & (x > 0)
    return np.stack([np.where(is_found, x, MISSING), y.astype(float)], 1)
