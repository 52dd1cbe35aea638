"""Images with the truth of one task each: a class, or boxes."""

from __future__ import annotations

from typing import Any

import torch
from mmdet.structures import DetDataSample
from mmengine.dataset import BaseDataset
from mmengine.structures import InstanceData

from visionzoo.registry import DATASETS
from visionzoo.structures.task_sample import TaskSample

SIZES = ((40, 51), (33, 64), (47, 40))


@DATASETS.register_module()
class OneTask(BaseDataset):
    """Six seeded images of odd sizes.

    Args:
        task: ``classification`` or ``detection``.
        named: True if the samples name their task, for a model of several heads.
    """

    def __init__(self, task: str, named: bool = True, **kwargs: Any):
        self.task, self.named = task, named
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict]:
        return [{"number": index} for index in range(6)]

    def __getitem__(self, index: int) -> dict:
        draw = torch.Generator().manual_seed(index)
        height, width = SIZES[index % len(SIZES)]
        image = torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=draw)
        meta = {"img_path": f"{index}.png", "img_shape": (height, width), "ori_shape": (height, width)}
        meta |= {"task": self.task} if self.named else {}
        if self.task == "classification":
            sample: Any = TaskSample(metainfo=meta)
            sample.gt_label = torch.tensor(index % 3)
            return {"inputs": image, "data_samples": sample}
        count = index % 3  # some images have no object
        sample = DetDataSample(metainfo=meta)
        boxes = torch.tensor([[4.0, 4.0, 30.0, 28.0]]).repeat(count, 1) + 3.0 * torch.arange(count)[:, None]
        sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.arange(count) % 2)
        return {"inputs": image, "data_samples": sample}
