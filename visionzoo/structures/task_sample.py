"""The data sample of every task that mmdet and mmseg have no model for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor


class TaskSample(BaseDataElement):
    """Truth and predictions of one sample, and facts about it.

    Truth begins with ``gt_`` and predictions with ``pred_``: ``gt_label``, ``pred_score`` and so on; each head says in
    its docstring which it reads and writes. Facts (``metainfo``):

    - ``img_path``: where the image came from; None for images in memory.
    - ``ori_shape``, ``img_shape``: (H, W) in pixels of the original image, and as it leaves the pipeline.
    - ``pad_shape``, ``batch_input_shape``: (H, W) after padding; both are set by the preprocessor.
    - ``group_size``: images of this sample on the batch axis: 1, or more for a group, a pair, several crops.
    - ``phrase``: description of the object that a referring model must find.
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
    """How many images of a flat batch each sample has."""
    return [int(sample.metainfo.get("group_size", 1)) for sample in samples]


def split_groups(batch: Tensor, samples: Sequence[TaskSample]) -> tuple[Tensor, ...]:
    """A flat batch (N, ...) in the parts that belong to each sample, (group_size, ...)."""
    return batch.split(group_sizes(samples))


def mean_of_groups(batch: Tensor, samples: Sequence[TaskSample]) -> Tensor:
    """(N, ...) to (B, ...): the mean over the images of every sample."""
    sizes = group_sizes(samples)
    if all(size == 1 for size in sizes):
        return batch
    return torch.stack([part.mean(0) for part in batch.split(sizes)])
