"""Co-saliency: one map for each image of a group. It shows the object that all images of the group share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from visionzoo.datasets.issues import Examined, Issue
from visionzoo.errors import DataError
from visionzoo.structures.graph_results import Frame, GraphSample, resized_by_corners
from visionzoo.structures.image_size import size_of_file
from visionzoo.tasks.inputs.images import ImageGroup
from visionzoo.tasks.saliency import Saliency, examined_mask, shaken_map

if TYPE_CHECKING:
    from torch import Tensor

    from visionzoo.structures.task_sample import TaskSample

# More images than any drawn group has. A multiple of 4, so that every fourth image of each group is inverted.
_OF_A_GROUP = 1000


class CoSaliency(Saliency):
    """Task of finding the common object in a group of images. Each image has its own :class:`SaliencyMap`."""

    inputs = ImageGroup()
    protocol = "gconet"
    save_best = {"sal/Smeasure": "greater", "sal/Fmeasure_max": "greater", "sal/MAE": "less"}
    error_text = "the mean absolute error of the maps of the group, from 0 to 1"

    def members(self, sample: Any) -> list[TaskSample | GraphSample]:
        known = {key: sample.get(key) for key in ("pred_map", "gt_map") if sample.get(key) is not None}
        maps = [values if isinstance(values, list) else [values] for values in known.values()]
        return [_sample(sample, dict(zip(known, each, strict=True))) for each in zip(*maps, strict=True)]

    def of_graph(self, outputs: Mapping[str, np.ndarray], frame: Frame) -> GraphSample:
        """Return the sample of one image of a group; corners are aligned, as in the head."""
        inside = frame.without_padding(outputs["map"])
        return GraphSample(pred_map=resized_by_corners(inside, frame.original)[0].clip(0, 1))

    def shaken(self, sample: Mapping[str, Any], index: int, seed: int, classes: int) -> dict[str, Any]:
        """Apply :func:`shaken_map` to each image of the group, with different noise for each image."""
        files = [
            {"img_path": img, "gt_path": gt} for img, gt in zip(sample["img_path"], sample["gt_path"], strict=True)
        ]
        first = _OF_A_GROUP * index
        images = [shaken_map(each, number, seed) for number, each in enumerate(files, start=first)]
        return {"group": sample["group"], **{key: [each[key] for each in images] for key in images[0]}}

    def examined(
        self, record: Mapping[str, Any], size: tuple[int, int] | None, names: Sequence[str] | None
    ) -> Examined:
        """Examine the mask of each image of a group; ``size`` is not used."""
        images = record["img_path"]
        masks = record.get("gt_path") or [None] * len(images)
        issues: list[Issue] = []
        for image, mask in zip(images, masks, strict=True):
            try:
                size = size_of_file(image)
            except DataError:  # the check of the images states it
                size = None
            issues += examined_mask(mask, image, size).issues
        if len(images) < 2:
            place = f"group {record['group']}"
            issues.append(Issue("groups of one image", place, f"{images[0]}", "add images of the same object"))
        return Examined(issues, has_truth=None if None in masks else True)

    def scores(self, samples: Sequence[Any]) -> Tensor:
        import torch

        return torch.stack([each.mean() for sample in samples for each in sample.pred_map])


def _sample(group: Any, values: dict[str, Any]) -> TaskSample | GraphSample:
    """Return a sample of one image, of the kind of its group."""
    if isinstance(group, GraphSample):
        return GraphSample(values)
    from visionzoo.structures.task_sample import TaskSample  # imports torch

    return TaskSample(**values)
