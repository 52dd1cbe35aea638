"""What heads with a map for every image ask of its sample: how large it is, padded and not."""

from __future__ import annotations

from collections.abc import Sequence

from visionzoo.errors import DataError
from visionzoo.structures.task_sample import TaskSample

Size = tuple[int, int]


def input_size(samples: Sequence[TaskSample] | None, grid: Sequence[int], stride: int) -> Size:
    """(H, W) of the padded batch, as its samples say, else the grid's size times the stride."""
    size = samples[0].metainfo.get("batch_input_shape") if samples else None
    height, width = (grid[0] * stride, grid[1] * stride) if size is None else size[:2]
    return int(height), int(width)


def image_size(sample: TaskSample, size: Sequence[int]) -> Size:
    """(H, W) of the image as it leaves the pipeline, without padding; ``size`` where the sample does not say."""
    height, width = sample.metainfo.get("img_shape", size)[:2]
    return int(height), int(width)


def original_size(sample: TaskSample, size: Sequence[int]) -> Size:
    """(H, W) of the image in its file; ``size`` where the sample does not say."""
    height, width = sample.metainfo.get("ori_shape", size)[:2]
    return int(height), int(width)


def require_single_images(images: int, samples: Sequence[TaskSample]) -> None:
    """Refuse groups of images.

    Raises:
        DataError: there are more images than samples.
    """
    if images != len(samples):
        raise DataError(
            "batch",
            expected="one image in every sample",
            found=f"{images} images in {len(samples)} samples",
            advice="groups need a head that reads groups",
        )
