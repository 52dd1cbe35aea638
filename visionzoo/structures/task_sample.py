"""Data sample of the tasks that mmdet and mmseg do not cover."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

from visionzoo.structures.task_meta import TASKS as TASKS


class TaskSample(BaseDataElement):
    """Ground truth, predictions and metainfo of one sample.

    Names of ground truth begin with ``gt_`` and names of predictions with ``pred_``, for example ``gt_label`` and
    ``pred_score``. The docstring of each head lists the names that it reads and writes. Keys of ``metainfo``:

    - ``img_path``: path of the image; None for images in memory.
    - ``ori_shape``, ``img_shape``: (H, W) in pixels of the original image and of the image after the pipeline.
    - ``pad_shape``, ``batch_input_shape``: (H, W) of the image, and of the batch, after padding; the preprocessor sets
      both.
    - ``group_size``: images of this sample on the batch axis: 1, or more for a group, a pair or several crops.
    - ``task``: task whose ground truth the sample has, in a model of several tasks; without it, it has that of all.
    - ``heads``: names of the heads that predict the sample; without it, all heads do.
    - ``phrase``: description of the object that a referring model must find.

    Example:
        >>> sample = TaskSample(metainfo=dict(img_path="a.png", group_size=2))
        >>> sample.set_data(dict(gt_label=torch.tensor(1)))
        >>> sample.gt_label, sample.img_path
        (tensor(1), 'a.png')
    """


def is_of_task(sample: Any, task: str) -> bool:
    """Return True if a sample has the ground truth of a task: its metainfo names this task, or none.

    Args:
        sample: a data element, or a dict as metrics receive it.
        task: name of a task.

    Example:
        >>> is_of_task(TaskSample(metainfo=dict(task="lanes")), "counting"), is_of_task({}, "counting")
        (False, True)
    """
    named = sample.get("task") if isinstance(sample, Mapping) else sample.metainfo.get("task")
    return named is None or named == task


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
    return own if isinstance(own, BaseDataElement) else sample


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
