"""Average precision of boxes and masks by the official COCO protocol.

The numbers are those of pycocotools. faster-coco-eval computes the same numbers in less time and is used if it is
installed. Protocol: https://cocodataset.org/#detection-eval
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from visionzoo.errors import ConfigError, DataError, require_known
from visionzoo.registry import METRICS
from visionzoo.structures.arrays import as_array
from visionzoo.structures.coco_annotations import completed, require_segmentations

IOU_TYPES = ("bbox", "segm")
BACKENDS = ("auto", "faster", "pycocotools")

# In the order in which pycocotools reports them.
_PRECISIONS = ("mAP", "mAP_50", "mAP_75", "mAP_s", "mAP_m", "mAP_l")  # mAP: mean over IoU 0.50:0.05:0.95
_RECALLS = ("AR_1", "AR_10", "AR_100", "AR_s", "AR_m", "AR_l")  # AR_10: at most 10 detections per image
NUMBERS = _PRECISIONS + _RECALLS


@dataclass(frozen=True)
class CocoScores:
    """Result of one evaluation.

    Attributes:
        numbers: the twelve official numbers by the names of ``NUMBERS``, then those of ``iou_thrs``. Each is in
            [0, 1], or -1 if the truth has no object that counts (for example no small one).
        per_class: one row for each class with ``class``, ``objects`` (without crowds), ``AP``, ``AP50``, ``AP75`` and
            ``AR``; values as above.
    """

    numbers: dict[str, float]
    per_class: list[dict[str, Any]]


def coco_ap(
    truth: Mapping[str, Any],
    detections: Iterable[Mapping[str, Any]],
    iou_type: str = "bbox",
    *,
    image_ids: Sequence[int] | None = None,
    category_ids: Sequence[int] | None = None,
    backend: str = "auto",
    iou_thrs: Sequence[float] = (),
) -> dict[str, float]:
    """Compute the twelve official numbers. :func:`score_detections` also returns numbers for each class.

    The arguments and errors are those of :func:`score_detections`.

    Returns:
        :attr:`CocoScores.numbers`.

    Example:
        >>> box = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 8, 8]}
        >>> truth = {"images": [{"id": 1}], "categories": [{"id": 1, "name": "cat"}]}
        >>> truth["annotations"] = [{**box, "id": 1, "area": 64, "iscrowd": 0}]
        >>> round(coco_ap(truth, [{**box, "score": 0.9}])["mAP"], 3)
        1.0
    """
    scores = score_detections(
        truth,
        detections,
        iou_type,
        image_ids=image_ids,
        category_ids=category_ids,
        backend=backend,
        iou_thrs=iou_thrs,
    )
    return scores.numbers


def score_detections(
    truth: Mapping[str, Any],
    detections: Iterable[Mapping[str, Any]],
    iou_type: str = "bbox",
    *,
    image_ids: Sequence[int] | None = None,
    category_ids: Sequence[int] | None = None,
    backend: str = "auto",
    iou_thrs: Sequence[float] = (),
) -> CocoScores:
    """Compare detections with the truth. Neither is changed.

    Ids of images, categories and annotations are only labels: any hashable values, such as 0 or text. The numbers are
    those of pycocotools for ids from 1 in the same order. Their order matters only for detections of equal score.

    Args:
        truth: content of an ``instances`` json.
        detections: dicts with ``image_id``, ``category_id``, ``score`` and ``bbox`` ([x, y, width, height], pixels) or
            ``segmentation`` (RLE), as in COCO's result files. Without any detection the numbers are 0. The size of a
            mask is its own area, not that of ``bbox``.
        iou_type: ``bbox`` or ``segm``.
        image_ids: images that count, also those without detections. Default: all of the truth.
        category_ids: classes that count. Default: all of the truth.
        backend: ``faster``, ``pycocotools``, or ``auto`` for the first of the two that is installed.
        iou_thrs: further IoU thresholds in (0, 1]. Each adds a number such as ``mAP_70`` for 0.7, equal to what
            pycocotools computes if ``params.iouThrs`` has only this value. The official numbers do not change.

    Returns:
        The numbers of the data set and of each class.

    Raises:
        ConfigError: a threshold is outside (0, 1], or the backend is not installed.
        UnknownName: ``iou_type`` or ``backend`` is not one of the above.
        DataError: a detection belongs to an image that the truth lacks, or has no box or mask.

    Example:
        >>> box = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 8, 8]}
        >>> truth = {"images": [{"id": 1}], "categories": [{"id": 1, "name": "cat"}]}
        >>> truth["annotations"] = [{**box, "id": 1, "area": 64, "iscrowd": 0}]
        >>> score_detections(truth, [{**box, "score": 0.9}]).per_class[0]["objects"]
        1
    """
    require_known(iou_type, IOU_TYPES, "iou_type of COCO AP")
    _require_ious(iou_thrs)
    api = _Api.choose(backend)
    ids = _Numbers.of(truth)
    images, categories = ids.sections(truth)
    truth_index = api.index(images=images, categories=categories, annotations=ids.annotations(truth))
    results = _result_annotations(detections, iou_type, ids)
    result_index = api.index(images=images, categories=categories, annotations=results)
    evaluation = api.evaluation(truth_index, result_index, iou_type)
    if image_ids is not None:
        evaluation.params.imgIds = sorted({ids.images[image_id] for image_id in image_ids})
    if category_ids is not None:
        evaluation.params.catIds = sorted({ids.categories[category_id] for category_id in category_ids})
    with contextlib.redirect_stdout(io.StringIO()):
        further = _run(evaluation, iou_thrs)
    numbers = {name: float(value) for name, value in zip(NUMBERS, evaluation.stats)}
    return CocoScores(numbers | further, _per_class(evaluation, truth_index))


@dataclass(frozen=True)
class _Numbers:
    """Numbers from 1 in place of the ids of a file, in the order of the ids.

    The evaluators accept only whole numbers, and annotation 0 means "no match" to them.
    """

    images: dict[Any, int]
    categories: dict[Any, int]

    @classmethod
    def of(cls, truth: Mapping[str, Any]) -> _Numbers:
        return cls(*({key: n for n, key in enumerate(_in_order(truth[part]), 1)} for part in ("images", "categories")))

    def sections(self, truth: Mapping[str, Any]) -> tuple[list[dict], list[dict]]:
        """Return images and categories with their numbers as ids."""
        images = [{**image, "id": self.images[image["id"]]} for image in truth["images"]]
        return images, [{**category, "id": self.categories[category["id"]]} for category in truth["categories"]]

    def annotations(self, truth: Mapping[str, Any]) -> list[dict]:
        """Return the annotations with numbers as ids; a missing or null area or iscrowd is filled in."""
        entries = enumerate(truth["annotations"], start=1)
        return [{**completed(annotation), "id": number, **self.place_of(annotation)} for number, annotation in entries]

    def place_of(self, entry: Mapping[str, Any]) -> dict[str, int]:
        """Return ``image_id`` and ``category_id`` of an annotation or a detection as numbers."""
        return {
            "image_id": self.images[entry["image_id"]],
            "category_id": self.categories[entry["category_id"]],
        }


def _in_order(entries: Iterable[Mapping[str, Any]]) -> list[Any]:
    """Return the ids sorted, or as listed if they cannot be compared."""
    ids = [entry["id"] for entry in entries]
    try:
        return sorted(ids)
    except TypeError:
        return ids


def _run(evaluation: Any, iou_thrs: Sequence[float]) -> dict[str, float]:
    """Evaluate once with the further IoU thresholds after the official ones. Summaries use only the official ones."""
    official = evaluation.params.iouThrs
    evaluation.params.iouThrs = np.concatenate([official, iou_thrs])
    evaluation.evaluate()
    evaluation.accumulate()
    rows = evaluation.eval["precision"][len(official) :, :, :, 0, -1]  # all sizes, 100 detections per image
    evaluation.params.iouThrs = official
    for name in ("precision", "recall"):
        evaluation.eval[name] = evaluation.eval[name][: len(official)]
    evaluation.summarize()
    return {f"mAP_{100 * iou:g}": _mean(row) for iou, row in zip(iou_thrs, rows, strict=True)}


class _Api:
    """The classes of one implementation, under names that both implementations share."""

    def __init__(self, coco: Any, evaluation: Any):
        self.coco, self.evaluation = coco, evaluation

    @classmethod
    def choose(cls, backend: str) -> _Api:
        """Import the implementation that ``backend`` names."""
        require_known(backend, BACKENDS, "backend of COCO AP")
        has_faster = find_spec("faster_coco_eval") is not None
        if backend == "faster" and not has_faster:
            raise ConfigError(
                'CocoMetric: backend="faster" needs faster-coco-eval: pip install faster-coco-eval, '
                'or write backend="auto"'
            )
        if backend == "pycocotools" or not has_faster:
            from pycocotools.coco import COCO
            from pycocotools.cocoeval import COCOeval

            return cls(COCO, COCOeval)
        import faster_coco_eval

        return cls(faster_coco_eval.COCO, faster_coco_eval.COCOeval_faster)

    def index(self, **sections: Any) -> Any:
        """Build lookup tables of a COCO record, without the output that pycocotools prints."""
        index = self.coco()
        index.dataset = sections
        with contextlib.redirect_stdout(io.StringIO()):
            index.createIndex()
        return index


def _require_ious(values: Sequence[float]) -> None:
    if not isinstance(values, Sequence) or not all(isinstance(each, int | float) and 0 < each <= 1 for each in values):
        raise ConfigError(
            "CocoMetric",
            expected="iou_thrs, a list of numbers in (0, 1]",
            found=f"{values}",
            advice="write [0.7] for 70 %",
        )


def _result_annotations(detections: Iterable[Mapping], iou_type: str, ids: _Numbers) -> list[dict]:
    """Return detections with the fields that pycocotools' ``loadRes`` adds: id, area and iscrowd."""
    region = "bbox" if iou_type == "bbox" else "segmentation"
    results = []
    for number, found in enumerate(detections, start=1):
        if found["image_id"] not in ids.images:
            raise DataError(
                "detections",
                expected="images of the annotation file",
                found=f"image {found['image_id']!r}",
                advice="use the annotation file of this data set",
            )
        if found["category_id"] not in ids.categories:
            raise DataError(
                "detections",
                expected="categories of the annotation file",
                found=f"category {found['category_id']!r}",
                advice="use the annotation file of this data set",
            )
        if region not in found:
            raise DataError("detections", expected=f"{region} in each one for {iou_type} AP", found="one without it")
        results.append(
            {
                "id": number,
                **ids.place_of(found),
                "score": found["score"],
                "iscrowd": 0,
                region: found[region],
            }
        )
    _add_area(results, region)
    return results


