"""Semantic segmentation: the class of every pixel."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from visionzoo.datasets.issues import Examined, issue_of
from visionzoo.datasets.semantic_maps import IGNORED, read_semantic_map
from visionzoo.errors import DataError, some_of
from visionzoo.metrics.required import sample_name
from visionzoo.reports.class_bars import draw_class_bars, said_rows, shown_rows
from visionzoo.reports.confusion import MOST, PAIR_COLUMNS, confused_pairs, draw_confusion, worst_classes
from visionzoo.reports.figure import Draft, Figure, names_up_to
from visionzoo.reports.images import class_colour
from visionzoo.reports.plots import empty_figure
from visionzoo.reports.regions import Region, draw_regions
from visionzoo.structures.arrays import as_array
from visionzoo.structures.graph_results import GraphSample, resized
from visionzoo.structures.query_fusion import fused_queries
from visionzoo.structures.seeded import seeded_array
from visionzoo.structures.semantic_maps import NO_CLASS, SemanticMap, predicted_classes, semantic_map_of
from visionzoo.tasks._base import ResultFile, Task
from visionzoo.tasks._goals import Fed, Goal, label_of, log_odds, mean_inside, name_of
from visionzoo.tasks._overview import Overview
from visionzoo.tasks._tally import LISTED, Tally, most_frequent
from visionzoo.tasks._truth import true_map, true_semantic
from visionzoo.tasks.inputs.images import ImageInput

if TYPE_CHECKING:
    from torch import Tensor

    from visionzoo.metrics.semantic import SemanticScores
    from visionzoo.structures.graph_results import Frame

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
    error_text = "1 less the mean IoU of the true classes of the image"

    def read(self, sample: Any, size: tuple[int, ...], names: Sequence[str] | None) -> SemanticMap:
        return semantic_map_of(sample, names)

    def of_graph(self, outputs: Mapping[str, np.ndarray], frame: Frame) -> GraphSample:
        if "fusion" in frame.settings:
            return fused_queries(outputs, frame)
        logits = resized(frame.without_padding(outputs["logits"]), frame.original)
        if len(logits) > 1:
            return GraphSample(pred_semantic=logits.argmax(0))
        return GraphSample(pred_semantic=(1 / (1 + np.exp(-logits[0])) > frame.settings["threshold"]).astype(int))

    def goal(self, fed: Fed, target: str | None, names: Sequence[str] | None) -> Goal:
        """Return the mean logit of a class over its predicted region; by default of the largest region."""
        logits, best = _logits_and_map(fed)
        label = int(best.flatten().mode().values) if target is None else label_of(target, names, len(logits))
        value, region = mean_inside(logits[label], best == label)
        return Goal(value, f"mean logit of {name_of(label, names)} over {region}", f"{label}", best == label)

    def draw(self, image: np.ndarray, result: Any, scale: int) -> np.ndarray:
        return draw_semantic(image, result, scale)

    def truth(self, sample: Any, size: tuple[int, ...], names: Sequence[str] | None) -> SemanticMap | None:
        """Return the true map: mmseg's ``gt_sem_seg``, which transforms change with the image, else ``gt_semantic``."""
        values = true_semantic(sample)
        labels = None if values is None else true_map(values, size).astype(np.uint8)
        return None if labels is None else SemanticMap(labels, None if names is None else tuple(names))

    def examined(
        self, record: Mapping[str, Any], size: tuple[int, int] | None, names: Sequence[str] | None
    ) -> Examined:
        """Read the map; each class of an image counts once. Panoptic records are examined as panoptic maps."""
        if "panoptic_path" in record:
            from visionzoo.datasets.panoptic.checking import examined_panoptic

            return examined_panoptic(record)
        try:
            labels = read_semantic_map(
                record["seg_map_path"],
                record["num_classes"],
                reduce_zero_label=record.get("reduce_zero_label", False),
                size=None if size is None else size[::-1],
                like=record["img_path"],
            )
        except DataError as error:
            return Examined([issue_of(error, "maps that cannot be used")])
        seen = [int(label) for label in np.unique(labels) if label != NO_CLASS]
        return Examined(labels=seen, has_truth=bool(seen))

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

    def evidence(self, sample: Any, names: Sequence[str] | None) -> np.ndarray | None:
        """Return pixels by classes, (N, 3) int32: predicted class, true class, number; None without truth.

        The predicted class is 255 for pixels without a class.
        """
        from visionzoo.metrics.semantic import count_pixels

        truth, found = sample.get("gt_semantic"), predicted_classes(sample)
        if truth is None or found is None:
            return None
        counts = count_pixels(as_array(truth), as_array(found), IGNORED, where=sample_name(sample, 0)).confusion
        return np.array([(*classes, number) for classes, number in counts.items()], np.int32).reshape(-1, 3)

    def figures(self, records: Sequence[np.ndarray], names: Sequence[str] | None) -> list[Figure | Draft]:
        """Return the IoU of the classes, and which classes are confused."""
        pixels = np.concatenate([np.zeros((0, 3), np.int64), *(each.astype(np.int64) for each in records)])
        if not len(pixels):
            return [empty_figure("iou", "IoU of the classes", "No image was tested with its classes.")]
        names = names_up_to(names, int(pixels[pixels[:, 0] < IGNORED, :2].max(initial=int(pixels[:, 1].max()))))
        scores = _scores(pixels, names)
        return [
            Draft("IoU of the classes", lambda: _iou_figure(scores, _scores(pixels, names, "mmseg"), names)),
            Draft("Confusion of pixels", lambda: _confusion(scores.confusion, names)),
        ]

    def error(self, sample: Any, names: Sequence[str] | None) -> float | None:
        """Return 1 less the mean IoU of the true classes of the image; None if no pixel counts."""
        pixels = self.evidence(sample, names)
        if pixels is None or not len(pixels):
            return None
        return 1 - _scores(pixels, [str(label) for label in range(IGNORED)]).numbers["mIoU"]

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
        import torch

        return torch.stack([_mean_score(sample) for sample in samples])


