"""Data sample of the tasks that mmdet and mmseg do not cover."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor


class TaskSample(BaseDataElement):
    """Ground truth, predictions and metainfo of one sample.

    Names of ground truth begin with ``gt_`` and names of predictions with ``pred_``, for example ``gt_label`` and
    ``pred_score``. The docstring of each head lists the names that it reads and writes. Keys of ``metainfo``:

    - ``img_path``: path of the image; None for images in memory.
    - ``ori_shape``, ``img_shape``: (H, W) in pixels of the original image and of the image after the pipeline.
    - ``pad_shape``, ``batch_input_shape``: (H, W) after padding; the preprocessor sets both.
    - ``group_size``: images of this sample on the batch axis: 1, or more for a group, a pair or several crops.
    - ``task``: the only head that receives the sample, of a model with several heads; none for all heads.
    - ``heads``: names of the heads that predict the sample; none for all heads.
    - ``phrase``: description of the object that a referring model must find.

    Example:
        >>> sample = TaskSample(metainfo=dict(img_path="a.png", group_size=2))
        >>> sample.set_data(dict(gt_label=torch.tensor(1)))
        >>> sample.gt_label, sample.img_path
        (tensor(1), 'a.png')
    """


def sample_of_task(sample: BaseDataElement, task: str) -> BaseDataElement:
    """Return the predictions for one task: the field that a model of several heads writes, or the whole sample.

    Example:
        >>> both = TaskSample(lanes=TaskSample(pred_scores=[0.5]), counting=TaskSample(pred_count=3))
        >>> sample_of_task(both, "counting").pred_count
        3
        >>> sample_of_task(both.lanes, "lanes").pred_scores
        [0.5]
    """
    own = sample.get(task)
    return own if isinstance(own, TaskSample) else sample


def group_sizes(samples: Sequence[TaskSample]) -> list[int]:
    """Return the number of images of each sample in a flat batch."""
    return [int(sample.metainfo.get("group_size", 1)) for sample in samples]


def split_groups(batch: Tensor, samples: Sequence[TaskSample]) -> tuple[Tensor, ...]:
    """Split a flat batch (N, ...) into one part (group_size, ...) for each sample.

    Example:
        >>> samples = [TaskSample(metainfo=dict(group_size=size)) for size in (1, 2)]
        >>> [len(part) for part in split_groups(torch.zeros(3, 4), samples)]
        [1, 2]
        >>> mean_of_groups(torch.zeros(3, 4), samples).shape
        torch.Size([2, 4])
    """
    return batch.split(group_sizes(samples))


def mean_of_groups(batch: Tensor, samples: Sequence[TaskSample]) -> Tensor:
    """Return the mean over the images of each sample, (N, ...) to (B, ...)."""
    sizes = group_sizes(samples)
    if all(size == 1 for size in sizes):
        return batch
    return torch.stack([part.mean(0) for part in batch.split(sizes)])