def _add_area(results: list[dict], region: str) -> None:
    if region == "bbox":
        for result in results:
            result["area"] = result["bbox"][2] * result["bbox"][3]
        return
    from pycocotools import mask as masks

    for result in results:  # one at a time: the list form of masks.area overflows after 255 masks
        result["area"] = int(masks.area(result["segmentation"]))


def _per_class(evaluation: Any, truth_index: Any) -> list[dict[str, Any]]:
    """Return a row for each class.

    The axes of ``precision`` are IoU threshold, recall, class, area range and detections per image; ``recall`` lacks
    the second.
    """
    precision, recall = evaluation.eval["precision"], evaluation.eval["recall"]
    images = set(evaluation.params.imgIds)
    objects = dict.fromkeys(evaluation.params.catIds, 0)
    for annotation in truth_index.dataset["annotations"]:
        counts = annotation["image_id"] in images and not annotation.get("iscrowd", 0)
        if counts and annotation["category_id"] in objects:
            objects[annotation["category_id"]] += 1
    return [
        {
            "class": truth_index.cats[category_id]["name"],
            "objects": objects[category_id],
            "AP": _mean(precision[:, :, column, 0, -1]),
            "AP50": _mean(precision[0, :, column, 0, -1]),
            "AP75": _mean(precision[5, :, column, 0, -1]),
            "AR": _mean(recall[:, column, 0, -1]),
        }
        for column, category_id in enumerate(evaluation.params.catIds)
    ]


