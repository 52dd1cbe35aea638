"""Classification: a score for each class of an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from math import log
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from visionzoo.datasets.issues import Examined, label_issues
from visionzoo.errors import counted, some_of
from visionzoo.metrics.calibration import BINS, calibration
from visionzoo.reports.confusion import MOST, PAIR_COLUMNS, confused_pairs, draw_confusion, worst_classes
from visionzoo.reports.figure import Draft, Figure
from visionzoo.reports.images import Colour, class_colour, enlarged, label_font, letter_height
from visionzoo.reports.plots import empty_figure
from visionzoo.reports.reliability import draw_reliability
from visionzoo.structures.arrays import as_array
from visionzoo.structures.class_scores import KEPT, ClassScores, class_scores_of
from visionzoo.structures.graph_results import Frame, GraphSample
from visionzoo.structures.seeded import seeded_array
from visionzoo.tasks._base import Task
from visionzoo.tasks._goals import Fed, Goal, label_of, name_of
from visionzoo.tasks._tally import LISTED, Tally, most_frequent
from visionzoo.tasks._truth import part_of
from visionzoo.tasks.inputs.images import ImageInput

if TYPE_CHECKING:
    from torch import Tensor

_IMAGENET_CLASSES = 1000

_LEAST = 1e-12  # probability of the true class below which the error of an image does not grow


class ClassEvidence(NamedTuple):
    """One tested image.

    Attributes:
        label: its true class.
        best: its predicted class; -1 if all scores are nan.
        confidence: score of the predicted class.
        of_true: score of the true class.
        classes: number of classes.
    """

    label: int
    best: int
    confidence: float
    of_true: float
    classes: int


class Classification(Task):
    """Task of classifying an image. The result is :class:`ClassScores`."""

    inputs = ImageInput()
    is_placed = False
    mark = "bars"
    selections = ("threshold", "classes", "limit")
    counted = ("class", "classes")
    most = KEPT
    row = staticmethod(ClassScores.to_row)
    save_best = {"cls/top1": "greater"}
    lower_is_better = ("disparity*",)
    unranked = ("europe_africa*",)
    error_text = "minus the natural logarithm of the probability of the true class"

    def read(self, sample: Any, size: tuple[int, ...], names: Sequence[str] | None) -> ClassScores:
        return class_scores_of(sample.pred_score, names, kept=None)

    def of_graph(self, outputs: Mapping[str, np.ndarray], frame: Frame) -> GraphSample:
        return GraphSample(pred_score=outputs["probabilities"])

    def goal(self, fed: Fed, target: str | None, names: Sequence[str] | None) -> Goal:
        """Return the logit of a class, by name or number; of the best class by default."""
        logits = fed.raw()[0]
        first = int(getattr(fed.head, "background_class", False))  # of a background that no image shows
        best = first + int(logits.detach()[first:].argmax())
        label = best if target is None else label_of(target, names, len(logits))
        return Goal(logits[label], f"logit of {name_of(label, names)}", f"{label}")

    def draw(self, image: np.ndarray, result: Any, scale: int) -> np.ndarray:
        return draw_class_scores(image, result, scale)

    def truth(self, sample: Any, size: tuple[int, ...], names: Sequence[str] | None) -> ClassScores | None:
        """Return the true classes: of ``gt_score``, which mixed images have, else of ``gt_labels`` or ``gt_label``."""
        mixed = part_of(sample, "gt_score")
        if mixed is not None:
            found = class_scores_of(mixed, names, kept=None)
            return found.at(found.scores > 0)
        several, one = part_of(sample, "gt_labels"), part_of(sample, "gt_label")
        if several is None and one is None:
            return None
        labels = as_array(one if several is None else several).reshape(-1).astype(np.int64)
        known = None if names is None else tuple(names)
        return ClassScores(np.ones(len(labels), np.float32), labels, known, are_true=True)

    def examined(
        self, record: Mapping[str, Any], size: tuple[int, int] | None, names: Sequence[str] | None
    ) -> Examined:
        labels = list(record.get("gt_labels") or [record["gt_label"]] if "gt_label" in record else ())
        place = f"{record.get('img_path') or record.get('id') or record.get('row')}"
        return Examined(list(label_issues(labels, len(names or ()), place)), labels, has_truth=bool(labels) or None)

    def class_names(self, counts: set[int]) -> tuple[str, ...] | None:
        """Return the names of ImageNet if a part of the model has 1000 classes."""
        from visionzoo.datasets.classification import imagenet_names

        return imagenet_names() if _IMAGENET_CLASSES in counts else None

    def brief(self, result: ClassScores) -> str:
        """Return the best class and its score."""
        return f"{result.name_of(int(result.labels[0]))} {result.scores[0]:.2f}" if len(result) else "no class"

    def tally(self, result: ClassScores, best: float | None) -> Tally:
        """Count the best class of the image."""
        return Tally({result.name_of(int(result.labels[0])): 1} if len(result) else {}, best)

    def summary(self, tally: Tally, inputs: int, threshold: str) -> str:
        """Return how many images have each class as their best one, the most frequent class first."""
        having, images = sum(tally.sums.values()), f"{inputs} {self.inputs.nouns}"
        if not having:
            return super().summary(tally, inputs, threshold)
        listed = some_of([f"{name} {number}" for name, number in most_frequent(tally.sums)], LISTED)
        return f"{listed} (best class of {images if having == inputs else f'{having} of {images}'})"

    def evidence(self, sample: Any, names: Sequence[str] | None) -> ClassEvidence | None:
        """Return the true and the predicted class with their scores; None for a sample without truth."""
        label, scores = sample.get("gt_label"), as_array(sample.get("pred_score"), single=True)
        if label is None or not 0 <= int(label) < len(scores):
            return None
        best = -1 if np.isnan(scores).all() else int(np.nanargmax(scores))
        return ClassEvidence(int(label), best, float(scores[best]), float(scores[int(label)]), len(scores))

    def figures(self, records: Sequence[ClassEvidence], names: Sequence[str] | None) -> list[Figure | Draft]:
        """Return the confusion matrix and the reliability diagram."""
        if not records:
            return [empty_figure("confusion_matrix", "Confusion", "No image was tested with its class.")]
        classes = records[0].classes
        if names is None or len(names) != classes:
            names = [str(label) for label in range(classes)]
        return [
            Draft("Confusion of classes", partial(_confusion, records, names)),
            Draft("Reliability", partial(_reliability, records)),
        ]

    def error(self, sample: Any, names: Sequence[str] | None) -> float | None:
        """Return the negative logarithm of the probability of the true class; None if scores are not probabilities."""
        found = self.evidence(sample, names)
        if found is None or not (found.of_true != found.of_true or 0 <= found.of_true <= 1):
            return None
        return -log(max(found.of_true, _LEAST) if found.of_true == found.of_true else _LEAST)

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
        found: the scores to draw, best first. Those of a truth are not written.
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
        text = found.name_of(label) if found.are_true else f"{found.name_of(label)} {score:.2f}"
        pen.text((4, top + 0.15 * row), text, fill=(0, 0, 0), font=font)
    return np.concatenate([image, np.asarray(panel)], axis=0)


def _paler(colour: Colour) -> Colour:
    """Mix the colour with white in equal parts, so that black letters are readable on it."""
    red, green, blue = ((part + 255) // 2 for part in colour)
    return red, green, blue


def _confusion(records: Sequence[ClassEvidence], names: Sequence[str]) -> Figure:
    """Return the confusion matrix of all classes, or of those with most mistakes."""
    known = np.array([(each.label, each.best) for each in records if each.best >= 0], dtype=np.int64).reshape(-1, 2)
    classes = len(names)
    counts = np.bincount(known[:, 0] * classes + known[:, 1], minlength=classes**2).reshape(classes, classes)
    kept = worst_classes(counts) if classes > MOST else np.arange(classes)
    right = int(np.diag(counts).sum())
    caption = f"{right} of {counted(len(records), 'image')} right, an accuracy of {right / len(records):.4f}."
    if len(kept) < classes:
        caption += f" Drawn are {len(kept)} of {classes} classes, those of the most frequent mistakes."
    if len(known) < len(records):
        caption += f" Not drawn: {counted(len(records) - len(known), 'image')} with nan as scores."
    shown = [names[int(label)] for label in kept]
    image = draw_confusion("Confusion of classes", counts[np.ix_(kept, kept)], shown, shown, counts[kept].sum(1))
    pairs = confused_pairs(counts, names, names)
    return Figure("confusion_matrix", "Confusion of classes", image, caption, PAIR_COLUMNS if pairs else (), pairs)


def _reliability(records: Sequence[ClassEvidence]) -> Figure:
    title = "Reliability"
    known = [each for each in records if each.best >= 0]
    confidence = np.array([each.confidence for each in known])
    if not known or not ((confidence >= 0) & (confidence <= 1)).all():
        sentence = "The scores are not probabilities from 0 to 1, so that there is no reliability diagram."
        return empty_figure("reliability", title, sentence)
    found = calibration(confidence, np.array([each.label == each.best for each in known]))
    image = draw_reliability(title, found.edges, found.accuracy, found.confidence)
    mean = float(confidence.mean())
    accuracy = float(np.mean([each.label == each.best for each in known]))
    caption = (
        f"Accuracy of the images in {BINS} bins of confidence; on the dashed line a model is calibrated. "
        f"The expected calibration error (ECE) is {found.error:.4f}; the mean confidence is {mean:.3f}, "
        f"the accuracy {accuracy:.3f}."
    )
    rows = [
        (f"{low:.2f} to {high:.2f}", f"{count}", f"{sure:.3f}", f"{share:.3f}")
        for low, high, count, sure, share in zip(
            found.edges[:-1], found.edges[1:], found.counts, found.confidence, found.accuracy, strict=True
        )
        if count
    ]
    return Figure("reliability", title, image, caption, ("confidence", "images", "mean confidence", "accuracy"), rows)
