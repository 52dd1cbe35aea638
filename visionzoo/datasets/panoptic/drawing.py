"""Drawing of panoptic annotations on their images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from visionzoo.datasets.panoptic.files import in_label_order
from visionzoo.reports.images import Colour, class_colour, scale_to_read
from visionzoo.reports.regions import Region, draw_regions
from visionzoo.structures.image_size import require_size
from visionzoo.structures.panoptic import PanopticCategory, PanopticMap

_SHADES = (1.0, 0.75, 1.25, 0.55, 1.5)  # of the segments of a class


def draw_map(
    image: np.ndarray, panoptic: PanopticMap, categories: Sequence[PanopticCategory], where: object = "image"
) -> np.ndarray:
    """Colour the segments of a map by class, the objects of a class in several shades, and write their names.

    Pixels without a label keep the colours of the image. Small images are enlarged.

    Args:
        image: (H, W, 3) uint8 RGB.
        panoptic: its map, with the ids of categories.
        categories: those of the file.
        where: name of the image, for the error.

    Returns:
        (scale * H, scale * W, 3) uint8 RGB.

    Raises:
        DataError: image and map differ in size.

    Example:
        >>> panoptic = PanopticMap.of_ids(np.ones((32, 48), int), {1: (7, False)})
        >>> draw_map(np.zeros((32, 48, 3), np.uint8), panoptic, [PanopticCategory(7, "sky", False)]).shape
        (128, 192, 3)
    """
    advice = "check the folder of the images"
    require_size(image.shape[:2], panoptic.size, where, what="an image", like="its annotation", advice=advice)
    labels = {each.id: label for label, each in enumerate(in_label_order(categories))}
    names = {each.id: each.name for each in categories}
    drawn = Counter[int]()
    regions = []
    for segment in panoptic.segments:
        number = segment.category_id
        text = f"{names[number]} (crowd)" if segment.iscrowd else names[number]
        regions.append(Region(segment.id, text, _shade(class_colour(labels[number]), drawn[number])))
        drawn[number] += 1
    return draw_regions(image, panoptic.ids, regions, scale_to_read(image))


def _shade(colour: Colour, number: int) -> Colour:
    red, green, blue = (min(255, int(value * _SHADES[number % len(_SHADES)])) for value in colour)
    return red, green, blue