def _mean(values: np.ndarray) -> float:
    """Return the mean of the defined values; -1 if no value is defined, as in pycocotools."""
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else -1.0


# --- the adapter ---


@METRICS.register_module()
class CocoMetric(BaseMetric):
    """COCO AP of mmdet's data samples: ``pred_instances`` with boxes xyxy in the original image's pixels.

    Numbers are named ``coco/bbox_mAP``, ``coco/bbox_mAP_50``, ``coco/segm_AR_100`` and so on (``NUMBERS``). With
    ``iou_thrs=(0.7,)`` there is also ``coco/bbox_mAP_70``, with ``classwise`` also ``coco/bbox_AP/<class>``. After each
    evaluation ``per_class`` holds ``{iou type: rows}`` of :class:`CocoScores` for reports.
    All processed images count, with or without detections; other images of the annotation file do not.

    Args:
        ann_file: the annotation file. Default: the one that the data set names in ``dataset_meta``.
        metric: ``bbox``, ``segm``, or both in a list.
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

    def __init__(
        self,
        ann_file: str | None = None,
        metric: str | Sequence[str] = "bbox",
        classwise: bool = False,
        backend: str = "auto",
        collect_device: str = "cpu",
        prefix: str | None = None,
        *,
        iou_thrs: Sequence[float] = (),
    ):
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.iou_types = (metric,) if isinstance(metric, str) else tuple(metric)
        for iou_type in self.iou_types:
            require_known(iou_type, IOU_TYPES, "metric of CocoMetric")
        _require_ious(iou_thrs)
        _Api.choose(backend)
        self.ann_file = ann_file
        self.iou_thrs = tuple(iou_thrs)
        self.classwise = classwise
        self.backend = backend
        self.per_class: dict[str, list[dict[str, Any]]] = {}
        self._truth: tuple[str, dict] | None = None

    @property
    def dataset_meta(self) -> dict | None:
        """``metainfo`` of the data set. Setting it checks the masks of the annotation file before the first batch."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict | None) -> None:
        self._dataset_meta = dataset_meta
        if "segm" in self.iou_types and (self.ann_file or (dataset_meta or {}).get("ann_file")):
            self._read_truth()

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Add one batch of samples with predictions, as dicts."""
        self.results += [_compact(sample, with_masks="segm" in self.iou_types) for sample in data_samples]

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Compute the numbers from the results of all processes."""
        truth = self._read_truth()
        by_image = {result["image_id"]: result for result in results}  # several processes may repeat an image
        category_ids = self._category_ids(truth)
        numbers: dict[str, float] = {}
        for iou_type in self.iou_types:
            scores = score_detections(
                truth,
                _as_coco_results(by_image.values(), category_ids, iou_type),
                iou_type,
                image_ids=list(by_image),
                category_ids=category_ids,
                backend=self.backend,
                iou_thrs=self.iou_thrs,
            )
            numbers.update({f"{iou_type}_{name}": value for name, value in scores.numbers.items()})
            self.per_class[iou_type] = scores.per_class
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
            truth = _read_json(Path(path))
            if "segm" in self.iou_types:
                require_segmentations(path, truth, 'CocoMetric has metric="segm"')
            self._truth = path, truth
        return self._truth[1]

    def _category_ids(self, truth: dict) -> list[int]:
        """Return the category id of each label."""
        ids = {category["name"]: category["id"] for category in truth["categories"]}
        classes = (self.dataset_meta or {}).get("classes") or sorted(ids, key=ids.__getitem__)
        for name in classes:
            require_known(name, ids, "class of the annotation file")
        return [ids[name] for name in classes]


