"""Inputs of a head in addition to the feature maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from visionzoo.errors import DataError
from visionzoo.structures.task_sample import TaskSample, group_sizes

# Names of the two images of a pair, in their default order on the batch axis.
PAIR = ("fixed", "moving")

Encode = Callable[[Tensor], tuple[Tensor, ...]]
Convert = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class TextStates:
    """Encoded phrases, the output of a text encoder.

    Attributes:
        states: (B, L, C) float, one row per token.
        mask: (B, L) bool, False for padding.
    """

    states: Tensor
    mask: Tensor

    def split(self, size: int) -> list[TextStates]:
        """Return the phrases in groups of ``size``; the last group may be smaller.

        Example:
            >>> text = TextStates(torch.zeros(3, 5, 8), torch.ones(3, 5, dtype=torch.bool))
            >>> [len(some.states) for some in text.split(2)]
            [2, 1]
        """
        return list(map(TextStates, self.states.split(size), self.mask.split(size)))


class Pair(NamedTuple):
    """The fixed and the moving image of each sample, (B, C, ...) each."""

    fixed: Tensor
    moving: Tensor


@dataclass(frozen=True)
class Batch:
    """Second argument of a head: ``head(feats, batch)``.

    Attributes:
        inputs: images (N, C, H, W) that the backbone receives. Volumes have three spatial axes instead of H, W.
        samples: B data samples whose group sizes sum to N. None: each image is a separate sample.
        encode: function that returns the feature maps of images. A head calls it for images that it has changed, such
            as masked ones.
        text: encoded phrases of the samples, if the model has a text encoder.
        unnormalised: function that converts ``inputs`` to the pixels before normalisation, RGB of 0 to 255 for uint8
            images. A part calls it to run another model on the images.

    Example:
        >>> samples = [TaskSample(metainfo=dict(group_size=2))]
        >>> pair = Batch(torch.zeros(2, 3, 4, 4), samples).pairs()
        >>> pair.fixed.shape, pair.moving.shape
        (torch.Size([1, 3, 4, 4]), torch.Size([1, 3, 4, 4]))
    """

    inputs: Any = None  # a tensor, or None
    samples: Any = None  # a sequence of TaskSample, or None
    encode: Encode | None = None
    text: TextStates | None = None
    unnormalised: Convert | None = None

    def pairs(self) -> Pair:
        """Return the fixed and the moving image of each sample.

        Each sample has two consecutive images on the batch axis (``group_size`` 2), or one image with twice the
        channels, whose first half is the first image. The metainfo ``pair=("moving", "fixed")`` states that the moving
        image is first. Without ``pair``, the fixed image is first.

        Returns:
            ``fixed`` and ``moving``, (B, C, ...) each.

        Raises:
            DataError: the batch has no images or no samples, a sample does not have two images, or ``pair`` does not
                consist of ``fixed`` and ``moving``.
        """
        absent = [name for name, value in (("images", self.inputs), ("samples", self.samples)) if value is None]
        if absent:
            raise DataError(
                "batch",
                expected="images and samples for pairs",
                but=f"{' and '.join(absent)} are missing",
                advice="pass both to the model",
            )
        orders = [_order_of(sample) for sample in self.samples]
        both = _two_each(self.inputs, self.samples)
        rows = torch.arange(len(orders), device=both.device)
        chosen = (torch.tensor([order.index(name) for order in orders], device=both.device) for name in PAIR)
        return Pair(*(both[rows, index] for index in chosen))


# Empty batch, for a head that is called without a model.
NO_BATCH = Batch()


def _order_of(sample: TaskSample) -> list[str]:
    order = list(sample.metainfo.get("pair", PAIR))
    if sorted(order) != sorted(PAIR):
        raise DataError(
            sample.metainfo.get("img_path") or "batch",
            expected=f"{' and '.join(PAIR)} in pair",
            found=f"{order}",
            advice="set pair in the metainfo to these two names",
        )
    return order


def _two_each(inputs: Tensor, samples: Sequence[TaskSample]) -> Tensor:
    """Return the images as (B, 2, C, ...)."""
    sizes = group_sizes(samples)
    if set(sizes) == {2} and len(inputs) == 2 * len(samples):
        return inputs.unflatten(0, (-1, 2))
    if set(sizes) == {1} and len(inputs) == len(samples) and inputs.shape[1] % 2 == 0:
        return inputs.unflatten(1, (2, -1))
    raise DataError(
        "batch",
        expected="two images in every sample",
        found=f"images {tuple(inputs.shape)} with group sizes {sizes}",
        advice="give each sample a fixed and a moving image",
    )
