"""Average precision of boxes and masks by the official COCO protocol.

The numbers are those of pycocotools. faster-coco-eval computes the same numbers in less time and is used if it is
installed. Protocol: https://cocodataset.org/#detection-eval
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from visionzoo.datasets.coco_annotations import completed, in_order
from visionzoo.errors import ConfigError, DataError, require_known
from visionzoo.metrics.coco.boundaries import boundary_evaluation
from visionzoo.metrics.means import exact_mean

IOU_TYPES = ("bbox", "segm", "boundary")
SIZES_OF = ("mask", "box")
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
    size_of: str = "mask",
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
        size_of=size_of,
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
    size_of: str = "mask",
) -> CocoScores:
    """Compare detections with the truth. Neither is changed.

    Ids of images, categories and annotations are only labels: any hashable values, such as 0 or text. The numbers are
    those of pycocotools for ids from 1 in the same order. As in pycocotools, the order of the images matters for
    detections of equal score, and the order of objects of one image for objects that overlap a detection equally.

    Args:
        truth: content of an ``instances`` json.
        detections: dicts with ``image_id``, ``category_id``, ``score`` and ``bbox`` ([x, y, width, height], pixels) or
            ``segmentation`` (RLE), as in COCO's result files. Without any detection the numbers are 0.
        iou_type: ``bbox``; ``segm``; or ``boundary``, masks compared by the smaller of mask IoU and boundary IoU.
        image_ids: images that count, also those without detections. Default: all of the truth.
        category_ids: classes that count. Default: all of the truth.
        backend: ``faster``, ``pycocotools``, or ``auto`` for the first of the two that is installed.
        iou_thrs: further IoU thresholds in (0, 1]. Each adds a number such as ``mAP_70`` for 0.7, equal to what
            pycocotools computes if ``params.iouThrs`` has only this value. The official numbers do not change.
        size_of: what makes a detection with a mask small, medium or large: the area of the ``mask``, or that of its
            ``box`` if it has one, as if pycocotools read the detections from a file.

    Returns:
        The numbers of the data set and of each class.

    Raises:
        ConfigError: a threshold is outside (0, 1], or the backend is not installed.
        UnknownName: ``iou_type``, ``backend`` or ``size_of`` is not one of the above.
        DataError: a detection belongs to an image that the truth lacks, or has no box or mask.

    Example:
        >>> box = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 8, 8]}
        >>> truth = {"images": [{"id": 1}], "categories": [{"id": 1, "name": "cat"}]}
        >>> truth["annotations"] = [{**box, "id": 1, "area": 64, "iscrowd": 0}]
        >>> score_detections(truth, [{**box, "score": 0.9}]).per_class[0]["objects"]
        1
    """
    require_known(iou_type, IOU_TYPES, "iou_type of COCO AP")
    require_known(size_of, SIZES_OF, "size_of of COCO AP")
    require_ious(iou_thrs)
    api = Backend.choose(backend)
    ids = _Numbers.of(truth)
    images, categories = ids.sections(truth)
    truth_index = api.index(images=images, categories=categories, annotations=ids.annotations(truth))
    results = _result_annotations(detections, iou_type, ids, size_of)
    result_index = api.index(images=images, categories=categories, annotations=results)
    evaluation = api.evaluate(truth_index, result_index, iou_type)
    _restrict(evaluation, ids, image_ids, category_ids)
    with contextlib.redirect_stdout(io.StringIO()):
        further = _run(evaluation, iou_thrs)
    return CocoScores(_official(evaluation) | further, _per_class(evaluation, truth_index))


def _restrict(
    evaluation: Any, ids: _Numbers, image_ids: Sequence[Any] | None, category_ids: Sequence[Any] | None
) -> None:
    """Let only these images and classes count; None for all."""
    if image_ids is not None:
        evaluation.params.imgIds = sorted({ids.images[image_id] for image_id in image_ids})
    if category_ids is not None:
        evaluation.params.catIds = sorted({ids.categories[category_id] for category_id in category_ids})


@dataclass(frozen=True)
class _Numbers:
    """Numbers from 1 that replace the ids of a file, in the order of the ids.

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
        """Return ``image_id`` and ``category_id`` of an annotation or a detection as numbers.

        Raises:
            DataError: the file has no such image or category.
        """
        return {
            "image_id": _number_of(entry["image_id"], self.images, "image"),
            "category_id": _number_of(entry["category_id"], self.categories, "category"),
        }


