"""Sizes of images, read from their samples: padded, without padding, and original."""

from __future__ import annotations

from collections.abc import Sequence

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
    height, width = (grid[0] * stride, grid[1] * stride) if size is None else size[:2]
    return int(height), int(width)


def image_size(sample: TaskSample, size: Sequence[int]) -> Size:
    """Return (H, W) of the image after the pipeline, without padding; ``size`` if the sample does not state it."""
    height, width = sample.metainfo.get("img_shape", size)[:2]
    return int(height), int(width)


def original_size(sample: TaskSample, size: Sequence[int]) -> Size:
    """Return (H, W) of the image in its file; ``size`` if the sample does not state it."""
    height, width = sample.metainfo.get("ori_shape", size)[:2]
    return int(height), int(width)


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
