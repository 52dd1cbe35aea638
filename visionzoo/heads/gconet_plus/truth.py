"""Masks and classes of groups, read from their samples for the losses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from visionzoo.errors import DataError
from visionzoo.structures.task_sample import TaskSample, group_sizes


def truth_of(samples: Sequence[TaskSample], size: Sequence[int]) -> Tensor:
    """Return the masks of all images, (N, 1, H, W) float32 in [0, 1], zero-padded at right and bottom to ``size``.

    Raises:
        DataError: a group has not one mask per image, or a mask and its image differ in size.
    """
    return torch.cat([_masks(sample, count, size) for sample, count in zip(samples, group_sizes(samples), strict=True)])


def _masks(sample: TaskSample, count: int, size: Sequence[int]) -> Tensor:
    masks = list(sample.gt_map) if "gt_map" in sample else []
    if len(masks) != count:
        raise DataError(
            _name(sample), expected=f"{count} masks, one per image", found=f"{len(masks)}", advice="load them"
        )
    return torch.stack([_padded(torch.as_tensor(mask), sample, size) for mask in masks])


def _padded(mask: Tensor, sample: TaskSample, size: Sequence[int]) -> Tensor:
    expected = tuple(sample.metainfo.get("img_shape", size))[:2]
    if tuple(mask.shape) != expected:
        raise DataError(
            _name(sample),
            expected=f"masks of {expected[1]}x{expected[0]} pixels like the images that leave the pipeline",
            found=f"{'x'.join(map(str, reversed(mask.shape)))}",
            advice="resize both in the pipeline",
        )
    missing = (0, size[1] - mask.shape[1], 0, size[0] - mask.shape[0])
    return F.pad(mask.float() / 255, missing)[None]


def labels_of(samples: Sequence[TaskSample], num_classes: int) -> Tensor:
    """Return the class of every image, (N,) int64.

    Raises:
        DataError: a class outside 0 to ``num_classes`` - 1.
    """
    labels: list[int] = []
    for sample, count in zip(samples, group_sizes(samples), strict=True):
        label = int(sample.gt_label) if "gt_label" in sample else 0
        if not 0 <= label < num_classes:
            raise DataError(
                _name(sample),
                expected=f"a class from 0 to {num_classes - 1}",
                found=f"{label}",
                advice="correct the data set's label_offset or model.head.num_classes",
            )
        labels += [label] * count
    return torch.tensor(labels)


def _name(sample: TaskSample) -> str:
    return f"group {sample.metainfo.get('group', sample.metainfo.get('img_path'))}"
