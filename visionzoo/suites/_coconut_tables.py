"""Tables of the suite coconut: from the records of a model to its numbers with each truth, with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import fsum, isnan, nan
from typing import Any

import numpy as np

from visionzoo.datasets.panoptic.instances import lossless
from visionzoo.metrics.coco.average_precision import score_detections
from visionzoo.metrics.geo_shift.bootstrap import Resamples, interval_of
from visionzoo.metrics.panoptic import ImageMatches, match_image, panoptic_numbers
from visionzoo.metrics.semantic import PixelCounts, count_pixels, semantic_scores
from visionzoo.structures.panoptic import PanopticMap
from visionzoo.suites._base import Record, Results, Rows
from visionzoo.suites._coconut_truths import Truth
from visionzoo.suites._panoptic_models import detections_of, panoptic_of, semantic_of

_AP = {"segm": ("AP", "AP50", "AP75"), "bbox": ("box_AP",), "boundary": ("boundary_AP",)}
_SOURCE = {"AP": "mAP", "AP50": "mAP_50", "AP75": "mAP_75", "box_AP": "mAP", "boundary_AP": "mAP"}


@dataclass(frozen=True)
class Settings:
    """How numbers are made.

    Attributes:
        boundary: True to measure boundaries too.
        area: areas of the truth, ``png`` or ``json``.
        repeats, seed: of the bootstrap.
    """

    boundary: bool = True
    area: str = "png"
    repeats: int = 1000
    seed: int = 0


class Measured:
    """One model measured with one truth, on the images that the truth annotates.

    Args:
        results: records of the model.
        truth: the truth.
        settings: how numbers are made.

    Attributes:
        ids: the images.
        matches: matches of segments of each image.
        pixels: pixels by class of each image; None if a record has no classes of pixels.
        numbers: numbers of the data set, by name.
        classes: rows of the classes.
    """

    def __init__(self, results: Results, truth: Truth, settings: Settings):
        self.model, self.digest, self.truth, self.settings = results.model, results.digest, truth, settings
        records = {record["id"]: record for record in results.records if record["id"] in truth.images}
        self.ids = list(records)
        self.matches: list[ImageMatches] = []
        pixels: list[PixelCounts] = []
        annotations: list[dict[str, Any]] = []
        labels = truth.labels
        for image_id, record in records.items():
            true, where = truth.map_of(image_id), f"{truth.path}: image {image_id}"
            options: dict[str, Any] = dict(boundary=settings.boundary, where=where)
            self.matches.append(match_image(true, panoptic_of(record, labels), area=settings.area, **options))
            if (found := semantic_of(record, labels)) is not None:
                pixels.append(count_pixels(true.class_map(), found, len(labels), **options))
            annotations += _things(true, image_id, truth)
        self.pixels = pixels if len(pixels) == len(records) else None
        self.numbers, self.classes = self._panoptic()
        self._add_semantic()
        self._add_ap(records, annotations)

    def _panoptic(self) -> tuple[dict[str, float], Rows]:
        names = [each.name for each in self.truth.categories]
        numbers, tables = panoptic_numbers(self.matches, names, self.truth.things)
        kept = ("PQ", "SQ", "RQ", "PQ_things", "PQ_stuff", *["boundary_PQ"] * self.settings.boundary)
        return {name: numbers[name] for name in kept}, tables["pq"]

    def _add_semantic(self) -> None:
        if self.pixels is None:
            return
        names = [each.name for each in self.truth.categories]
        scores = semantic_scores(self.pixels, names, boundary=self.settings.boundary)
        self.numbers |= {name: scores.numbers[name] for name in ("mIoU", "fwIoU", "pACC")}
        self.numbers["mIoU_mmseg"] = semantic_scores(self.pixels, names, "mmseg").numbers["mIoU"]
        if self.settings.boundary:
            self.numbers["boundary_mIoU"] = scores.numbers["boundary_mIoU"]
        for row, other in zip(self.classes, scores.per_class, strict=True):
            row["IoU"] = other["IoU"]

    def _add_ap(self, records: Mapping[str, Record], annotations: list[dict[str, Any]]) -> None:
        if not records or any(record["instances"] is None for record in records.values()):
            return
        things = self.truth.categories[: self.truth.things]
        truth = {
            "images": [_image(image_id, record) for image_id, record in records.items()],
            "categories": [{"id": each.id, "name": each.name} for each in things],
            "annotations": [{"id": number, **each} for number, each in enumerate(annotations, start=1)],
        }
        found = [each for image_id, record in records.items() for each in detections_of(record, image_id)]
        for iou_type, names in _AP.items():
            if iou_type != "boundary" or self.settings.boundary:
                scores = score_detections(truth, found, iou_type).numbers
                self.numbers |= {name: scores[_SOURCE[name]] for name in names}

    @property
    def head(self) -> dict[str, Any]:
        """The first columns of each row."""
        return {"model": self.model, "digest": self.digest, "truth": self.truth.name}

    def sums(self) -> np.ndarray:
        """Return for each image and class the sum of IoUs, and half the number of segments, (N, 2 * K)."""
        table = np.zeros((len(self.matches), len(self.truth.categories), 2))
        for row, image in zip(table, self.matches, strict=True):
            for label, each in image.segments.items():
                row[label] = fsum(each.ious), len(each.ious) + (each.extra + each.missed) / 2
        return table.reshape(len(table), -1)

    def pixel_sums(self) -> np.ndarray:
        """Return for each image and class the correct pixels, those of the union, and of the truth, (N, 3 * K)."""
        count = len(self.truth.categories)
        table = np.zeros((len(self.matches), count, 3))
        for row, image in zip(table, self.pixels or (), strict=True):
            for (found, true), pixels in image.confusion.items():
                row[true, 2] += pixels
                row[true, 1] += pixels
                if found == true:
                    row[true, 0] += pixels
                elif found < count:
                    row[found, 1] += pixels
        return table.reshape(len(table), -1)


def _things(true: PanopticMap, image_id: str, truth: Truth) -> Iterator[dict[str, Any]]:
    for segment in true.segments:
        if segment.category_id < truth.things:
            category = truth.categories[segment.category_id].id
            yield {**lossless(true, segment), "image_id": image_id, "category_id": category}


def _image(image_id: str, record: Record) -> dict[str, Any]:
    height, width = record["size"]
    return {"id": image_id, "height": height, "width": width}


# --- resamples ---


class Drawn:
    """Numbers of one measured model in each resample of the images.

    Args:
        measured: the model.
        resamples: resamples of its images.

    Attributes:
        quality: (repeats, K) panoptic quality of each class; nan where a resample has no segment of it.
        numbers: by name (``PQ``, ``PQ_things``, ``PQ_stuff``, ``mIoU``), (repeats,).
    """

    def __init__(self, measured: Measured, resamples: Resamples):
        ious, segments = _columns(resamples.sums(measured.sums()), 2)
        self.quality = _ratio(ious, segments)
        things = measured.truth.things
        groups = {"PQ": self.quality, "PQ_things": self.quality[:, :things], "PQ_stuff": self.quality[:, things:]}
        self.numbers = {name: _means(values) for name, values in groups.items()}
        if measured.pixels is not None:
            right, union, true = _columns(resamples.sums(measured.pixel_sums()), 3)
            self.numbers["mIoU"] = _means(np.where(true > 0, _ratio(right, union), nan))


def _columns(sums: np.ndarray, count: int) -> np.ndarray:
    return np.moveaxis(sums.reshape(len(sums), -1, count), -1, 0)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(part.shape, nan), where=whole > 0)


def _means(values: np.ndarray) -> np.ndarray:
    """Return the mean of the known values of each row; nan without one."""
    known = ~np.isnan(values)
    return _ratio(np.where(known, values, 0).sum(1), known.sum(1))


# --- rows ---


@dataclass(frozen=True)
class Judged:
    """A measured model with its numbers in each resample."""

    measured: Measured
    drawn: Drawn


def judge(results: Sequence[Results], truth: Truth, settings: Settings) -> list[Judged]:
    """Measure all models with one truth. All models have the same resamples."""
    judged = []
    for each in results:
        measured = Measured(each, truth, settings)
        if not measured.ids:
            continue
        resamples = Resamples(measured.ids, repeats=settings.repeats, seed=settings.seed)
        judged.append(Judged(measured, Drawn(measured, resamples)))
    return judged


def result_rows(judged: Sequence[Judged]) -> Rows:
    """Return a row for each model and truth: all numbers, and the ends of the intervals of PQ and mIoU."""
    rows = []
    for each in judged:
        row = {**each.measured.head, "images": len(each.measured.ids)}
        for name, value in each.measured.numbers.items():
            row[name] = value
            if name in each.drawn.numbers:
                row |= _ends(name, each.drawn.numbers[name])
        rows.append(row)
    return rows


def class_rows(judged: Sequence[Judged]) -> Rows:
    """Return a row for each class of each model and truth, with the interval of its PQ."""
    return [
        {**each.measured.head, **row, **_ends("PQ", each.drawn.quality[:, label])}
        for each in judged
        for label, row in enumerate(each.measured.classes)
    ]


def worst_rows(judged: Sequence[Judged]) -> Rows:
    """Return the class with the lowest PQ of each model and truth, with its number of objects and its interval."""
    rows = []
    for each in judged:
        known = [row for row in class_rows([each]) if not isnan(row["PQ"])]
        rows += sorted(known, key=lambda row: (row["PQ"], row["class"]))[:1]
    return rows


def side_by_side_rows(first: Sequence[Judged], second: Sequence[Judged]) -> Rows:
    """Return the change of each number from one truth to the other, for models measured with both.

    The interval of a change draws the same images for both truths. It is there if both annotate the same images.
    """
    others = {(each.measured.model, each.measured.digest): each for each in second}
    rows = []
    for each in first:
        other = others.get((each.measured.model, each.measured.digest))
        if other is None:
            continue
        for name, value in each.measured.numbers.items():
            new = other.measured.numbers.get(name, nan)
            row: dict[str, Any] = {"model": each.measured.model, "digest": each.measured.digest, "number": name}
            row |= {each.measured.truth.name: value, other.measured.truth.name: new, "change": new - value}
            drawn = _paired(other, each, name)
            rows.append(row | (_ends("change", drawn) if drawn is not None else {}))
    return rows


def paired_rows(judged: Sequence[Judged]) -> Rows:
    """Return the difference of each two models on the same images, and the share of resamples where it is above 0."""
    rows = []
    for each, other in combinations(judged, 2):
        for name in each.drawn.numbers:
            drawn = _paired(each, other, name)
            if drawn is None or np.isnan(drawn).all():
                continue
            difference = each.measured.numbers[name] - other.measured.numbers[name]
            row: dict[str, Any] = {
                "model": each.measured.model,
                "other": other.measured.model,
                "truth": each.measured.truth.name,
            }
            row |= {"images": len(each.measured.ids), "number": name, "difference": difference}
            above = float((drawn > 0).mean() + (drawn == 0).mean() / 2)
            rows.append({**row, **_ends("difference", drawn), "share_above": above})
    return rows


def image_rows(judged: Judged, most: int) -> Rows:
    """Return the images with the lowest mean PQ of their classes, the worst first; ties by id."""
    rows = []
    for image_id, image in zip(judged.measured.ids, judged.measured.matches, strict=True):
        names = [each.name for each in judged.measured.truth.categories]
        numbers, _ = panoptic_numbers([image], names, judged.measured.truth.things)
        rows.append({**judged.measured.head, "id": image_id, "PQ": numbers["PQ"]})
    known = [row for row in rows if not isnan(row["PQ"])]
    return sorted(known, key=lambda row: (row["PQ"], row["id"]))[:most]


def _paired(first: Judged, second: Judged, name: str) -> np.ndarray | None:
    values = first.drawn.numbers.get(name), second.drawn.numbers.get(name)
    if values[0] is None or values[1] is None or first.measured.ids != second.measured.ids:
        return None
    return values[0] - values[1]


def _ends(name: str, values: np.ndarray) -> dict[str, float]:
    interval = interval_of(values)
    return {f"{name}_low": interval.low, f"{name}_high": interval.high}
