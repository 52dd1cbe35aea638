"""Areas that a file states and that its pixels do not have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from visionzoo.errors import counted
from visionzoo.structures.panoptic import PanopticMap


@dataclass
class AreaDifferences:
    """Segments of the truth whose stated area is not the number of their pixels.

    Attributes:
        segments: their number.
        images: number of images with such a segment.
        first: the first of them as text; empty without one.

    Example:
        >>> found = AreaDifferences()
        >>> found.add(["a.png, segment 7: 9 in the file, 4 pixels"])
        >>> found.said("png")
        'the area of 1 segment in 1 image is not its number of pixels (a.png, segment 7: 9 in the file, 4 pixels); \
the pixels count; area="json" takes the numbers of the file'
    """

    segments: int = 0
    images: int = 0
    first: str = field(default="")

    def add(self, found: Iterable[str]) -> None:
        """Add the differences of one image, see :func:`differences_of`."""
        listed = list(found)
        self.segments += len(listed)
        self.images += bool(listed)
        self.first = self.first or (listed[0] if listed else "")

    def said(self, area: str) -> str:
        """Return one sentence, or an empty string if there is no difference."""
        if not self.segments:
            return ""
        used = 'the pixels count; area="json" takes the numbers of the file'
        if area == "json":
            used = "the numbers of the file count, as in panopticapi"
        segments = counted(self.segments, "segment")
        places = counted(self.images, "image")
        return f"the area of {segments} in {places} is not its number of pixels ({self.first}); {used}"


def differences_of(panoptic: PanopticMap, areas: np.ndarray, where: str) -> list[str]:
    """Return a text for each segment whose area is not the counted one.

    Args:
        panoptic: map whose segments state areas.
        areas: counted pixels of each segment.
        where: name of the image.
    """
    return [
        f"{where}, segment {segment.id}: {segment.area} in the file, {area} pixels"
        for segment, area in zip(panoptic.segments, areas.tolist(), strict=True)
        if segment.area != area
    ]
