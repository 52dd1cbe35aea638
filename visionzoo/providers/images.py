"""The different images of a batch, as providers of proposals read them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from visionzoo.errors import DataError
from visionzoo.layers.sample_sizes import image_size
from visionzoo.structures.batch import Batch
from visionzoo.structures.shared_images import distinct_images
from visionzoo.structures.task_sample import TaskSample


@dataclass(frozen=True)
class Images:
    """The different images of a batch.

    Attributes:
        pixels: images (3, H, W) float without padding, RGB of 0 to 255.
        samples: one sample of each image.
        of_sample: for each sample of the batch, the index of its image.
    """

    pixels: list[Tensor]
    samples: list[TaskSample]
    of_sample: list[int]


def images_of(batch: Batch) -> Images:
    """Return the different images of a batch.

    Args:
        batch: ``inputs`` are one image of each sample, or one image of all samples.

    Raises:
        DataError: the batch has no images.

    Example:
        >>> import torch
        >>> samples = [TaskSample(metainfo=dict(img_shape=(5, 7)))] * 2
        >>> images = images_of(Batch(torch.zeros(1, 3, 8, 8), samples))
        >>> [tuple(each.shape) for each in images.pixels], images.of_sample
        ([(3, 5, 7)], [0, 0])
    """
    if batch.inputs is None:
        raise DataError("batch", expected="images for proposals", found="none", advice="pass them to the model")
    one = len(batch.inputs) == 1
    first, of_sample = ([0], [0] * len(batch.samples)) if one else distinct_images(batch.samples)
    inputs = batch.inputs[first].detach().float()
    inputs = inputs if batch.unnormalised is None else batch.unnormalised(inputs)
    samples = [batch.samples[at] for at in first]
    return Images([_cut(each, sample) for each, sample in zip(inputs, samples)], samples, of_sample)


def _cut(pixels: Tensor, sample: TaskSample) -> Tensor:
    height, width = image_size(sample, pixels.shape[1:])
    return pixels[:, :height, :width]
