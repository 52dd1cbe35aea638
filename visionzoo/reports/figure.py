"""A figure of a report: an image, its sentence and an optional table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Figure:
    """A figure of a test report.

    Attributes:
        name: stem of its file, lower case with underscores.
        title: a few words, shown above it.
        image: (H, W, 3) uint8 RGB.
        caption: one or two sentences that state what is drawn and its most important number.
        columns: headings of the table below the image; empty for no table.
        rows: the table; each row has one text for each column.

    Example:
        >>> Figure("mae", "Error per image", np.zeros((4, 6, 3), np.uint8), "The mean is 0.1.").columns
        ()
    """

    name: str
    title: str
    image: np.ndarray
    caption: str
    columns: tuple[str, ...] = ()
    rows: Sequence[tuple[str, ...]] = ()
