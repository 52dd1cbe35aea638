"""Objects of an image, among which a phrase means one: annotated ones, and those that a detector found."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.structures import InstanceData

from visionzoo.datasets.coco_annotations import in_order, segmentation_problem
from visionzoo.datasets.findings import Findings, shown
from visionzoo.datasets.json_objects import read_json_value
from visionzoo.datasets.referring.segments import mask_sum, problem_of
from visionzoo.errors import DataError
from visionzoo.structures.mask_boxes import box_of_mask

_WHAT = "results in COCO's format: a list of objects with image_id, category_id, segmentation and score"
_MADE_BY = "write it with `visionzoo infer` and an instance segmenter, or with the evaluation of COCO"

# Objects of a results file that are used: scores from the first number on, and as many of an image as the second one.
LEAST_SCORE, MOST_OBJECTS = 0.05, 20

Object = dict[str, Any]  # segmentation, label, score, and box (xyxy in pixels) or None


def objects_by_image(
    record: Mapping[str, Any], image_ids: Collection[Any], findings: Findings
) -> dict[Any, list[Object]]:
    """Return the annotated objects of images, except crowds. Objects without a valid mask are left out, and noted.

    Args:
        record: content of a COCO annotation file.
        image_ids: ids of the images.
        findings: receives the note.

    Returns:
        By image id, objects with ``segmentation``, ``box``, ``label``, the index of the class among the sorted category
        ids, and ``score``, 1.
    """
    sizes = {image["id"]: (image["height"], image["width"]) for image in record["images"]}
    labels = {number: label for label, number in enumerate(in_order(each["id"] for each in record["categories"]))}
    objects: dict[Any, list[Object]] = {image_id: [] for image_id in image_ids}
    for annotation in record["annotations"]:
        image_id = annotation["image_id"]
        if image_id not in objects or annotation.get("iscrowd"):
            continue
        segmentation = annotation.get("segmentation")
        problem = problem_of(segmentation, sizes[image_id])
        findings.note("objects without a valid mask, not used as proposals", bool(problem))
        if not problem:
            label = labels.get(annotation["category_id"], -1)
            box = _corners(annotation["bbox"])
            objects[image_id].append({"segmentation": segmentation, "box": box, "label": label, "score": 1.0})
    return objects


def read_results(
    path: Path, category_ids: Sequence[int], *, score_threshold: float, most: int
) -> dict[Any, list[Object]]:
    """Read the objects of a results file of COCO by image id, the best first.

    Args:
        path: the file.
        category_ids: category id of each label. Other ids have the label -1.
        score_threshold: least score of an object.
        most: largest number of objects of an image.

    Raises:
        DataError: the file cannot be read, or has entries of another form.

    Example:
        >>> import json, tempfile
        >>> entry = dict(image_id=7, category_id=3, segmentation=[[0, 0, 4, 0, 4, 4]], bbox=[0, 0, 4, 4], score=0.9)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "results.json")
        ...     _ = path.write_text(json.dumps([entry]))
        ...     read_results(path, [1, 3], score_threshold=0.05, most=20)[7][0]["label"]
        1
    """
    entries = read_json_value(path, _WHAT, _MADE_BY)
    if not isinstance(entries, list):
        found = "an annotation file" if isinstance(entries, dict) and "annotations" in entries else shown(entries)
        advice = "set objects=True of ReferDataset for annotated objects" if found == "an annotation file" else _MADE_BY
        raise DataError(path, expected=_WHAT, found=found, advice=advice)
    labels = {number: label for label, number in enumerate(category_ids)}
    by_image: dict[Any, list[Object]] = {}
    with Findings(path, expected=_WHAT, advice=_MADE_BY) as findings:
        for number, entry in enumerate(entries):
            if _is_result(entry, f"entry {number}", findings) and entry["score"] >= score_threshold:
                box = None if entry.get("bbox") is None else _corners(entry["bbox"])
                label = labels.get(entry["category_id"], -1)
                kept = {"segmentation": entry["segmentation"], "box": box, "label": label, "score": entry["score"]}
                by_image.setdefault(entry["image_id"], []).append(kept)
    return {image: sorted(found, key=lambda each: -each["score"])[:most] for image, found in by_image.items()}


def _is_result(entry: Any, place: str, findings: Findings) -> bool:
    """Return True for an entry of the right form; report another one."""
    if not isinstance(entry, dict):
        findings.wrong(place, "entry", expected="an object", found=shown(entry))
        return False
    score, box = entry.get("score", -1), entry.get("bbox")
    problem = segmentation_problem(entry.get("segmentation"), (None, None))
    checks = (
        ("image_id", "a number or a name", isinstance(entry.get("image_id"), int | str)),
        ("category_id", "a number", isinstance(entry.get("category_id"), int)),
        ("score", "a number from 0 to 1", _is_number(score) and 0 <= score <= 1),
        ("bbox", "x, y, width and height", box is None or _is_box(box)),
    )
    wrong = [(field, expected) for field, expected, holds in checks if not holds]
    for field, expected in wrong:
        findings.wrong(place, field, expected=expected, found=shown(entry.get(field)))
    if problem:
        findings.wrong(place, "segmentation", expected="polygons or an RLE", found=problem)
    return not wrong and not problem


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_box(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(map(_is_number, value))


def _corners(box: Sequence[float]) -> list[float]:
    x, y, width, height = box
    return [x, y, x + width, y + height]


def proposals_of_objects(
    objects: Sequence[Object], size: Sequence[int], inner: Sequence[int], where: object
) -> InstanceData:
    """Return objects as the proposals that heads read.

    Args:
        objects: the objects, in pixels of the original image.
        size: (H, W) of the original image.
        inner: (H, W) of the image after resizing.
        where: the image in messages.

    Returns:
        ``boxes`` (K, 4) float, xyxy in pixels of the resized image, ``masks`` (K, H, W) bool of the original image,
        ``labels`` (K,) int64 and ``scores`` (K,) float.

    Raises:
        DataError: the mask of an object does not fit the image.

    Example:
        >>> square = {"segmentation": [[0, 0, 2, 0, 2, 2, 0, 2]], "box": None, "label": 0, "score": 1.0}
        >>> proposals_of_objects([square], (4, 6), (8, 12), "a.jpg").boxes.tolist()
        [[0.0, 0.0, 4.0, 4.0]]
    """
    masks = np.zeros((len(objects), *size), bool)
    for mask, each in zip(masks, objects):
        problem = problem_of(each["segmentation"], size)
        if problem:
            raise DataError(where, expected="proposals in the image", found=problem, advice="make them for these files")
        mask[:] = mask_sum(each["segmentation"], size) > 0
    boxes = [each["box"] or box_of_mask(mask) or [0, 0, 0, 0] for mask, each in zip(masks, objects)]
    scale = torch.tensor([inner[1] / size[1], inner[0] / size[0]]).repeat(2)
    return InstanceData(
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4) * scale,
        masks=torch.from_numpy(masks),
        labels=torch.tensor([each["label"] for each in objects], dtype=torch.long),
        scores=torch.tensor([each["score"] for each in objects], dtype=torch.float32),
    )
