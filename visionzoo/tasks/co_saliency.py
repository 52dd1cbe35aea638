"""Co-saliency: one map for each image of a group. It shows the object that all images of the group share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from visionzoo.tasks.inputs.images import ImageGroup
from visionzoo.tasks.saliency import Saliency, shaken_map

if TYPE_CHECKING:
    from torch import Tensor

    from visionzoo.structures.task_sample import TaskSample

# More images than any drawn group has. A multiple of 4, so that every fourth image of each group is inverted.
_OF_A_GROUP = 1000


class CoSaliency(Saliency):
    """Task of finding the common object in a group of images. Each image has its own :class:`SaliencyMap`."""

    inputs = ImageGroup()
    save_best = {"sal/Smeasure": "greater", "sal/Fmeasure_max": "greater", "sal/MAE": "less"}

    def members(self, sample: Any) -> list[TaskSample]:
        from visionzoo.structures.task_sample import TaskSample  # imports torch

        maps = sample.pred_map if isinstance(sample.pred_map, list) else [sample.pred_map]
        return [TaskSample(pred_map=each) for each in maps]

    def shaken(self, sample: Mapping[str, Any], index: int, seed: int, classes: int) -> dict[str, Any]:
        """Apply :func:`shaken_map` to each image of the group, with different noise for each image."""
        files = [
            {"img_path": img, "gt_path": gt} for img, gt in zip(sample["img_path"], sample["gt_path"], strict=True)
        ]
        first = _OF_A_GROUP * index
        images = [shaken_map(each, number, seed) for number, each in enumerate(files, start=first)]
        return {"group": sample["group"], **{key: [each[key] for each in images] for key in images[0]}}

    def scores(self, samples: Sequence[Any]) -> Tensor:
        import torch

        return torch.stack([each.mean() for sample in samples for each in sample.pred_map])
