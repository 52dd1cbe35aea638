"""A figure of a report: an image, its sentence and an optional table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


@dataclass(frozen=True)
class Draft:
    """A figure that is drawn later, so that an error in one figure loses no other.

    Attributes:
        title: a few words, which name a figure that cannot be drawn.
        draw: returns the figure.

    Example:
        >>> Draft("Errors", lambda: Figure("errors", "Errors", np.zeros((4, 6, 3), np.uint8), "None.")).draw().name
        'errors'
    """

    title: str
    draw: Callable[[], Figure]


def names_up_to(names: Sequence[str] | None, highest: int) -> list[str]:
    """Return the class names, with the labels as names of those that are missing up to label ``highest``.

    Example:
        >>> names_up_to(("cat",), 2), names_up_to(None, 0)
        (['cat', '1', '2'], ['0'])
    """
    known = list(names or ())
    return [*known, *(str(label) for label in range(len(known), highest + 1))]