def _number_of(key: Any, numbers: Mapping[Any, int], kind: str) -> int:
    if key not in numbers:
        raise DataError(
            "detections",
            expected=f"each {kind} to be in the annotation file",
            found=f"{kind} {key!r}",
            advice="use the annotation file of this data set",
        )
    return numbers[key]


def _in_order(entries: Iterable[Mapping[str, Any]]) -> list[Any]:
    return in_order(entry["id"] for entry in entries)


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
    return {number_at(iou): _mean(row) for iou, row in zip(iou_thrs, rows, strict=True)}


def number_at(iou: float) -> str:
    """Return the name of the AP at one IoU threshold.

    Example:
        >>> number_at(0.7)
        'mAP_70'
    """
    return f"mAP_{100 * iou:g}"


def _official(evaluation: Any) -> dict[str, float]:
    """Return the numbers of ``summarize``, by sums that do not depend on the order of the classes.

    The last two axes are area range (all, small, medium, large) and detections per image (1, 10, 100).
    """
    precision, recall = evaluation.eval["precision"], evaluation.eval["recall"]
    precisions = [precision[..., 0, -1], precision[0, ..., 0, -1], precision[5, ..., 0, -1]]
    precisions += [precision[..., area, -1] for area in (1, 2, 3)]
    recalls = [recall[..., 0, most] for most in (0, 1, 2)] + [recall[..., area, -1] for area in (1, 2, 3)]
    return {name: _mean(values) for name, values in zip(NUMBERS, precisions + recalls, strict=True)}


class Backend:
    """Classes of one implementation, by names that both implementations share."""

    def __init__(self, coco: Any, evaluation: Any):
        self.coco, self.evaluation = coco, evaluation

    @classmethod
    def choose(cls, backend: str) -> Backend:
        """Import the implementation that ``backend`` names.

        Raises:
            ConfigError: the implementation is not installed.
            UnknownName: no implementation has this name.
        """
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

    def evaluate(self, truth: Any, results: Any, iou_type: str) -> Any:
        """Prepare an evaluation of two indices.

        Args:
            truth, results: see :meth:`index`.
            iou_type: see :func:`score_detections`.
        """
        if iou_type != "boundary":
            return self.evaluation(truth, results, iou_type)
        return boundary_evaluation(self.evaluation, truth, results, self.index)

    def index(self, **sections: Any) -> Any:
        """Build lookup tables of a COCO record, without the output that pycocotools prints."""
        index = self.coco()
        index.dataset = sections
        with contextlib.redirect_stdout(io.StringIO()):
            index.createIndex()
        return index


def require_ious(values: Sequence[float]) -> None:
    """Raise ConfigError unless all IoU thresholds are numbers in (0, 1]."""
    if not isinstance(values, Sequence) or not all(isinstance(each, int | float) and 0 < each <= 1 for each in values):
        raise ConfigError(
            "CocoMetric",
            expected="iou_thrs, a list of numbers in (0, 1]",
            found=f"{values}",
            advice="write [0.7] for 70 %",
        )


def _result_annotations(detections: Iterable[Mapping], iou_type: str, ids: _Numbers, size_of: str) -> list[dict]:
    """Return detections with the fields that pycocotools' ``loadRes`` adds: id, area and iscrowd."""
    region = "bbox" if iou_type == "bbox" else "segmentation"
    results = []
    for number, found in enumerate(detections, start=1):
        place = ids.place_of(found)
        if region not in found:
            raise DataError("detections", expected=f"{region} in each one for {iou_type} AP", found="one without it")
        area = _area_of(found, region if size_of == "mask" or not found.get("bbox") else "bbox")
        results.append(
            {"id": number, **place, "score": found["score"], "iscrowd": 0, region: found[region], "area": area}
        )
    return results


def _area_of(found: Mapping[str, Any], region: str) -> float:
    """Return the area of a detection by its box or its mask.

    Masks are measured one at a time, because the list form of pycocotools overflows after 255 masks.
    """
    if region == "bbox":
        return found["bbox"][2] * found["bbox"][3]
    from pycocotools import mask as masks

    return int(masks.area(found["segmentation"]))


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
    return exact_mean(defined.tolist()) if defined.size else -1.0
