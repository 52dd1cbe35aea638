"""Adapter of COCO AP to mmengine: predictions of mmdet's models against the annotation file of the data set."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from visionzoo.allowed import Fraction
from visionzoo.datasets.coco_annotations import in_order, require_segmentations
from visionzoo.datasets.coco_file import read_coco
from visionzoo.errors import ConfigError, require_known
from visionzoo.metrics.coco.average_precision import (
    IOU_TYPES,
    NUMBERS,
    Backend,
    number_at,
    require_ious,
    score_detections,
)
from visionzoo.metrics.meaning import SHARE, Meaning
from visionzoo.registry import METRICS
from visionzoo.structures.arrays import as_array


@METRICS.register_module()
class CocoMetric(BaseMetric):
    """COCO AP of mmdet's data samples: ``pred_instances`` with boxes xyxy in the original image's pixels.

    Numbers are named ``coco/bbox_mAP``, ``coco/bbox_mAP_50``, ``coco/segm_AR_100`` and so on (``NUMBERS``). With
    ``iou_thrs=(0.7,)`` there is also ``coco/bbox_mAP_70``, with ``classwise`` also ``coco/bbox_AP/<class>``. After each
    evaluation ``per_class`` holds ``{iou type: rows}`` of :class:`CocoScores` for reports.
    All processed images count, with or without detections; other images of the annotation file do not.

    Args:
        ann_file: the annotation file. Default: the one that the data set names in ``dataset_meta``.
        metric: ``bbox``, ``segm``, ``boundary`` (see :class:`BoundaryAPMetric`), or several in a list.
        classwise: True to log a table of the classes and to add a number for each class.
        backend: ``auto``, ``faster`` or ``pycocotools``.
        iou_thrs: further IoU thresholds, in (0, 1], each of which adds an AP.
        collect_device: device on which results of several processes are collected, ``cpu`` or ``gpu``.
        prefix: replaces ``coco`` in the names.

    Raises:
        ConfigError: a threshold is outside (0, 1], or the backend is not installed.
        UnknownName: ``metric`` or ``backend`` is not one of the above.

    Example:
        >>> metric = CocoMetric(metric=["bbox", "segm"], iou_thrs=(0.7,))
        >>> metric.iou_types
        ('bbox', 'segm')
    """

    default_prefix = "coco"
    MEANINGS: ClassVar[Mapping[str, Meaning]] = {"*": SHARE}

    def __init__(
        self,
        ann_file: str | None = None,
        metric: str | Sequence[str] = "bbox",
        classwise: bool = False,
        backend: str = "auto",
        collect_device: str = "cpu",
        prefix: str | None = None,
        *,
        iou_thrs: Sequence[Fraction] = (),
    ):
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.iou_types = (metric,) if isinstance(metric, str) else tuple(metric)
        for iou_type in self.iou_types:
            require_known(iou_type, IOU_TYPES, "metric of CocoMetric")
        require_ious(iou_thrs)
        Backend.choose(backend)
        self.ann_file = ann_file
        self.iou_thrs = tuple(iou_thrs)
        self.classwise = classwise
        self.backend = backend
        self.per_class: dict[str, list[dict[str, Any]]] = {}
        self._truth: tuple[str, dict] | None = None

    @property
    def dataset_meta(self) -> dict | None:
        """``metainfo`` of the data set. Setting it reads and checks the annotation file before the first batch."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict | None) -> None:
        self._dataset_meta = dataset_meta
        if self.ann_file or (dataset_meta or {}).get("ann_file"):
            self._classes(self._read_truth())

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Add one batch of samples with predictions, as dicts."""
        self.results += [_compact(sample, masks=_masks_of(self.iou_types)) for sample in data_samples]

    def possible_names(self) -> list[str]:
        """Return the names that an evaluation can measure, without the prefix; ``*`` stands for any text."""
        names = [*NUMBERS, *(number_at(iou) for iou in self.iou_thrs), *(["AP/*"] if self.classwise else [])]
        return [f"{iou_type}_{name}" for iou_type in self.iou_types for name in names]

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Compute the numbers from the results of all processes."""
        truth = self._read_truth()
        truth = _by_label(truth, *self._classes(truth))
        by_image = {result["image_id"]: result for result in results}  # several processes may repeat an image
        numbers: dict[str, float] = {}
        for iou_type in self.iou_types:
            scores = score_detections(
                truth,
                _as_coco_results(by_image.values(), iou_type),
                iou_type,
                image_ids=list(by_image),
                backend=self.backend,
                iou_thrs=self.iou_thrs,
            )
            numbers.update({f"{iou_type}_{name}": value for name, value in scores.numbers.items()})
            self.per_class[iou_type] = scores.per_class
            if not any(row["objects"] for row in scores.per_class):
                note = f"{iou_type} AP: no object counts in {len(by_image)} measured images; all numbers are -1"
                print_log(note, "current", logging.WARNING)
            if self.classwise:
                numbers.update({f"{iou_type}_AP/{row['class']}": row["AP"] for row in scores.per_class})
                print_log(class_table(scores.per_class, f"{iou_type} AP by class"), "current", logging.INFO)
        return numbers

    def _read_truth(self) -> dict:
        path = self.ann_file or (self.dataset_meta or {}).get("ann_file")
        if not path:
            raise ConfigError(
                "CocoMetric",
                expected="an annotation file",
                but="the data set's metainfo names none",
                advice="set ann_file=... in the evaluator",
            )
        if self._truth is None or self._truth[0] != path:
            where = self.ann_file or (self.dataset_meta or {}).get("annotations", path)
            # The data set printed the notes of its file.
            truth = read_coco(Path(path), say_notes=bool(self.ann_file), where=where)
            if masks := _masks_of(self.iou_types):
                require_segmentations(where, truth, f'CocoMetric has metric="{masks}"')
            self._truth = path, truth
        return self._truth[1]

    def _classes(self, truth: dict) -> tuple[Sequence[str], dict[Any, int]]:
        """Return the class names in label order, and the label of each category id that has one.

        A class whose entry in ``category_ids`` of the data set is None has no object.

        Raises:
            UnknownName: the annotation file lacks another class.
        """
        meta = self.dataset_meta or {}
        ids = {category["name"]: category["id"] for category in truth["categories"]}
        names = {category_id: name for name, category_id in ids.items()}
        classes = meta.get("classes") or [names[each] for each in in_order(names)]
        stated = meta.get("category_ids") or [0] * len(classes)
        used = {name: label for label, name in enumerate(classes) if stated[label] is not None}
        for name in used:
            require_known(name, ids, "class of the annotation file")
        return classes, {ids[name]: label for name, label in used.items()}


