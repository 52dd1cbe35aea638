"""What the checks of cards need to know about each task: predictions drawn from the truth, and scores to count.

One row per task, as in :mod:`visionzoo.inference.tasks`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from visionzoo.cards.seeding import seeded_array
from visionzoo.datasets.transforms.counting import LoadRoi
from visionzoo.datasets.transforms.masks import read_grey
from visionzoo.errors import UnknownName
from visionzoo.ops.density_maps import count_map


@dataclass(frozen=True)
class TaskChecks:
    """One row of the table.

    Attributes:
        shaken: (what the data set says of a sample, its index, seed, number of classes) to a sample, as the metric
            takes it, whose predictions are the truth, shaken and sometimes wrong.
        scores: predicted samples to all their scores, (n,).
        options: the config's model to options that let every score pass.
    """

    shaken: Callable[[Mapping[str, Any], int, int, int], dict[str, Any]]
    scores: Callable[[Sequence[Any]], Tensor]
    options: Callable[[Mapping[str, Any]], list[str]]


def task_checks(task: str) -> TaskChecks:
    """The row of ``task``.

    Raises:
        UnknownName: the task has none.
    """
    if task not in TASKS:
        raise UnknownName(task, kind="task", known=TASKS)
    return TASKS[task]


# --------------------------------------------------------------------------- boxes and masks


def _shaken_boxes(image: Mapping[str, Any], index: int, seed: int, classes: int) -> dict[str, Any]:
    """A sample whose predictions are the image's objects, moved a little and sometimes mislabelled."""
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
    """The pixels of one object, two further right: polygons or run lengths to bool, (H, W)."""
    from pycocotools import mask as masks

    height, width = image["height"], image["width"]
    runs = masks.merge(masks.frPyObjects(outline, height, width)) if isinstance(outline, list) else outline
    return np.roll(masks.decode(runs), 2, axis=1).astype(bool)


def _box_scores(samples: Sequence[Any]) -> Tensor:
    return torch.cat([sample.pred_instances.scores for sample in samples])


def _every_box(model: Mapping[str, Any]) -> list[str]:
    """So that suppression has work to do."""
    path = "model.test_cfg.rcnn.score_thr" if "rcnn" in model["test_cfg"] else "model.test_cfg.score_thr"
    return [f"{path}=0.0"]


# --------------------------------------------------------------------------- classes


def _shaken_class(image: Mapping[str, Any], index: int, seed: int, classes: int) -> dict[str, Any]:
    """The right class leads by as much as the noise of the others, so that it is not always found."""
    score = seeded_array(seed, f"scores {index}", (classes,))
    score[image["gt_label"]] += 1.5
    return {"gt_label": image["gt_label"], "pred_score": score}


def _class_scores(samples: Sequence[Any]) -> Tensor:
    return torch.stack([sample.pred_score.max() for sample in samples])


# --------------------------------------------------------------------------- maps


def _shaken_map(image: Mapping[str, Any], index: int, seed: int, classes: int) -> dict[str, Any]:
    """The mask two pixels further right, paler, with noise, and in every fourth image inside out."""
    truth = read_grey(image["gt_path"])
    found = 0.2 + 0.6 * np.roll(truth, 2, axis=1) / 255
    noisy = (1 - found if index % 4 == 3 else found) + 0.1 * seeded_array(seed, f"map {index}", truth.shape)
    return {"img_path": image["img_path"], "gt_map": truth, "pred_map": np.clip(noisy, 0, 1).astype(np.float32)}


def _map_scores(samples: Sequence[Any]) -> Tensor:
    return torch.stack([sample.pred_map.mean() for sample in samples])


# --------------------------------------------------------------------------- maps of groups

# More than any drawn group has, and a multiple of 4, so that in every group the fourth image is wrong.
_OF_A_GROUP = 1000


