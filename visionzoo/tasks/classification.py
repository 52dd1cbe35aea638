"""Classification: a score for each class of an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw

from visionzoo.errors import some_of
from visionzoo.reports.images import Colour, class_colour, enlarged, label_font, letter_height
from visionzoo.structures.class_scores import KEPT, ClassScores, class_scores_of
from visionzoo.structures.graph_results import Frame, GraphSample
from visionzoo.structures.seeded import seeded_array
from visionzoo.tasks._base import Task
from visionzoo.tasks._tally import Tally
from visionzoo.tasks.inputs.images import ImageInput

if TYPE_CHECKING:
    from torch import Tensor

_IMAGENET_CLASSES = 1000
_LISTED = 10  # classes that the summary of a run names


class Classification(Task):
    """Task of classifying an image. The result is :class:`ClassScores`."""

    inputs = ImageInput()
    selections = ("threshold", "classes", "limit")
    counted = ("class", "classes")
    most = KEPT
    row = staticmethod(ClassScores.to_row)
    save_best = {"cls/top1": "greater"}

    def read(self, sample: Any, size: tuple[int, ...], names: Sequence[str] | None) -> ClassScores:
        return class_scores_of(sample.pred_score, names, kept=None)

    def of_graph(self, outputs: Mapping[str, np.ndarray], frame: Frame) -> GraphSample:
        return GraphSample(pred_score=outputs["probabilities"])

    def draw(self, image: np.ndarray, result: Any, scale: int) -> np.ndarray:
        return draw_class_scores(image, result, scale)

    def class_names(self, counts: set[int]) -> tuple[str, ...] | None:
        """Return the names of ImageNet if a part of the model has 1000 classes."""
        from visionzoo.datasets.classification import imagenet_names  # imports torch

        return imagenet_names() if _IMAGENET_CLASSES in counts else None

    def tally(self, result: ClassScores, best: float | None) -> Tally:
        """Count the best class of the image."""
        return Tally({result.name_of(int(result.labels[0])): 1} if len(result) else {}, best)

    def summary(self, tally: Tally, inputs: int, threshold: str) -> str:
        """Return how many images have each class as their best one, the most frequent class first."""
        having, images = sum(tally.sums.values()), f"{inputs} {self.inputs.nouns}"
        if not having:
            return super().summary(tally, inputs, threshold)
        counts = sorted(tally.sums.items(), key=lambda item: (-item[1], item[0]))
        listed = some_of([f"{name} {number}" for name, number in counts], _LISTED)
        return f"{listed} (best class of {images if having == inputs else f'{having} of {images}'})"

    def shaken(self, sample: Mapping[str, Any], index: int, seed: int, classes: int) -> dict[str, Any]:
        """Return noise as scores, with 1.5 added to the true class. The true class is often but not always the best."""
        score = seeded_array(seed, f"scores {index}", (classes,))
        score[sample["gt_label"]] += 1.5
        return {"gt_label": sample["gt_label"], "pred_score": score}

    def scores(self, samples: Sequence[Any]) -> Tensor:
        import torch

        return torch.stack([sample.pred_score.max() for sample in samples])


def draw_class_scores(image: np.ndarray, found: ClassScores, scale: int = 1) -> np.ndarray:
    """Draw a panel below the image with one bar for each class. A score of 1 is a bar of full width.

    Args:
        image: (H, W, 3) uint8 RGB. The array is not changed.
        found: the scores to draw, best first.
        scale: factor by which the image is enlarged, >= 1; see
            :func:`visionzoo.reports.images.scale_to_read`.

    Returns:
        (scale * H + panel, scale * W, 3) uint8 RGB.

    Example:
        >>> scores = class_scores_of([0.1, 0.7, 0.2], ("cat", "dog", "owl"))
        >>> draw_class_scores(np.zeros((32, 48, 3), np.uint8), scores).shape
        (74, 48, 3)
    """
    image = enlarged(image, scale)
    letters = letter_height(image)
    row, font = round(1.6 * letters), label_font(letters)
    panel = Image.new("RGB", (image.shape[1], max(1, len(found)) * row), (255, 255, 255))
    pen = ImageDraw.Draw(panel)
    for index, (label, score) in enumerate(zip(found.labels.tolist(), found.scores.tolist())):
        top = index * row
        length = round(min(score, 1.0) * panel.width)
        pen.rectangle((0, top, max(length - 1, 1), top + row - 3), fill=_paler(class_colour(label)))
        pen.text((4, top + 0.15 * row), f"{found.name_of(label)} {score:.2f}", fill=(0, 0, 0), font=font)
    return np.concatenate([image, np.asarray(panel)], axis=0)


def _paler(colour: Colour) -> Colour:
    """Mix the colour with white in equal parts, so that black letters are readable on it."""
    red, green, blue = ((part + 255) // 2 for part in colour)
    return red, green, blue