def _by_label(truth: dict, classes: Sequence[str], labels: Mapping[Any, int]) -> dict:
    """Return the truth with labels as category ids, so that no number depends on how a file numbers its classes.

    Annotations of categories without a label are left out.
    """
    used = (annotation for annotation in truth["annotations"] if annotation["category_id"] in labels)
    return {
        **truth,
        "categories": [{"id": label, "name": name} for label, name in enumerate(classes)],
        "annotations": [{**annotation, "category_id": labels[annotation["category_id"]]} for annotation in used],
    }


@METRICS.register_module()
class BoundaryAPMetric(CocoMetric):
    """COCO AP of masks by the smaller of mask IoU and boundary IoU: ``coco/boundary_mAP``, ``coco/boundary_AR_100``.

    The boundary of a mask is its part within 2 % of the image's diagonal from its edge, as in the authors' code. Crowds
    are compared by their masks.

    Args:
        ann_file, classwise, backend, collect_device, prefix, iou_thrs: see :class:`CocoMetric`.

    Example:
        >>> BoundaryAPMetric().possible_names()[0]
        'boundary_mAP'
    """

    def __init__(
        self,
        ann_file: str | None = None,
        classwise: bool = False,
        backend: str = "auto",
        collect_device: str = "cpu",
        prefix: str | None = None,
        *,
        iou_thrs: Sequence[Fraction] = (),
    ):
        super().__init__(ann_file, "boundary", classwise, backend, collect_device, prefix, iou_thrs=iou_thrs)


def _masks_of(iou_types: Sequence[str]) -> str:
    """Return the first type that compares masks; empty without one."""
    return next((each for each in iou_types if each != "bbox"), "")


def _compact(sample: Mapping[str, Any], masks: str) -> dict[str, Any]:
    """Return the predictions of one image as numpy arrays and RLE.

    Args:
        sample: a predicted sample.
        masks: the type that compares masks; empty without one.
    """
    instances = sample["pred_instances"]
    result = {
        "image_id": sample["img_id"],
        "boxes": _array(instances["bboxes"]).reshape(-1, 4),
        "scores": _array(instances["scores"]),
        "labels": _array(instances["labels"]),
    }
    if masks:
        if "masks" not in instances:
            raise ConfigError(
                "CocoMetric",
                expected=f'masks for metric="{masks}"',
                but="the model predicts only boxes",
                advice='write metric="bbox"',
            )
        result["masks"] = run_lengths(instances["masks"])
        result["mask_scores"] = _array(instances.get("mask_scores", instances["scores"]))
    return result


def _array(values: Any) -> np.ndarray:
    return as_array(values, np.float64 if _is_real(values) else np.int64)


def _is_real(values: Any) -> bool:
    return "float" in str(getattr(values, "dtype", "float"))


def run_lengths(masks: Any) -> list[dict]:
    """Return compressed RLE for masks, (N, H, W) bool; RLE dicts are returned unchanged."""
    if isinstance(masks, list | tuple):
        return list(masks)
    from pycocotools import mask as tools

    array = as_array(masks)
    return tools.encode(np.asfortranarray(array.astype(np.uint8).transpose(1, 2, 0))) if len(array) else []


def _as_coco_results(images: Iterable[dict], iou_type: str) -> list[dict]:
    """Convert compact predictions to entries of a COCO result file with labels as category ids."""
    entries = []
    for image in images:
        boxes = image["boxes"].copy()
        boxes[:, 2:] -= boxes[:, :2]
        regions = boxes.tolist() if iou_type == "bbox" else image["masks"]
        scores = image["scores" if iou_type == "bbox" else "mask_scores"].tolist()
        for label, score, region in zip(image["labels"].tolist(), scores, regions, strict=True):
            entries.append(
                {
                    "image_id": image["image_id"],
                    "category_id": label,
                    "score": score,
                    "bbox" if iou_type == "bbox" else "segmentation": region,
                }
            )
    return entries


def class_table(rows: Sequence[Mapping[str, Any]], title: str) -> str:
    """Format rows of :class:`CocoScores` as text, in percent; ``-`` if the truth has no object.

    Example:
        >>> row = {"class": "cat", "objects": 2, "AP": 0.5, "AP50": 0.75, "AP75": -1.0, "AR": 0.5}
        >>> "75.0" in class_table([row], "AP by class")
        True
    """
    from rich.console import Console
    from rich.table import Table

    table = Table("class", title=title)
    for column in ("objects", "AP", "AP50", "AP75", "AR"):
        table.add_column(column, justify="right")
    for row in rows:
        values = ("-" if row[key] < 0 else f"{100 * row[key]:.1f}" for key in ("AP", "AP50", "AP75", "AR"))
        table.add_row(str(row["class"]), str(row["objects"]), *values)
    page = io.StringIO()
    Console(file=page, width=100).print(table)
    return "\n" + page.getvalue()
