"""Base of the heads that register a moving image to a fixed image with a displacement field."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from mmengine.model import BaseModule
from torch import Tensor

from visionzoo.errors import ConfigError
from visionzoo.layers.image_pairs import in_turn
from visionzoo.layers.velocity import warped
from visionzoo.structures.batch import Batch
from visionzoo.structures.task_sample import TaskSample


class Roles(NamedTuple):
    """Fixed and moving image of each row of the feature maps, (N, C, *S) each, and the number of directions, 1 or 2."""

    fixed: Tensor
    moving: Tensor
    directions: int


class Fields(NamedTuple):
    """Displacement fields of pairs in voxels, (B, n, *S) each: moving to fixed image, and the other direction."""

    forward: Tensor
    inverse: Tensor


class RegistrationHead(BaseModule):
    """Base of registration heads: writes fields and warped images into the samples.

    Writes into each sample, without padding:

    - ``pred_field``: (n, *S) float32, voxels; channel i displaces along axis i.
      ``warped(x) = moving(x + pred_field(x))``.
    - ``pred_inverse_field``: (n, *S) float32, the field of the other direction; it warps the fixed image.
    - ``pred_warped``: (C, *S) float32, the warped moving image.

    Args:
        dims: number of spatial axes n, 1 to 3.
        init_cfg: initialisation config of mmengine.
    """

    def __init__(self, dims: int, init_cfg: Any = None):
        super().__init__(init_cfg)
        self.dims = dims

    @abstractmethod
    def fields(self, feats: Sequence[Tensor], batch: Batch) -> Fields:
        """Return the displacement fields of all pairs, on the grid of the images."""

    def require_dims(self, feats: Sequence[Tensor]) -> None:
        """Raise an error if the maps of the encoder have another number of axes than the head.

        Raises:
            ConfigError: the numbers differ.
        """
        dims = feats[0].ndim - 2
        if dims != self.dims:
            raise ConfigError(
                f"{type(self).__name__}.dims",
                expected=f"{dims} as in the feature maps",
                found=f"{self.dims}",
                advice="set dims of model.backbone and model.head to the number of axes of the images",
            )

    @torch.no_grad()
    def predict(self, feats: Sequence[Tensor], batch: Batch) -> Sequence[TaskSample]:
        """Return the samples with ``pred_field``, ``pred_inverse_field`` and ``pred_warped``."""
        fields, moving = self.fields(feats, batch), batch.pairs().moving
        images = warped(moving, fields.forward)
        for row, sample in enumerate(batch.samples):
            inside = _without_padding(sample, self.dims)
            sample.pred_field = fields.forward[row].float()[inside]
            sample.pred_inverse_field = fields.inverse[row].float()[inside]
            sample.pred_warped = images[row].float()[inside]
        return batch.samples


def roles_of(feats: Sequence[Tensor], batch: Batch) -> Roles:
    """Return the fixed and the moving image of each row of the feature maps.

    Args:
        feats: feature maps of B rows, or of 2 B rows for both directions in turn.
        batch: batch of B pairs.
    """
    fixed, moving = batch.pairs()
    directions = len(feats[0]) // len(fixed)
    if directions == 1:
        return Roles(fixed, moving, 1)
    return Roles(in_turn(fixed, moving), in_turn(moving, fixed), directions)


def both_ways(field: Tensor) -> Fields:
    """Return the fields (B, n, *S) of the two directions from their rows in turn, (2 B, n, *S).

    Example:
        >>> both_ways(torch.arange(4)).inverse.tolist()
        [1, 3]
    """
    return Fields(field[0::2], field[1::2])


def _without_padding(sample: TaskSample, dims: int) -> tuple[slice, ...]:
    sides = tuple(sample.metainfo.get("img_shape", ()))[:dims]
    return (slice(None), *(slice(int(side)) for side in sides))
