"""Bases of backbones for image pairs: two images as channels of one input or one by one, in one or both directions."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor

from visionzoo.config.signatures import arguments_of
from visionzoo.errors import DataError
from visionzoo.layers.spatial import run
from visionzoo.structures.batch import NO_BATCH, PAIR, Batch


class PairReader(BaseModule):
    """Base of the backbones that read the two images of a pair.

    Images and volumes have 1, 2 or 3 spatial axes. The fixed and the moving image come from ``batch.pairs()``. Without
    samples, the input has them as channels, the fixed image first.

    Args:
        dims: number of spatial axes, 1 to 3.
        in_channels: channels of both images together.
        both_directions: also encode each pair with the images in exchanged roles. The feature maps then have 2 B rows:
            row 2 i is pair i, row 2 i + 1 is pair i with exchanged roles.
        order: order of the images on the channel axis.
        init_cfg: initialisation config of mmengine.
    """

    READS_PAIRS = True  # samples are pairs of images

    out_channels: tuple[int, ...]
    out_strides: tuple[int, ...]

    def __init__(
        self,
        dims: int,
        in_channels: int,
        both_directions: bool,
        *,
        order: tuple[str, str] = PAIR,
        init_cfg: Any = None,
    ):
        super().__init__(init_cfg)
        self.dims, self.in_channels, self.both_directions = dims, in_channels, both_directions
        self.order = order

    @abstractmethod
    def forward(self, inputs: Tensor, batch: Batch = NO_BATCH) -> tuple[Tensor, ...]:
        """Return the feature maps of pairs, (N, C, *S) each, shallow first.

        Args:
            inputs: pairs (B, in_channels, *S), or single images (2 B, in_channels / 2, *S) with samples.
            batch: batch of the inputs; its samples state the order of the two images.

        Returns:
            Feature maps with N = B rows, or 2 B rows with ``both_directions``.

        Raises:
            DataError: the images have another number of axes or channels.
        """

    def images(self, inputs: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return both images of each pair in the order of the channels, (B, in_channels / 2, *S) each.

        Raises:
            DataError: the images have another number of axes or channels.
        """
        if batch.samples is None:
            self._check(inputs)
            images = dict(zip(PAIR, inputs.chunk(2, 1)))
        else:
            images = batch.pairs()._asdict()
            self._check(torch.cat(tuple(images.values()), 1))
        first, second = (images[name] for name in self.order)
        return first, second

    def joined(self, first: Tensor, second: Tensor) -> Tensor:
        """Concatenate images or maps (B, C, *S) of each pair on the channel axis, in one or both directions."""
        pairs = torch.cat([first, second], 1)
        return in_turn(pairs, torch.cat([second, first], 1)) if self.both_directions else pairs

    def _check(self, pairs: Tensor) -> None:
        if pairs.ndim != self.dims + 2 or pairs.shape[1] != self.in_channels:
            dims, channels = pairs.ndim - 2, pairs.shape[1]
            setting, value = ("dims", dims) if dims != self.dims else ("in_channels", channels)
            kind: Any = type(self)
            has_setting = arguments_of(kind).know(setting)
            other = f"train a model with model.backbone.{setting}={value}" if has_setting else "use another backbone"
            raise DataError(
                kind.__name__,
                expected=f"pairs of {self.dims}-D images with {self.in_channels} channels together",
                found=f"{dims}-D images with {channels} channels, {tuple(pairs.shape)}",
                advice=f"give other images, or {other}",
            )


class PairEncoder(PairReader):
    """Base of the backbones that encode the two images of a pair as channels of one input.

    Args:
        dims, in_channels, both_directions, order, init_cfg: see :class:`PairReader`.
        with_cp: recompute activations in the backward pass instead of storing them.
    """

    def __init__(
        self,
        dims: int,
        in_channels: int,
        both_directions: bool,
        *,
        order: tuple[str, str] = PAIR,
        with_cp: bool = False,
        init_cfg: Any = None,
    ):
        super().__init__(dims, in_channels, both_directions, order=order, init_cfg=init_cfg)
        self.with_cp = with_cp

    def forward(self, inputs: Tensor, batch: Batch = NO_BATCH) -> tuple[Tensor, ...]:
        """Return the feature maps of pairs; see :class:`PairReader`."""
        return self.encode(self.joined(*self.images(inputs, batch)))

    @abstractmethod
    def encode(self, pairs: Tensor) -> tuple[Tensor, ...]:
        """Return the feature maps of (N, in_channels, *S)."""

    def _run(self, part: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        return run(part, *inputs, with_cp=self.with_cp and self.training)


def in_turn(first: Tensor, second: Tensor) -> Tensor:
    """Return rows of two tensors (B, ...) in turn, (2 B, ...).

    Example:
        >>> in_turn(torch.tensor([1, 2]), torch.tensor([-1, -2])).tolist()
        [1, -1, 2, -2]
    """
    return torch.stack([first, second], 1).flatten(0, 1)
