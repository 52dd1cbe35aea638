"""Panoptic segmentation: every pixel belongs to an object or to stuff such as sky."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from visionzoo.datasets.issues import Examined
from visionzoo.datasets.panoptic.categories import COCO_PANOPTIC
from visionzoo.datasets.panoptic.checking import examined_panoptic
from visionzoo.datasets.panoptic.id_png import encode_id_png
from visionzoo.datasets.panoptic.maps import read_map
from visionzoo.errors import InputError, counted
from visionzoo.metrics.required import sample_name
from visionzoo.reports.class_bars import draw_class_bars, said_rows, shown_rows
from visionzoo.reports.figure import Figure, names_up_to
from visionzoo.reports.images import class_colour
from visionzoo.reports.plots import empty_figure
from visionzoo.reports.regions import Colour, Region, draw_regions
from visionzoo.structures.arrays import as_array
from visionzoo.structures.graph_results import Frame, GraphSample
from visionzoo.structures.panoptic import UNLABELLED, PanopticMap
from visionzoo.structures.panoptic_results import PanopticResult, panoptic_result_of
from visionzoo.structures.query_fusion import fused_queries
from visionzoo.structures.seeded import seeded_array
from visionzoo.structures.semantic_maps import NO_CLASS
from visionzoo.tasks._base import ResultDocument, ResultFile, Task
from visionzoo.tasks._goals import Fed, Goal, best_of, label_of, log_odds, mean_inside, name_of
from visionzoo.tasks._truth import part_of, plain_masks, true_map, true_semantic
from visionzoo.tasks.inputs.images import ImageInput

if TYPE_CHECKING:
    from torch import Tensor

    from visionzoo.metrics.panoptic.quality import ByCategory

_SHADES = (1.0, 0.8, 1.2, 0.65, 1.4)  # of the objects of a class


def _id_map(result: PanopticResult) -> bytes:
    return encode_id_png(result.panoptic.ids, "prediction")


def _categories(names: Sequence[str] | None, category_ids: Sequence[int] | None, things: int | None) -> dict[str, Any]:
    if things is None and names == _COCO_NAMES:
        things = sum(each.isthing for each in COCO_PANOPTIC)
    ids = category_ids or range(1, len(names or ()) + 1)
    listed: list[dict[str, Any]] = [{"id": number, "name": name} for number, name in zip(ids, names or ())]
    if things is not None:
        listed = [{**each, "isthing": int(label < things)} for label, each in enumerate(listed)]
    return {"categories": listed}


def _annotation(
    result: PanopticResult, image: str, files: Mapping[str, Any], category_ids: Sequence[int] | None
) -> dict[str, Any]:
    """Return the entry of an image in COCO's panoptic format. Its id is the number that its file name is, if it is."""
    most = int(result.labels.max(initial=-1)) + 1
    stem = image.rpartition("/")[2].rpartition(".")[0]
    return {
        "image_id": int(stem) if stem.isascii() and stem.isdecimal() else stem,
        "file_name": files["panoptic"].partition("/")[2],
        "image": image,
        "segments_info": result.segments_info(category_ids or range(1, most + 1)),
    }


