"""Detection: boxes with classes and scores."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from PIL import Image, ImageDraw

from visionzoo.datasets.coco_annotations import segmentation_problem, whole_segmentation
from visionzoo.datasets.coco_ids import COCO_IDS
from visionzoo.datasets.issues import Examined, Issue, box_issues, label_issues
from visionzoo.datasets.outlines import area_of
from visionzoo.errors import InputError, counted
from visionzoo.reports.figure import Draft, Figure
from visionzoo.reports.images import (
    class_colour,
    draw_box,
    edge_of,
    enlarged,
    label_font,
    letter_height,
    line_width,
    write_labels,
)
from visionzoo.structures.arrays import as_array
from visionzoo.structures.detections import Detections, crops_of, decode_mask, detections_of, encode_mask
from visionzoo.structures.graph_results import Frame, GraphSample
from visionzoo.structures.seeded import seeded_array
from visionzoo.structures.yolo_lines import yolo_lines
from visionzoo.tasks._base import ResultFile, Task
from visionzoo.tasks._box_figures import figures_of, regions_of
from visionzoo.tasks._goals import Fed, Goal, best_of, label_of, log_odds, name_of
from visionzoo.tasks._truth import part_of, plain_masks, true_map
from visionzoo.tasks.inputs.images import ImageInput

if TYPE_CHECKING:
    from torch import Tensor, nn

    from visionzoo.metrics.coco.matching import MatchedImage

_MASK_OPACITY = 0.45


def _yolo_file(result: Detections) -> bytes:
    return yolo_lines(result).encode()


class Detection(Task):
    """Task of finding the boxes of objects. The result is :class:`Detections`."""

    needs_masks: ClassVar[bool] = False
    inputs = ImageInput()
    mark = "boxes"
    threshold = 0.3
    selections = ("threshold", "classes", "limit")
    counted = ("box", "boxes")
    saves = {"txt": ResultFile("txt", "labels", ".txt", _yolo_file, with_names=True)}
    crops = staticmethod(crops_of)
    coco = staticmethod(Detections.to_coco)
    save_best = {"coco/bbox_mAP": "greater", "pascal_voc/mAP": "greater"}
    compares_masks: ClassVar[bool] = False  # in figures
    error_text = "1 less the F1 at IoU 0.5 of the boxes with a score of at least 0.3"

    def read(self, sample: Any, size: tuple[int, ...], names: Sequence[str] | None) -> Detections:
        return detections_of(sample.pred_instances, (size[0], size[1]), names)

    def of_graph(self, outputs: Mapping[str, np.ndarray], frame: Frame) -> GraphSample:
        is_found = outputs["labels"] >= 0
        boxes = outputs["boxes"][is_found] * np.tile(frame.scale, 2)
        found = GraphSample(bboxes=boxes, scores=outputs["scores"][is_found], labels=outputs["labels"][is_found])
        return GraphSample(pred_instances=found)

    def goal(self, fed: Fed, target: str | None, names: Sequence[str] | None) -> Goal:
        """Return the log-odds of a box's score: of the best box, of a class by name, or of box 1, 2, ... by rank.

        The gradient is that of the score; places of proposals are constants in it.
        """
        found = fed.predicted().pred_instances
        chosen = _chosen_box(found.scores, found.labels, target, names, fed)
        name = name_of(int(found.labels[chosen]), names)
        said, region = f"log-odds of {_in_words(found[chosen], name)}", _region_of(found[chosen], fed)
        return Goal(log_odds(found.scores[chosen]), said, name, region)

    def draw(self, image: np.ndarray, result: Any, scale: int) -> np.ndarray:
        return draw_detections(image, result, scale)

    def truth(self, sample: Any, size: tuple[int, ...], names: Sequence[str] | None) -> Detections | None:
        """Return the true boxes, and masks if there are any; crowds and ignored objects are left out."""
        boxes, labels, masks = (part_of(sample, "gt_instances", key) for key in ("bboxes", "labels", "masks"))
        if boxes is None or labels is None:
            return None
        corners = as_array(getattr(boxes, "tensor", boxes), np.float32).reshape(-1, 4)
        drawn = None if masks is None else [true_map(each, size) for each in plain_masks(masks)]
        return Detections(
            boxes=corners,
            scores=np.ones(len(corners), np.float32),
            labels=as_array(labels, np.int64),
            size=(size[0], size[1]),
            masks=None if drawn is None else tuple(map(encode_mask, drawn)),
            names=None if names is None else tuple(names),
            are_true=True,
        )

    def examined(
        self, record: Mapping[str, Any], size: tuple[int, int] | None, names: Sequence[str] | None
    ) -> Examined:
        objects = record.get("instances") or []
        boxes = np.array([each["bbox"] for each in objects], np.float64).reshape(-1, 4)
        labels = [int(each["bbox_label"]) for each in objects]
        places = [_place(record, number, each) for number, each in enumerate(objects)]
        stated = (record["width"], record["height"]) if record.get("width") and record.get("height") else None
        issues = [*box_issues(boxes, labels, size or stated, places)]
        for label, place in zip(labels, places, strict=True):
            issues += label_issues([label], len(names or ()), place)
        if self.needs_masks or record.get("has_masks"):
            issues += mask_issues([each.get("mask") for each in objects], size or stated, places)
        return Examined(issues, labels, boxes, has_truth=bool(objects))

    def class_names(self, counts: set[int]) -> tuple[str, ...] | None:
        """Return the names of COCO if a part of the model has 80 classes."""
        return _coco_names() if len(COCO_IDS) in counts else None

    def category_ids(self, names: tuple[str, ...] | None) -> tuple[int, ...] | None:
        """Return COCO's category ids, which have gaps, if ``names`` are COCO's names; else None."""
        is_coco = names is not None and len(names) == len(COCO_IDS) and names == _coco_names()
        return COCO_IDS if is_coco else None

    def evidence(self, sample: Any, names: Sequence[str] | None) -> MatchedImage | None:
        """Return which detections are right at IoU 0.5; None for a sample without truth."""
        from visionzoo.metrics.coco.matching import match_image

        truth = sample.get("gt_instances")
        if truth is None or truth.get("labels") is None:
            return None
        parts = sample.get("pred_instances"), truth, sample.get("ignored_instances")
        return match_image(*regions_of(*parts, masks=self.compares_masks), threshold=self.threshold)

    def figures(self, records: Sequence[MatchedImage], names: Sequence[str] | None) -> list[Figure | Draft]:
        """Return precision over recall, the confusion matrix, and what remains above a score threshold."""
        return figures_of(records, names)

    def error(self, sample: Any, names: Sequence[str] | None) -> float | None:
        """Return 1 less the F1 at IoU 0.5 of the detections with at least the threshold of the task."""
        matched = self.evidence(sample, names)
        return None if matched is None else 1 - matched.f1

    def shaken(self, sample: Mapping[str, Any], index: int, seed: int, classes: int) -> dict[str, Any]:
        return _shaken_boxes(sample, seed, classes)

    def scores(self, samples: Sequence[Any]) -> Tensor:
        import torch

        return torch.cat([sample.pred_instances.scores for sample in samples])

    def options(self, model: Mapping[str, Any]) -> list[str]:
        """Return the option that sets the score threshold to 0, so that suppression has boxes to remove."""
        path = "model.test_cfg.rcnn.score_thr" if "rcnn" in model.get("test_cfg", {}) else "model.test_cfg.score_thr"
        return [f"{path}=0.0"]


def mask_issues(masks: Sequence[Any], size: tuple[int, int] | None, places: Sequence[str]) -> Iterator[Issue]:
    """Yield the segmentations of COCO that are missing, of another form or size, or without a pixel.

    Args:
        masks: polygons, run-length codes, or None.
        size: (width, height) of the image; None if it is not known.
        places: place of each object.
    """
    sides = (None, None) if size is None else size[::-1]
    for mask, place in zip(masks, places, strict=True):
        whole = whole_segmentation(mask)
        problem = segmentation_problem(whole, sides) or _empty_mask(whole)
        if problem:
            advice = "add outlines of 3 or more points, or a mask of the size of the image"
            yield Issue("masks that cannot be used", place, problem, advice)
        elif whole is not mask:
            advice = "write a list of polygons, or one RLE"
            yield Issue(
                "masks in another form, which are read", place, "a flat list or a list of one RLE", advice, True
            )


def _empty_mask(whole: Any) -> str:
    """Return what is wrong with a run-length code without a pixel or polygons without an area; else ""."""
    if isinstance(whole, Mapping):
        counts = whole["counts"]
        return "an RLE without a pixel" if isinstance(counts, list) and not sum(counts[1::2]) else ""
    areas = [area_of(list(zip(each[::2], each[1::2], strict=True))) for each in whole]
    return "" if any(areas) else "polygons without an area"


def _place(record: Mapping[str, Any], number: int, instance: Mapping[str, Any]) -> str:
    """Return the place of an object: the file of its image, and its id in the annotation file or its number."""
    name = f"annotation {instance['id']}" if "id" in instance else f"object {number + 1}"
    return f"{record.get('img_path')}, {name}"


def _coco_names() -> tuple[str, ...]:
    with redirect_stdout(io.StringIO()):  # mmdet prints on import
        from mmdet.datasets.coco import CocoDataset
    return tuple(CocoDataset.METAINFO["classes"])


def _chosen_box(scores: Tensor, labels: Tensor, target: str | None, names: Sequence[str] | None, fed: Fed) -> int:
    """Return the index of the box that a target names."""
    number = (target or "").removeprefix("box").strip()
    options = " ".join(f"{path}=0" for path in fed.thresholds)
    advice = f"--cfg-options {options} keeps boxes of any score" if options else "choose another input or --target"
    if number.isdecimal() and number not in (names or ()):
        if not 1 <= int(number) <= len(scores):
            found = f"{len(scores)} boxes" if len(scores) else "no box"
            raise InputError(f"box {number}", expected="the rank of a box, from 1", found=found, advice=advice)
        return int(scores.detach().argsort(descending=True)[int(number) - 1])
    if target is None:
        return best_of(scores, labels, None, "box", advice)
    label = label_of(target, names, _classes_of(fed.head))
    return best_of(scores, labels, label, f"box of {name_of(label, names)}", advice)


def _in_words(found: Any, name: str) -> str:
    """Return the box of one instance in words; its mask if the model finds masks without boxes."""
    box = found.bboxes[0].tolist()
    if not any(box) and "masks" in found:
        return f"the mask of {name} over {counted(int(found.masks.sum()), 'pixel')}"
    left, top, right, bottom = map(round, box)
    return f"the box of {name} at ({left}, {top}) to ({right}, {bottom})"


def _region_of(found: Any, fed: Fed) -> Tensor:
    """Return the mask of one instance, else the inside of its box, in pixels of the original image, (H, W) bool."""
    import torch

    from visionzoo.layers.sample_sizes import original_size

    if "masks" in found:
        return found.masks[0].bool()
    left, top, right, bottom = found.bboxes[0].tolist()
    height, width = original_size(fed.samples[0], fed.size)
    rows, columns = (torch.arange(length, device=found.bboxes.device) for length in (height, width))
    return ((rows >= top) & (rows < bottom))[:, None] & ((columns >= left) & (columns < right))


def _classes_of(head: nn.Module) -> int:
    """Return the largest number of classes of the parts of a head, or of a whole model."""
    counts = (getattr(part, "num_classes", None) for part in head.modules())
    return max((count for count in counts if isinstance(count, int)), default=0)


def draw_detections(image: np.ndarray, found: Detections, scale: int = 1) -> np.ndarray:
    """Draw masks, boxes and labels with their scores, the best detection on top.

    Args:
        image: (H, W, 3) uint8 RGB, of the size to which the boxes refer. The array is not changed.
        found: the detections to draw. All of them are drawn, so filter them by score first.
        scale: factor by which the image is enlarged, >= 1, so that letters do not hide objects; see
            :func:`visionzoo.reports.images.scale_to_read`.

    Returns:
        (scale * H, scale * W, 3) uint8 RGB.

    Example:
        >>> boxes = np.array([[4.0, 4.0, 30.0, 20.0]])
        >>> detections = Detections(boxes, np.array([0.9]), np.array([0]), (48, 32), names=("cat",))
        >>> draw_detections(np.zeros((32, 48, 3), np.uint8), detections, scale=2).shape
        (64, 96, 3)
    """
    image = enlarged(_with_masks(image, found), scale)
    found = replace(found, boxes=found.boxes * scale, masks=None)
    drawing = Image.fromarray(image)
    pen = ImageDraw.Draw(drawing)
    width, font = line_width(image), label_font(letter_height(image))
    for index in range(len(found))[::-1]:
        colour = class_colour(int(found.labels[index]))
        draw_box(pen, found.boxes[index], colour, width, drawing.size)
    numbers = [int(number) for number in found.labels]
    scores = ["" if found.are_true else f" {score:.2f}" for score in found.scores]
    texts = [f"{found.name_of(number)}{score}" for number, score in zip(numbers, scores)]
    write_labels(pen, zip(texts, map(class_colour, numbers), found.boxes), font, drawing.size)
    return np.asarray(drawing).copy()


def _with_masks(image: np.ndarray, found: Detections) -> np.ndarray:
    canvas = image.copy()
    for index in range(len(found))[::-1]:
        if found.masks is None:
            break
        mask = decode_mask(found.masks[index])
        colour = np.array(class_colour(int(found.labels[index])), dtype=float)
        canvas[mask] = (canvas[mask] * (1 - _MASK_OPACITY) + colour * _MASK_OPACITY).astype(np.uint8)
        canvas[edge_of(mask)] = colour.astype(np.uint8)
    return canvas


def _shaken_boxes(image: Mapping[str, Any], seed: int, classes: int) -> dict[str, Any]:
    """Return a sample whose predictions are the image's objects, slightly moved and sometimes with a wrong label."""
    objects = [each for each in image["instances"] if not each["ignore_flag"]]
    name, count = image["img_id"], len(objects)
    boxes = np.asarray([each["bbox"] for each in objects], dtype=np.float32).reshape(-1, 4)
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    wrong = seeded_array(seed, f"labels {name}", (count,)) > 1
    labels = np.asarray([each["bbox_label"] for each in objects], dtype=np.int64)
    predicted = {
        "bboxes": boxes + 0.05 * sides * seeded_array(seed, f"boxes {name}", boxes.shape),
        "scores": 1 / (1 + np.exp(-seeded_array(seed, f"scores {name}", (count,)))),
        "labels": np.where(wrong, (labels + 1) % classes, labels),
    }
    outlines = [each["mask"] for each in objects if "mask" in each]
    masks = [_moved_mask(outline, image) for outline in outlines]
    predicted["masks"] = np.stack(masks) if masks else np.zeros((0, image["height"], image["width"]), dtype=bool)
    return {"img_id": name, "pred_instances": predicted}


def _moved_mask(outline: Any, image: Mapping[str, Any]) -> np.ndarray:
    """Return the mask of one object, (H, W) bool, from polygons or run lengths, moved two pixels to the right."""
    from pycocotools import mask as masks

    height, width = image["height"], image["width"]
    runs = masks.merge(masks.frPyObjects(outline, height, width)) if isinstance(outline, list) else outline
    return np.roll(masks.decode(runs), 2, axis=1).astype(bool)
