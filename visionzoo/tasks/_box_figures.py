"""Figures of detections: which are right, at which score, and which classes are confused."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from visionzoo.errors import counted
from visionzoo.reports.confusion import MOST as MATRIX
from visionzoo.reports.confusion import PAIR_COLUMNS, confused_pairs, draw_confusion, worst_classes
from visionzoo.reports.figure import Draft, Figure, names_up_to
from visionzoo.reports.plots import empty_figure
from visionzoo.reports.precision_recall import draw_precision_recall, draw_thresholds, most_frequent
from visionzoo.structures.arrays import as_array

if TYPE_CHECKING:
    from visionzoo.metrics.coco.matching import MatchedImage, PrecisionCurves

Regions = dict[str, Any]


def regions_of(found: Any, truth: Any, ignored: Any, *, masks: bool) -> tuple[Regions, Regions, Regions | None]:
    """Return detections, objects and crowds of an image as :func:`match_image` reads them.

    Args:
        found, truth, ignored: mmdet's instances; ``ignored`` may be None.
        masks: True to compare masks if all of them have masks.
    """
    ignored = None if ignored is None or ignored.get("labels") is None or not len(ignored["labels"]) else ignored
    given = [each for each in (found, truth, ignored) if each is not None and (each is found or len(each["labels"]))]
    has_masks = masks and all(each.get("masks") is not None for each in given)
    crowds = None if ignored is None else _regions(ignored, has_masks)
    of_masks = found.get("mask_scores") if has_masks else None  # the metric sorts masks by them
    scores = found["scores"] if of_masks is None else of_masks
    return {**_regions(found, has_masks), "scores": scores}, _regions(truth, has_masks), crowds


def _regions(instances: Any, masks: bool) -> Regions:
    labels = as_array(instances["labels"], np.int64)
    if not masks:
        boxes = instances["bboxes"]
        return {"labels": labels, "bboxes": getattr(boxes, "tensor", boxes)}
    return {"labels": labels, "rles": _rles(instances["masks"]) if len(labels) else []}


def _rles(masks: Any) -> list[dict]:
    """Return run-length codes of masks: an array, codes, or mmdet's bitmaps or polygons."""
    from visionzoo.metrics.coco.adapter import run_lengths

    if hasattr(masks, "to_ndarray"):
        masks = masks.to_ndarray()
    return run_lengths(masks)


def figures_of(records: Sequence[MatchedImage], names: Sequence[str] | None) -> list[Figure | Draft]:
    """Return the figures of detections.

    Args:
        records: all images.
        names: class names by label, or None for the labels.
    """
    from visionzoo.metrics.coco.matching import precision_curves

    highest = max(
        (int(values.max(initial=-1)) for each in records for values in (each.labels, each.objects)), default=0
    )
    names = names_up_to(names, highest)
    kind = "masks" if any(each.of_masks for each in records) else "boxes"
    curves = precision_curves(records, len(names))
    detections = sum(len(each.scores) for each in records)
    if not curves.objects.sum() or not detections:
        what = "No image was tested with its objects" if not records else _nothing(len(records), curves, detections)
        return [empty_figure("precision_recall", "Precision over recall", f"{what}.")]
    return [
        Draft("Precision over recall at IoU 0.5", partial(_precision_recall, records, curves, names, kind)),
        Draft("Confusion", partial(_confusion, records, names, kind)),
        Draft("Precision, recall and F1 over the score threshold", partial(_thresholds, records, kind)),
    ]


def _nothing(images: int, curves: PrecisionCurves, detections: int) -> str:
    if curves.objects.sum():
        return f"Nothing is detected in {counted(images, 'image')} with {counted(int(curves.objects.sum()), 'object')}"
    return f"{counted(images, 'image')} without objects: all of {counted(detections, 'detection')} are wrong"