class Panoptic(Task):
    """Task of dividing an image into segments. The result is :class:`PanopticResult`.

    ``panoptic.json`` and the folder ``panoptic`` are COCO's panoptic format: the same files as those of a data set.
    """

    inputs = ImageInput()
    selections = ("threshold", "classes")
    counted = ("segment", "segments")
    row = staticmethod(PanopticResult.to_row)
    files = (ResultFile("panoptic", "panoptic", ".png", _id_map),)
    document = ResultDocument("panoptic.json", "annotations", _annotation, _categories)
    save_best = {"pq/PQ": "greater"}
    unranked = ("classes*", "boundary_classes*")
    error_text = "1 less the mean PQ of the classes of the image"

    def read(self, sample: Any, size: tuple[int, ...], names: Sequence[str] | None) -> PanopticResult:
        panoptic, mmdet_map = sample.get("pred_panoptic"), sample.get("pred_panoptic_seg")
        if panoptic is None:
            raise InputError("the model returns no panoptic map; use PanopticFusion as model.panoptic_fusion_head")
        scores = sample.get("pred_panoptic_scores")
        return panoptic_result_of(panoptic, scores, None if mmdet_map is None else mmdet_map.sem_seg, names)

    def of_graph(self, outputs: Mapping[str, np.ndarray], frame: Frame) -> GraphSample:
        return fused_queries(outputs, frame)

    def goal(self, fed: Fed, target: str | None, names: Sequence[str] | None) -> Goal:
        """Return the log-odds of the class plus the mean logit of the mask, of the best query of a class or of all."""
        classes, masks = fed.queries()
        scores, labels = classes[:, :-1].max(-1)
        if target is not None:
            label = label_of(target, names, classes.shape[1] - 1)
            scores, labels = classes[:, label], labels.new_full(labels.shape, label)
        query = best_of(scores, labels, None, "segment", "choose another --target")
        name = name_of(int(labels[query]), names)
        inside = masks[query] > 0
        mask, region = mean_inside(masks[query], inside)
        said = f"log-odds of {name} plus mean mask logit over {region}, query {query}"
        return Goal(log_odds(scores[query]) + mask, said, f"{int(labels[query])}", inside)

    def draw(self, image: np.ndarray, result: Any, scale: int) -> np.ndarray:
        return draw_panoptic(image, result, scale)

    def truth(self, sample: Any, size: tuple[int, ...], names: Sequence[str] | None) -> PanopticResult | None:
        """Return the true segments: of ``gt_panoptic``, else of the masks and the semantic map of a training sample."""
        panoptic = part_of(sample, "gt_panoptic")
        if panoptic is not None:
            ids = true_map(panoptic.ids.astype(np.int64), size)
            known = {each.id: (each.category_id, each.iscrowd) for each in panoptic.segments}
            return replace(panoptic_result_of(_of_seen(ids, known), names=names), are_true=True)
        values, instances = true_semantic(sample), part_of(sample, "gt_instances")
        masks, labels = part_of(instances, "masks"), part_of(instances, "labels")
        if values is None or masks is None:
            return None
        return _of_targets(true_map(values, size), [true_map(each, size) for each in plain_masks(masks)], labels, names)

    def examined(
        self, record: Mapping[str, Any], size: tuple[int, int] | None, names: Sequence[str] | None
    ) -> Examined:
        return examined_panoptic(record)

    def class_names(self, counts: set[int]) -> tuple[str, ...] | None:
        """Return the names of COCO's things and stuff if a part of the model has 133 classes."""
        return _COCO_NAMES if len(_COCO_NAMES) in counts else None

    def category_ids(self, names: tuple[str, ...] | None) -> tuple[int, ...] | None:
        """Return COCO's category ids, which have gaps, if ``names`` are COCO's names; else None."""
        return tuple(each.id for each in COCO_PANOPTIC) if names == _COCO_NAMES else None

    def evidence(self, sample: Any, names: Sequence[str] | None) -> ByCategory | None:
        """Return the matches of segments by class; None for a sample without truth."""
        from visionzoo.metrics.panoptic import match_segments

        truth, found = sample.get("gt_panoptic"), sample.get("pred_panoptic")
        return None if truth is None or found is None else match_segments(truth, found, where=sample_name(sample, 0))

    def figures(self, records: Sequence[ByCategory], names: Sequence[str] | None) -> list[Figure]:
        """Return PQ, SQ and RQ of the classes."""
        labels = [label for record in records for label in record]
        if not labels:
            return [empty_figure("pq", "PQ of the classes", "No image was tested with its segments.")]
        return [_quality_figure(records, names_up_to(names, max(labels)))]

    def error(self, sample: Any, names: Sequence[str] | None) -> float | None:
        """Return 1 less the mean PQ of the classes of the image; None if truth and prediction are empty."""
        from visionzoo.metrics.panoptic import panoptic_quality

        matches = self.evidence(sample, names)
        if not matches:
            return None
        quality = panoptic_quality([matches], [str(label) for label in range(max(matches) + 1)]).numbers["PQ"]
        return None if quality != quality else 1 - quality

    def shaken(self, sample: Mapping[str, Any], index: int, seed: int, classes: int) -> dict[str, Any]:
        """Return the true map moved two pixels to the right; some of its segments have another class."""
        truth = read_map(sample["panoptic_path"], sample["segments"], like=sample["img_path"])
        moved = np.roll(truth.ids, 2, axis=1)
        noise = seeded_array(seed, f"segments {index}", (len(truth.segments),))
        labels = [
            (each.category_id + 1) % classes if value > 1 else each.category_id
            for each, value in zip(truth.segments, noise, strict=True)
        ]
        found = {each.id: (label, False) for each, label in zip(truth.segments, labels, strict=True)}
        return {
            "img_path": sample["img_path"],
            "gt_panoptic": truth,
            "pred_panoptic": PanopticMap.of_ids(moved, found),
            "gt_semantic": truth.class_map(),
            "pred_semantic": PanopticMap.of_ids(moved, found).class_map(),
        }

    def scores(self, samples: Sequence[Any]) -> Tensor:
        import torch

        return torch.cat([sample.pred_panoptic_scores.reshape(-1) for sample in samples])

    def options(self, model: Mapping[str, Any]) -> list[str]:
        """Return the options that keep every segment of the fusion, whatever its score and its overlap."""
        return ["model.test_cfg.object_mask_thr=0.0", "model.test_cfg.iou_thr=0.0"]


