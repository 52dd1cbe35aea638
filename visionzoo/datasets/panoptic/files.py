"""Content of panoptic annotation files, in one form for all shapes of files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from visionzoo.structures.panoptic import PanopticCategory


@dataclass(slots=True)
class PanopticImage:
    """One image and its segments as the file states them.

    Attributes:
        id: number or name of the image.
        file_name: name of the image file.
        height, width: size in pixels; None if the file does not state it.
        mask: name of the PNG with the ids of the segments; None for an image without annotation.
        segments: dicts with ``id``, ``category_id`` and ``iscrowd``, and ``area`` and ``bbox`` where they are stated.
        source: name of the data set it came from, in merged files; else empty.
    """

    id: int | str
    file_name: str
    height: int | None = None
    width: int | None = None
    mask: str | None = None
    segments: list[dict[str, Any]] = field(default_factory=list)
    source: str = ""

    @property
    def place(self) -> str:
        """Name in messages."""
        return f"image {self.id} ({self.mask or self.file_name})"


@dataclass
class PanopticFile:
    """Images, their segments, and the categories of one file.

    Attributes:
        where: the file, for messages.
        images: all images, also those without annotation.
        categories: the categories, in the order of the file.
        info: other facts about the data set: ``info`` and ``licenses`` of COCO.
    """

    where: Path | str
    images: list[PanopticImage]
    categories: tuple[PanopticCategory, ...]
    info: dict[str, Any] = field(default_factory=dict)

    @property
    def annotated(self) -> list[PanopticImage]:
        """The images with annotation."""
        return [image for image in self.images if image.mask is not None]

    @property
    def by_id(self) -> dict[int, PanopticCategory]:
        """The categories by id."""
        return {each.id: each for each in self.categories}


def in_label_order(categories: Iterable[PanopticCategory]) -> tuple[PanopticCategory, ...]:
    """Return categories in the order of class indices: things before stuff, each in the order of the file.

    Example:
        >>> sky, cat = PanopticCategory(7, "sky", False), PanopticCategory(9, "cat", True)
        >>> [each.name for each in in_label_order([sky, cat])]
        ['cat', 'sky']
    """
    return tuple(sorted(categories, key=lambda each: not each.isthing))


def label_of(categories: Iterable[PanopticCategory]) -> Mapping[int, int]:
    """Return the class index of each category id: its position in :func:`in_label_order`.

    Example:
        >>> label_of([PanopticCategory(7, "sky", False), PanopticCategory(9, "cat", True)])
        {9: 0, 7: 1}
    """
    return {each.id: label for label, each in enumerate(in_label_order(categories))}
