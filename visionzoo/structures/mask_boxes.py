"""Boxes around masks."""

from __future__ import annotations

import numpy as np


def box_of_mask(mask: np.ndarray) -> list[int] | None:
    """Return left, top, right and bottom edge of a mask (H, W) in pixels; None for an empty one.

    Example:
        >>> box_of_mask(np.array([[0, 0, 0], [0, 1, 1]]))
        [1, 1, 3, 2]
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return [int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1] if len(rows) else None
