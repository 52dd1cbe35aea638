"""From the probability map of a lane to points on rows, as SCNN's PyTorch port samples them.

Source: harryhan618/SCNN_Pytorch, whose numbers this gives; rows and columns are truncated, not rounded (the authors'
Matlab program rounds, which moves about half of the rows by one). On every sampled row the most probable column is the
lane's point, if its probability is above a threshold. Column 0 counts as no point, and a lane of fewer than two points
is none.

Arrays: h, w size of a map; H, W size of the image that points are wanted for, in pixels; K lanes.
"""

from __future__ import annotations

from collections.abc import Sequence

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
    """One polyline for every lane, or None.

    Args:
        prob: (K + 1, h, w), channel 0 is the background.
        exists: K numbers, above 0 for lanes that are there.
        kind: ``culane``: rows from H - 1 upwards, rows without a point are left out. ``tusimple``: rows from H - 10
            upwards, all of them, with x = -1 where there is no point.
        size: H, W; those of the map by default.
        gap: pixels of H between two rows; 20 for ``culane``, 10 for ``tusimple`` by default.
        points: how many rows; by default the lower half's.
        smooth: blur the map first.
        threshold: of the probability.

    Returns:
        K times None or (n, 2) float64 of (x, y), from the bottom up.

    Raises:
        UnknownName: an unknown kind.
        DataError: maps or ``exists`` of a shape that does not fit.
    """
    require_known(kind, KINDS, "way of sampling rows")
    if prob.ndim != 3 or len(prob) != len(exists) + 1:
        raise DataError(
            "lanes",
            expected="maps (K + 1, h, w) and K numbers of existence",
            found=f"shape {prob.shape} and {len(exists)}",
            advice="the first map is the background",
        )
    lanes: list[np.ndarray | None] = []
    for lane, is_there in zip(prob[1:], exists, strict=True):
        if not is_there > 0:
            lanes.append(None)
            continue
        found = sample_rows(blurred(lane) if smooth else lane, kind, size, gap, points, threshold)
        is_point = found[:, 0] != MISSING
        if is_point.sum() < _LEAST_POINTS:
            lanes.append(None)
        else:
            lanes.append(found[is_point] if kind == "culane" else found)
    return lanes


def blurred(prob: np.ndarray) -> np.ndarray:
    """(h, w), the mean of 9x9 pixels around each, where the border repeats."""
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
    """(points, 2) float64 of (x, y) from the bottom up, x = -1 where there is no point.

    Args: see :func:`lanes_of_maps`; ``prob`` is one map (h, w).
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