def _logits_and_map(fed: Fed) -> tuple[Tensor, Tensor]:
    """Return logits of the classes, (K, H, W), and the predicted class of each pixel, (H, W).

    Those of mmseg are in pixels of the original image. Of a head with one logit, mmseg returns the probability of the
    second class.
    """
    import torch

    if hasattr(fed.head, "panoptic_head"):
        classes, masks = fed.queries()
        logits = log_odds(torch.einsum("qk,qhw->khw", classes[:, :-1], masks.sigmoid()).clamp(max=1))
        return logits, logits.argmax(0)
    found = fed.predicted()
    logits, best = found.seg_logits.data, found.pred_sem_seg.data[0].long()
    if len(logits) == 1:
        odds = log_odds(logits)
        logits = torch.cat([-odds, odds])
    return logits, best


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


def _scores(pixels: np.ndarray, names: Sequence[str], definition: str = "detectron2") -> SemanticScores:
    """Return the scores of pixels by classes, (N, 3) whole numbers."""
    from visionzoo.metrics.semantic import PixelCounts, semantic_scores

    confusion: dict[tuple[int, int], int] = {}
    for predicted, true, number in pixels.tolist():
        place = min(predicted, len(names)), true
        confusion[place] = confusion.get(place, 0) + number
    return semantic_scores([PixelCounts(confusion, {})], names, definition)


def _iou_figure(scores: SemanticScores, of_mmseg: SemanticScores, names: Sequence[str]) -> Figure:
    title = "IoU of the classes"
    ious = np.array([row["IoU"] for row in of_mmseg.per_class])
    shown, known = shown_rows(ious), int(np.isfinite(ious).sum())
    image = draw_class_bars(title, [names[int(label)] for label in shown], {"IoU": ious[shown]})
    numbers = [each.numbers["mIoU"] for each in (scores, of_mmseg)]
    caption = (
        f"Highest first. The mean (mIoU) is {numbers[0]:.4f} over the classes of the truth, {numbers[1]:.4f} over "
        f"those of truth or predictions; {scores.numbers['pACC']:.4f} of the pixels are right."
        f"{said_rows(len(shown), known)}"
    )
    rows = [
        (
            row["class"],
            f"{row['pixels']:,}",
            *("-" if row[key] != row[key] else f"{row[key]:.4f}" for key in ("IoU", "ACC")),
        )
        for row in of_mmseg.per_class
        if row["IoU"] == row["IoU"]
    ]
    return Figure("iou", title, image, caption, ("class", "pixels", "IoU", "accuracy"), rows)


def _confusion(confusion: np.ndarray, names: Sequence[str]) -> Figure:
    """Return the confusion of pixels; ``confusion`` is (K + 1, K), predicted classes downwards."""
    counts, all_names = confusion.T, [*names, "no class"]
    square = counts[:, :-1]
    occurs = np.flatnonzero(square.sum(0) + square.sum(1))
    chosen = occurs if len(occurs) <= MOST else worst_classes(square)
    columns = [*chosen.tolist(), *([len(names)] if counts[:, -1].any() else [])]
    title = "Confusion of pixels"
    image = draw_confusion(
        title,
        counts[np.ix_(chosen, columns)],
        [names[int(label)] for label in chosen],
        [all_names[int(label)] for label in columns],
        counts[chosen].sum(1),
    )
    wrong = int(counts.sum() - np.diag(square).sum())
    part = (
        f" Drawn are {len(chosen)} of {len(occurs)} classes, those of the most frequent mistakes."
        if len(chosen) < len(occurs)
        else ""
    )
    caption = f"{wrong:,} of {int(counts.sum()):,} pixels have another class than the truth.{part}"
    pairs = confused_pairs(counts, names, all_names)
    return Figure("confusion_matrix", title, image, caption, PAIR_COLUMNS if pairs else (), pairs)