def _shaken_group(image: Mapping[str, Any], index: int, seed: int, classes: int) -> dict[str, Any]:
    """The images of a group as those of saliency are shaken, each with noise of its own."""
    files = [{"img_path": img, "gt_path": gt} for img, gt in zip(image["img_path"], image["gt_path"], strict=True)]
    first = _OF_A_GROUP * index
    images = [_shaken_map(each, number, seed, classes) for number, each in enumerate(files, start=first)]
    return {"group": image["group"], **{key: [each[key] for each in images] for key in images[0]}}


def _group_scores(samples: Sequence[Any]) -> Tensor:
    return torch.stack([found.mean() for sample in samples for found in sample.pred_map])


# --------------------------------------------------------------------------- lanes

_LANE_SHIFT = 0.006  # of the image's width; lanes count as found up to about as much
_OF_LANES = ("img_path", "gt_lanes", "gt_x", "h_samples", "scenario")


def _shaken_lanes(image: Mapping[str, Any], index: int, seed: int, classes: int) -> dict[str, Any]:
    """Lanes moved to the side, now and then one lost; an image without lanes gets one."""
    width, height = _size_of(image["img_path"])
    lanes = [lane for lane in image["gt_lanes"] if len(lane) >= 2]
    lost = seeded_array(seed, f"lost lanes {index}", (len(lanes),)) > 1
    shifts = _LANE_SHIFT * width * seeded_array(seed, f"lanes {index}", (len(lanes),)).astype(np.float64)
    moved = [lane + np.array([shift, 0.0]) for lane, shift, gone in zip(lanes, shifts, lost, strict=True) if not gone]
    wrong = [] if lanes else [np.array([[0.4 * width, 0.9 * height], [0.5 * width, 0.5 * height]])]
    truth = {key: image[key] for key in _OF_LANES if key in image}
    return {**truth, "ori_shape": (height, width), "pred_lanes": moved + wrong}


def _size_of(path: str) -> tuple[int, int]:
    """(width, height)."""
    with Image.open(path) as image:
        return image.size


def _lane_scores(samples: Sequence[Any]) -> Tensor:
    return torch.cat([sample.pred_exist for sample in samples])


def _every_lane(model: Mapping[str, Any]) -> list[str]:
    """Every lane with all its points."""
    rows = {**(model["head"].get("rows") or {}), "threshold": 0.0}
    return ["model.head.exist_threshold=0.0", f"model.head.rows={rows}"]


# --------------------------------------------------------------------------- counts


def _shaken_count(image: Mapping[str, Any], index: int, seed: int, classes: int) -> dict[str, Any]:
    """Everybody two pixels further right, and all of them times a number around 1."""
    shape = _size_of(image["img_path"])[::-1]
    factor = 1 + 0.2 * float(seeded_array(seed, f"count {index}", (1,))[0])
    density = factor * np.roll(count_map(image["gt_points"], shape), 2, axis=1)
    sample = {**image, "ori_shape": shape, "pred_density": density, "pred_count": float(density.sum())}
    return LoadRoi()(sample) if "roi_path" in image else sample


def _counts(samples: Sequence[Any]) -> Tensor:
    return torch.stack([sample.pred_count for sample in samples])


_BOXES = TaskChecks(shaken=_shaken_boxes, scores=_box_scores, options=_every_box)
_CLASSES = TaskChecks(shaken=_shaken_class, scores=_class_scores, options=lambda model: [])
_MAPS = TaskChecks(shaken=_shaken_map, scores=_map_scores, options=lambda model: [])
_GROUPS = TaskChecks(shaken=_shaken_group, scores=_group_scores, options=lambda model: [])
_LANES = TaskChecks(shaken=_shaken_lanes, scores=_lane_scores, options=_every_lane)
_COUNTS = TaskChecks(shaken=_shaken_count, scores=_counts, options=lambda model: [])

TASKS = {
    "classification": _CLASSES,
    "co_saliency": _GROUPS,
    "counting": _COUNTS,
    "detection": _BOXES,
    "instances": _BOXES,
    "lanes": _LANES,
    "saliency": _MAPS,
}