def _precision_recall(
    records: Sequence[MatchedImage], curves: PrecisionCurves, names: Sequence[str], kind: str
) -> Figure:
    shown, known = most_frequent(curves.objects), int((curves.objects > 0).sum())
    title = "Precision over recall at IoU 0.5"
    which = "of each class" if len(shown) == known else f"of the {len(shown)} classes with most objects"
    missing = len(names) - known
    lacking = f" {missing} of {len(names)} classes have no objects here and do not count." if missing else ""
    caption = (
        f"The mean over {_classes(known)} and the curves {which}, by COCO's protocol for {kind}. "
        f"The mean AP at IoU 0.5 is {curves.mean:.3f}.{lacking}"
    )
    image = draw_precision_recall(title, curves.recall, curves.precision, names, shown.tolist())
    columns = "class", "objects", "AP at IoU 0.5", "best threshold", "F1 at it"
    order = np.argsort(-np.nan_to_num(curves.average, nan=-1), kind="stable")
    rows = [_class_row(records, curves, names, int(label)) for label in order]
    return Figure("precision_recall", title, image, caption, columns, rows)


def _classes(number: int) -> str:
    return "1 class" if number == 1 else f"{number} classes"


def _class_row(
    records: Sequence[MatchedImage], curves: PrecisionCurves, names: Sequence[str], label: int
) -> tuple[str, ...]:
    from visionzoo.metrics.coco.matching import threshold_curve

    if not curves.objects[label]:
        return names[label], "0", "-", "-", "-"
    curve, average = threshold_curve(records, label), f"{curves.average[label]:.3f}"
    best = (f"{curve.thresholds[curve.best]:.2f}", f"{curve.f1[curve.best]:.3f}") if len(curve.f1) else ("-", "-")
    return names[label], f"{curves.objects[label]}", average, *best


def _confusion(records: Sequence[MatchedImage], names: Sequence[str], kind: str) -> Figure:
    from visionzoo.metrics.coco.matching import confusion_of

    counts, all_names = confusion_of(records, len(names)), [*names, "background"]
    worst = worst_classes(counts[:-1, :-1]).tolist() if len(names) > MATRIX else range(len(names))
    kept = [*worst, len(names)]
    right, total = int(np.diag(counts).sum()), int(counts.sum())
    part = (
        f" Drawn are {len(kept) - 1} of {len(names)} classes, those of the most frequent mistakes."
        if len(kept) <= len(names)
        else ""
    )
    caption = (
        f"Objects and detections with a score of at least {records[0].threshold:g}, matched at IoU 0.5 of {kind} "
        f"without regard to the class; background is an object that is not found, or a detection without an object. "
        f"{right} of {total} pairs are right.{part}"
    )
    shown = [all_names[label] for label in kept]
    title = f"Confusion at score {records[0].threshold:g}"
    image = draw_confusion(title, counts[np.ix_(kept, kept)], shown, shown, counts[kept].sum(1))
    return Figure("confusion_matrix", title, image, caption, PAIR_COLUMNS, confused_pairs(counts, all_names, all_names))


def _thresholds(records: Sequence[MatchedImage], kind: str) -> Figure:
    from visionzoo.metrics.coco.matching import threshold_curve

    curve = threshold_curve(records)
    best = float(curve.thresholds[curve.best]), float(curve.f1[curve.best])
    shares = [("precision", curve.precision), ("recall", curve.recall), ("F1", curve.f1)]
    title = "Precision, recall and F1 over the score threshold"
    image = draw_thresholds(
        title, "score threshold", curve.thresholds, shares, (*best, f"best F1 {best[1]:.3f} at {best[0]:.2f}")
    )
    caption = (
        f"All classes together at IoU 0.5 of {kind}. F1 is highest, {best[1]:.3f}, for --threshold {best[0]:.2f}: "
        f"precision {curve.precision[curve.best]:.3f}, recall {curve.recall[curve.best]:.3f}."
    )
    return Figure("score_threshold", title, image, caption)
