"""Semantic maps of panoptic maps, in the two conversions that are in use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from visionzoo.datasets.panoptic.files import label_of
from visionzoo.datasets.semantic_maps import IGNORED, read_semantic_map
from visionzoo.structures.panoptic import PanopticCategory, PanopticMap

# Number of all things together in COCO's stuff maps.
COLLAPSED_THINGS = 183


def index_map(panoptic: PanopticMap, categories: Sequence[PanopticCategory]) -> np.ndarray:
    """Return the class index of each pixel, (H, W) uint8, as COCONut's script does; 255 without a label.

    Things and crowds have their class. The index is the position among the categories, things first.

    Args:
        panoptic: a map with the ids of categories.
        categories: those of the file.

    Example:
        >>> sky, cat = PanopticCategory(7, "sky", False), PanopticCategory(9, "cat", True)
        >>> index_map(PanopticMap.of_ids([[1, 2, 0]], {1: (7, False), 2: (9, False)}), [sky, cat]).tolist()
        [[1, 0, 255]]
    """
    return panoptic.with_categories(label_of(categories)).class_map(IGNORED).astype(np.uint8)


def category_map(
    panoptic: PanopticMap, categories: Sequence[PanopticCategory], *, things_together: bool = False
) -> np.ndarray:
    """Return the category of each pixel, (H, W) uint8 or uint16, as panopticapi's converter does; 0 without a label.

    Args:
        panoptic: a map with the ids of categories.
        categories: those of the file.
        things_together: True to write 183 for all things.

    Example:
        >>> sky, cat = PanopticCategory(7, "sky", False), PanopticCategory(9, "cat", True)
        >>> panoptic = PanopticMap.of_ids([[1, 2, 0]], {1: (7, False), 2: (9, False)})
        >>> category_map(panoptic, [sky, cat], things_together=True).tolist()
        [[7, 183, 0]]
    """
    things = {each.id for each in categories if each.isthing} if things_together else set()
    numbers = {each.id: COLLAPSED_THINGS if each.id in things else each.id for each in categories}
    labels = panoptic.with_categories(numbers).class_map(0)
    return labels.astype(np.uint8 if labels.max(initial=0) < 256 else np.uint16)


def stuff_of_index_map(labels: np.ndarray, categories: Sequence[PanopticCategory]) -> dict[int, np.ndarray]:
    """Return the mask (H, W) bool of each kind of stuff in a map of class indices, by id of its category.

    Example:
        >>> sky, cat = PanopticCategory(7, "sky", False), PanopticCategory(9, "cat", True)
        >>> {number: mask.tolist() for number, mask in stuff_of_index_map(np.array([[1, 0]]), [sky, cat]).items()}
        {7: [[True, False]]}
    """
    labels_of: Mapping[int, int] = label_of(categories)
    present = set(np.unique(labels).tolist())
    stuff = [each for each in categories if not each.isthing and labels_of[each.id] in present]
    return {each.id: labels == labels_of[each.id] for each in stuff}


def renumbered(panoptic: PanopticMap) -> PanopticMap:
    """Return the map with its segments numbered 1, 2, 3, ... in their order, as COCONut does.

    Example:
        >>> renumbered(PanopticMap.of_ids([[70, 5]], {70: (1, False), 5: (2, False)})).ids.tolist()
        [[1, 2]]
    """
    known = np.unique(panoptic.ids)
    numbers = {each.id: number for number, each in enumerate(panoptic.segments, start=1)}
    table = np.array([numbers.get(each, 0) for each in known.tolist()], np.uint32)
    ids = table[np.searchsorted(known, panoptic.ids)]
    return PanopticMap(ids, tuple(replace(each, id=numbers[each.id]) for each in panoptic.segments))


def read_labels(
    path: str, categories: Sequence[PanopticCategory], size: Sequence[int] | None = None, like: object = "its image"
) -> np.ndarray:
    """Read a map of class indices that :func:`write_labels` wrote, (H, W) uint8.

    Raises:
        DataError: see :func:`visionzoo.datasets.semantic_maps.read_semantic_map`.
    """
    return read_semantic_map(path, len(categories), size=size, like=like)


def write_labels(path: Path, labels: np.ndarray) -> None:
    """Write a map of class indices or categories, (H, W) uint8 or uint16, as PNG of one channel.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_labels(Path(folder, "a.png"), np.array([[0, 255]], np.uint8))
        ...     read_labels(f"{folder}/a.png", [PanopticCategory(7, "sky", False)]).tolist()
        [[0, 255]]
    """
    _, data = cv2.imencode(".png", labels)
    path.write_bytes(data.tobytes())
