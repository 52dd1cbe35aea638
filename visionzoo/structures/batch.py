"""What a part may know of a batch besides the feature maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from visionzoo.errors import DataError
from visionzoo.structures.task_sample import TaskSample, group_sizes

# Names of the two images of a pair, in the order in which a sample holds them unless it says otherwise.
PAIR = ("fixed", "moving")

Encode = Callable[[Tensor], tuple[Tensor, ...]]


@dataclass(frozen=True)
class TextStates:
    """Phrases as a text encoder states them.

    Attributes:
        states: (B, L, C) float, one row per token.
        mask: (B, L) bool, False for padding.
    """

    states: Tensor
    mask: Tensor


class Pair(NamedTuple):
    """Both images of every sample, (B, C, ...) each."""

    fixed: Tensor
    moving: Tensor


@dataclass(frozen=True)
class Batch:
    """What a head is called with besides the feature maps: ``head(feats, batch)``.

    Attributes:
        inputs: images (N, C, H, W) as the backbone gets them; volumes have three axes in the place of H, W.
        samples: B data samples, whose group sizes sum to N. None where there are none: every image is one of its own.
        encode: from images, changed as the head likes, to their feature maps.
        text: the samples' phrases, where the model has a text encoder.
    """

    inputs: Any = None  # a tensor, or None
    samples: Any = None  # a sequence of TaskSample, or None
    encode: Encode | None = None
    text: TextStates | None = None

    def pairs(self) -> Pair:
        """The fixed and the moving image of every sample.

        A sample holds two images, which follow each other on the batch axis (``group_size`` 2). The metainfo
        ``pair=("moving", "fixed")`` says their order; without it the fixed one is the first. If the preprocessor has
        joined them to channels, the first half of the channels is the first image.

        Returns:
            ``fixed`` and ``moving``, (B, C, ...) each.

        Raises:
            DataError: a sample that holds no two images, or that gives them other names.
        """
        if self.inputs is None or self.samples is None:
            raise DataError(
                "batch", expected="images and samples for pairs", found="none", advice="call the model with samples"
            )
        orders = [_order_of(sample) for sample in self.samples]
        both = _two_each(self.inputs, self.samples)
        rows = torch.arange(len(orders), device=both.device)
        chosen = (torch.tensor([order.index(name) for order in orders], device=both.device) for name in PAIR)
        return Pair(*(both[rows, index] for index in chosen))


# What a head is called with outside a model.
NO_BATCH = Batch()


def _order_of(sample: TaskSample) -> list[str]:
    order = list(sample.metainfo.get("pair", PAIR))
    if sorted(order) != sorted(PAIR):
        raise DataError(
            sample.metainfo.get("img_path"),
            expected=f"pair to name {' and '.join(PAIR)}",
            found=f"{order}",
            advice="correct it",
        )
    return order


def _two_each(inputs: Tensor, samples: Sequence[TaskSample]) -> Tensor:
    """(B, 2, C, ...)."""
    sizes = group_sizes(samples)
    if set(sizes) == {2} and len(inputs) == 2 * len(samples):
        return inputs.unflatten(0, (-1, 2))
    if set(sizes) == {1} and len(inputs) == len(samples) and inputs.shape[1] % 2 == 0:
        return inputs.unflatten(1, (2, -1))
    raise DataError(
        "batch",
        expected="two images in every sample",
        found=f"groups of {sizes} of {inputs.shape[1]} channels",
        advice="give each sample a fixed and a moving image",
    )
