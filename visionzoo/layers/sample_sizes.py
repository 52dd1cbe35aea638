"""Sizes of images, read from their samples: padded, without padding, and original."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from visionzoo.errors import DataError
from visionzoo.structures.task_sample import TaskSample

Size = tuple[int, int]


def input_size(samples: Sequence[TaskSample] | None, grid: Sequence[int], stride: int) -> Size:
    """Return (H, W) of the padded batch from its samples, or the grid's size times the stride without samples.

    Example:
        >>> input_size(None, grid=(4, 6), stride=8)
        (32, 48)
    """
    size = samples[0].metainfo.get("batch_input_shape") if samples else None
    if size is None:
        return grid[0] * stride, grid[1] * stride  # no conversion: an exported graph has symbols here
    return int(size[0]), int(size[1])


def image_size(sample: TaskSample, size: Sequence[int]) -> Size:
    """Return (H, W) of the image after the pipeline, without padding; ``size`` if the sample does not state it."""
    height, width = sample.metainfo.get("img_shape", size)[:2]
    return int(height), int(width)


def original_size(sample: TaskSample, size: Sequence[int]) -> Size:
    """Return (H, W) of the image in its file; ``size`` if the sample does not state it."""
    height, width = sample.metainfo.get("ori_shape", size)[:2]
    return int(height), int(width)


def inside_sizes(size: Sequence[int], sizes: Tensor) -> Tensor:
    """Return (B, 1, H, W) bool, True inside each image of a padded batch, for a graph.

    Args:
        size: (H, W) of the padded batch.
        sizes: (B, 2) int64, height and width of each image.

    Example:
        >>> import torch
        >>> inside_sizes((2, 3), torch.tensor([[1, 2]])).int().tolist()
        [[[[1, 1, 0], [0, 0, 0]]]]
    """
    rows, columns = (
        torch.arange(length, device=sizes.device)[None] < sizes[:, axis : axis + 1] for axis, length in enumerate(size)
    )
    return (rows[:, :, None] & columns[:, None, :])[:, None]


def require_truth(
    sample: TaskSample,
    name: str,
    truth: Tensor | None,
    shape: Sequence[int],
    *,
    load: str,
    axes: str = "(height, width)",
    resize: str = "apply the same geometric transforms to the mask and its image",
) -> Tensor:
    """Return the truth of a sample, after checking that it is there and of the right shape.

    Args:
        sample: the sample, whose ``img_path`` is named in errors.
        name: name of the field.
        truth: its value; None if the sample has none.
        shape: the shape that it must have.
        load: advice if it is missing.
        axes: names of the axes of ``shape``.
        resize: advice for another shape.

    Raises:
        DataError: there is no truth, or one of another shape.
    """
    where = sample.metainfo.get("img_path") or "sample"
    if truth is None:
        raise DataError(where, expected=f"{name} to learn from", found="none", advice=load)
    if tuple(truth.shape) != tuple(shape):
        expected, found = f"{name} of {tuple(shape)} {axes}", f"{tuple(truth.shape)}"
        raise DataError(where, expected=expected, found=found, advice=resize)
    return truth


def require_single_images(images: int, samples: Sequence[TaskSample]) -> None:
    """Reject groups of images.

    Raises:
        DataError: the numbers of images and samples differ.
    """
    if images != len(samples):
        raise DataError(
            "batch",
            expected="one image in every sample",
            found=f"{images} images in {len(samples)} samples",
            advice="use a head that reads groups",
        )
