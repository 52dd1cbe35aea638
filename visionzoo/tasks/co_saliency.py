"""Co-saliency: maps of the object that the images of a group share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from visionzoo.structures.task_sample import TaskSample
from visionzoo.tasks.inputs.images import ImageGroup
from visionzoo.tasks.saliency import Saliency, shaken_map

# More than any drawn group has, and a multiple of 4, so that in every group the fourth image is wrong.
_OF_A_GROUP = 1000


class CoSaliency(Saliency):
    """Saliency maps of a group of images."""

    inputs = ImageGroup()
    save_best = {"sal/Smeasure": "greater", "sal/Fmeasure_max": "greater", "sal/MAE": "less"}

    def members(self, sample: Any) -> list[TaskSample]:
        maps = sample.pred_map if isinstance(sample.pred_map, list) else [sample.pred_map]
        return [TaskSample(pred_map=each) for each in maps]

    def shaken(self, sample: Mapping[str, Any], index: int, seed: int, classes: int) -> dict[str, Any]:
        """The images of a group as those of saliency are shaken, each with noise of its own."""
        files = [
            {"img_path": img, "gt_path": gt} for img, gt in zip(sample["img_path"], sample["gt_path"], strict=True)
        ]
        first = _OF_A_GROUP * index
        images = [shaken_map(each, number, seed) for number, each in enumerate(files, start=first)]
        return {"group": sample["group"], **{key: [each[key] for each in images] for key in images[0]}}

    def scores(self, samples: Sequence[Any]) -> Tensor:
        return torch.stack([each.mean() for sample in samples for each in sample.pred_map])