def _of_seen(ids: np.ndarray, known: Mapping[int, tuple[int, bool]]) -> PanopticMap:
    """Return a map of the segments that have a pixel."""
    seen = set(np.unique(ids).tolist())
    return PanopticMap.of_ids(ids, {number: facts for number, facts in known.items() if number in seen})


def _of_targets(
    classes: np.ndarray, masks: Sequence[np.ndarray], labels: Any, names: Sequence[str] | None
) -> PanopticResult:
    """Return the segments of training targets: one for each mask, and one for each class of the other pixels."""
    known = {number: (int(label), False) for number, label in enumerate(as_array(labels).tolist(), start=1)}
    ids = np.zeros(classes.shape, np.int64)
    for number, mask in enumerate(masks, start=1):
        ids[mask.astype(bool)] = number
    for label in np.unique(classes[(ids == UNLABELLED) & (classes != NO_CLASS)]).tolist():
        number = len(known) + 1
        known[number] = (int(label), False)
        ids[(ids == UNLABELLED) & (classes == label)] = number
    panoptic = _of_seen(ids, known)
    things = frozenset(each.id for each in panoptic.segments if each.id <= len(masks))
    return replace(panoptic_result_of(panoptic, names=names), things=things, are_true=True)


_COCO_NAMES = tuple(each.name for each in COCO_PANOPTIC)


def draw_panoptic(image: np.ndarray, found: PanopticResult, scale: int = 1) -> np.ndarray:
    """Colour the segments by class, the objects of a class in several shades, and write names and scores.

    Args:
        image: (H, W, 3) uint8 RGB, of the size of the map. The array is not changed.
        found: the segments to draw.
        scale: factor by which the image is enlarged, >= 1.

    Returns:
        (scale * H, scale * W, 3) uint8 RGB.

    Example:
        >>> panoptic = PanopticMap.of_ids(np.ones((32, 48), np.uint32), {1: (0, False)})
        >>> draw_panoptic(np.zeros((32, 48, 3), np.uint8), panoptic_result_of(panoptic), scale=2).shape
        (64, 96, 3)
    """
    regions, drawn = [], dict.fromkeys(found.labels.tolist(), 0)
    for segment, score in zip(found.panoptic.segments, found.scores, strict=True):
        label = segment.category_id
        colour = _shade(class_colour(label), drawn[label])
        drawn[label] += 1
        text = found.name_of(label) if found.are_true else f"{found.name_of(label)} {score:.2f}"
        regions.append(Region(segment.id, text, colour))
    return draw_regions(image, found.panoptic.ids, regions, scale)


def _shade(colour: Colour, number: int) -> Colour:
    red, green, blue = (min(255, int(value * _SHADES[number % len(_SHADES)])) for value in colour)
    return red, green, blue


def _quality_figure(records: Sequence[ByCategory], names: Sequence[str]) -> Figure:
    from visionzoo.metrics.panoptic import panoptic_quality

    scores = panoptic_quality(records, names)
    values = {name: np.array([row[name] for row in scores.per_class]) for name in ("PQ", "SQ", "RQ")}
    shown, known = shown_rows(values["PQ"]), int(np.isfinite(values["PQ"]).sum())
    title = "PQ, SQ and RQ of the classes"
    if not known:
        return empty_figure("pq", title, "Truth and predictions have no segment that counts.")
    rows = {name: each[shown] for name, each in values.items()}
    image = draw_class_bars(title, [names[int(label)] for label in shown], rows)
    means = [f"{name} {scores.numbers[name]:.4f}" for name in values]
    caption = (
        f"Of {counted(len(records), 'image')}, highest PQ first. The means over {known} classes that occur are "
        f"{', '.join(means)}.{said_rows(len(shown), known)}"
    )
    columns = ("class", "objects", "PQ", "SQ", "RQ", "TP", "FP", "FN")
    table = [
        (
            row["class"],
            str(row["objects"]),
            *(f"{row[each]:.4f}" for each in values),
            *(str(row[each]) for each in columns[5:]),
        )
        for row in scores.per_class
        if row["PQ"] == row["PQ"]
    ]
    return Figure("pq", title, image, caption, columns, table)