def _read_json(path: Path) -> dict:
    try:
        record = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(
            path,
            expected="the annotation file to measure with",
            but=f"{error.strerror}",
            advice="correct the evaluator's ann_file",
        ) from error
    except ValueError as error:
        raise DataError(
            path, expected="COCO annotations", found=f"text that is not JSON ({error})", advice="download it again"
        ) from error
    if not isinstance(record, dict) or not {"images", "annotations", "categories"} <= set(record):
        raise DataError(path, expected="COCO annotations", found="no lists images, annotations and categories")
    return record


def _compact(sample: Mapping[str, Any], with_masks: bool) -> dict[str, Any]:
    """Return the predictions of one image as numpy arrays and RLE."""
    instances = sample["pred_instances"]
    result = {
        "image_id": sample["img_id"],
        "boxes": _array(instances["bboxes"]).reshape(-1, 4),
        "scores": _array(instances["scores"]),
        "labels": _array(instances["labels"]),
    }
    if with_masks:
        if "masks" not in instances:
            raise ConfigError(
                "CocoMetric",
                expected='masks for metric="segm"',
                but="the model predicts only boxes",
                advice='write metric="bbox"',
            )
        result["masks"] = _run_lengths(instances["masks"])
        result["mask_scores"] = _array(instances.get("mask_scores", instances["scores"]))
    return result


def _array(values: Any) -> np.ndarray:
    return as_array(values, np.float64 if _is_real(values) else np.int64)


def _is_real(values: Any) -> bool:
    return "float" in str(getattr(values, "dtype", "float"))


def _run_lengths(masks: Any) -> list[dict]:
    """Return compressed RLE for masks, (N, H, W) bool; RLE dicts are returned unchanged."""
    if isinstance(masks, list | tuple):
        return list(masks)
    from pycocotools import mask as tools

    array = as_array(masks)
    return tools.encode(np.asfortranarray(array.astype(np.uint8).transpose(1, 2, 0))) if len(array) else []


def _as_coco_results(images: Iterable[dict], category_ids: Sequence[int], iou_type: str) -> list[dict]:
    """Convert compact predictions to entries of a COCO result file."""
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
                    "category_id": category_ids[label],
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
