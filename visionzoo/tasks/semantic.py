"""Semantic segmentation: the class of every pixel."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from visionzoo.datasets.transforms.panoptic import read_semantic_map
from visionzoo.errors import some_of
from visionzoo.reports.images import class_colour
from visionzoo.reports.regions import Region, draw_regions
from visionzoo.structures.seeded import seeded_array
from visionzoo.structures.semantic_maps import SemanticMap, predicted_classes, semantic_map_of
from visionzoo.tasks._base import ResultFile, Task
from visionzoo.tasks._overview import Overview
from visionzoo.tasks._tally import LISTED, Tally, most_frequent
from visionzoo.tasks.inputs.images import ImageInput

_LEAST_NAMED = 0.005  # share of the image of a class that has a name in drawings


def _map_file(result: SemanticMap) -> bytes:
    file = io.BytesIO()
    Image.fromarray(result.labels).save(file, format="PNG")
    return file.getvalue()


class Semantic(Task):
    """Task of finding the class of every pixel. The result is :class:`SemanticMap`.

    The files have the class index of each pixel, 255 without a class; ``classes.txt`` has the names in this order.
    """

    inputs = ImageInput()
    selections = ("classes",)
    row = staticmethod(SemanticMap.to_row)
    files = (ResultFile("semantic", "semantic", ".png", _map_file, with_names=True),)
    save_best = {"sem/mIoU": "greater"}

    def read(self, sample: Any, size: tuple[int, ...], names: Sequence[str] | None) -> SemanticMap:
        return semantic_map_of(sample, names)

    def draw(self, image: np.ndarray, result: Any, scale: int) -> np.ndarray:
        return draw_semantic(image, result, scale)

    def tally(self, result: SemanticMap, best: float | None) -> Tally:
        """Count the classes of the map, and the map for each of its classes."""
        shares = result.shares
        named = {} if result.names is None else dict.fromkeys(map(result.name_of, shares), 1)
        return Tally({"classes": len(shares)}, classes=named)

    def summary(self, tally: Tally, inputs: int, threshold: str) -> str:
        """Return how many maps have each class, the most frequent class first, and the mean number of classes."""
        mean, images = tally.sums.get("classes", 0) / max(inputs, 1), f"{inputs} {self.inputs.nouns}"
        listed = some_of([f"{name} {number}" for name, number in most_frequent(tally.classes)], LISTED)
        which = f"{listed} (number of maps with the class, of {images})" if listed else f"the classes of {images}"
        return f"{which}; a map has {mean:.1f} classes on average"

    def overview(self, result: SemanticMap) -> Overview:
        """Return the number of classes and the share of the largest one; a class has no score."""
        classes = {result.name_of(label): (1, None) for label in result.shares}
        return Overview(super().overview(result).numbers, classes)

    def shaken(self, sample: Mapping[str, Any], index: int, seed: int, classes: int) -> dict[str, Any]:
        """Return the true map moved two pixels to the right, with other classes at some pixels."""
        truth = read_semantic_map(
            sample["seg_map_path"], classes, reduce_zero_label=sample.get("reduce_zero_label", False)
        )
        moved = np.roll(truth, 2, axis=1)
        other = (np.where(moved == 255, 0, moved).astype(int) + 1) % classes
        is_wrong = seeded_array(seed, f"pixels {index}", truth.shape) > 1
        predicted = np.where(is_wrong | (moved == 255), other, moved)
        return {"img_path": sample["img_path"], "gt_semantic": truth, "pred_semantic": predicted}

    def scores(self, samples: Sequence[Any]) -> Tensor:
        """Return the mean probability of the predicted classes of each image; the mean class without probabilities."""
        return torch.stack([_mean_score(sample) for sample in samples])


def _mean_score(sample: Any) -> Tensor:
    logits = sample.get("seg_logits")
    return predicted_classes(sample).float().mean() if logits is None else logits.data.softmax(0).amax(0).mean()


def draw_semantic(image: np.ndarray, found: SemanticMap, scale: int = 1) -> np.ndarray:
    """Colour the pixels by class, and write the name of each class that covers enough pixels.

    Args:
        image: (H, W, 3) uint8 RGB, of the size of the map. The array is not changed.
        found: the map to draw.
        scale: factor by which the image is enlarged, >= 1.

    Returns:
        (scale * H, scale * W, 3) uint8 RGB.

    Example:
        >>> draw_semantic(np.zeros((32, 48, 3), np.uint8), SemanticMap(np.ones((32, 48), np.uint8)), scale=2).shape
        (64, 96, 3)
    """
    regions = [
        Region(label, found.name_of(label) if share >= _LEAST_NAMED else "", class_colour(label))
        for label, share in found.shares.items()
    ]
    return draw_regions(image, found.labels, regions, scale)
