"""Base of the heads that register a moving image to a fixed image with a displacement field."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypedDict

import torch
from mmengine.model import BaseModule
from torch import Tensor

from visionzoo.allowed import CountOrZero
from visionzoo.errors import ConfigError, ZooError
from visionzoo.layers.image_pairs import in_turn
from visionzoo.layers.velocity import warped
from visionzoo.ops.registration.deformable import refine
from visionzoo.ops.warp import invert
from visionzoo.structures.batch import Batch
from visionzoo.structures.task_sample import TaskSample

OPTIMISED = (
    "{} finds the field of each pair by an optimisation whose steps depend on the values of the images; a graph has no "
    "such branches"
)


class Roles(NamedTuple):
    """Fixed and moving image of each row of the feature maps, (N, C, *S) each, and the number of directions, 1 or 2."""

    fixed: Tensor
    moving: Tensor
    directions: int


class Fields(NamedTuple):
    """Displacement fields of pairs in voxels, (B, n, *S) each: moving to fixed image, and the other direction."""

    forward: Tensor
    inverse: Tensor


class InstanceOptions(TypedDict, total=False):
    """Arguments that every registration head passes to :class:`RegistrationHead`."""

    instance_steps: CountOrZero
    instance_similarity: Literal["correlation", "mutual_information"]
    init_cfg: Any


class RegistrationHead(BaseModule):
    """Base of registration heads: writes fields and warped images into the samples.

    Writes into each sample, without padding:

    - ``pred_field``: (n, *S) float32, voxels; channel i displaces along axis i.
      ``warped(x) = moving(x + pred_field(x))``.
    - ``pred_inverse_field``: (n, *S) float32, the field of the other direction; it warps the fixed image.
    - ``pred_warped``: (C, *S) float32, the warped moving image.

    Args:
        dims: number of spatial axes n, 1 to 3.
        instance_steps: number of steps by which predictions refine the field of each pair at the full resolution, >= 0
            (instance optimisation); see :func:`visionzoo.ops.registration.deformable.refine`. The inverse field then
            follows from the refined field. Needs images of one channel, and 2 or 3 axes.
        instance_similarity: similarity that these steps raise: ``correlation``, or ``mutual_information`` for images of
            different contrasts.
        init_cfg: initialisation config of mmengine.
    """

    READS_PAIRS = True  # maps of pairs of images

    def __init__(
        self,
        dims: int,
        instance_steps: CountOrZero = 0,
        instance_similarity: Literal["correlation", "mutual_information"] = "correlation",
        init_cfg: Any = None,
    ):
        super().__init__(init_cfg)
        self.dims = dims
        self.instance_steps, self.instance_similarity = instance_steps, instance_similarity

    @property
    def reads(self) -> tuple[str, ...]:
        """Keys of a sample that predictions use, besides the images."""
        return ("gt_fixed_mask",) if self.instance_steps else ()

    @property
    def not_exportable(self) -> str:
        """Reason why the model has no exported form; empty if it has one."""
        return OPTIMISED.format("instance_steps") if self.instance_steps else ""

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
        """Return the samples with ``pred_field``, ``pred_inverse_field`` and ``pred_warped``.

        Raises:
            DataError: with ``instance_steps``: a pair cannot be refined, such as a constant image.
        """
        fields = self.fields(feats, batch)
        for row, (sample, case) in enumerate(zip(batch.samples, cases_of(batch, self.dims), strict=True)):
            found = Fields(*(case.cut(field[row]).float()[None] for field in fields))
            write_fields(sample, self._refined(found, case), case.moving)
        return batch.samples

    def _refined(self, found: Fields, case: Case) -> Fields:
        if not self.instance_steps:
            return found
        try:
            field = refine(
                case.fixed,
                case.moving,
                found.forward,
                steps=self.instance_steps,
                mask=case.mask,
                similarity=self.instance_similarity,
            )
        except ZooError as error:
            raise error.at(case.name) from error
        return Fields(field, invert(field))


class Case(NamedTuple):
    """One pair of a batch without padding.

    Attributes:
        name: name in messages.
        fixed, moving: (1, C, *S) float32.
        mask: (1, 1, *S) on the fixed grid, the sample's ``gt_fixed_mask``; or None.
        spacing: the n lengths of a voxel in millimetres; 1 without ``spacing`` in the metainfo.
        inside: slices of (C, *S) that leave out the padding.
    """

    name: str
    fixed: Tensor
    moving: Tensor
    mask: Tensor | None
    spacing: tuple[float, ...]
    inside: tuple[slice, ...]

    def cut(self, values: Tensor) -> Tensor:
        """Return values (C, *S) without padding."""
        return values[self.inside]


def cases_of(batch: Batch, dims: int) -> list[Case]:
    """Return the pairs of a batch without padding.

    Args:
        batch: batch of B pairs.
        dims: number of spatial axes n.

    Example:
        >>> sample = TaskSample(metainfo={"img_shape": (3, 4)})
        >>> cases_of(Batch(torch.zeros(1, 2, 8, 8), [sample]), 2)[0].fixed.shape
        torch.Size([1, 1, 3, 4])
    """
    fixed, moving = batch.pairs()
    cases = []
    for row, sample in enumerate(batch.samples):
        sides = tuple(sample.metainfo.get("img_shape", ()))[:dims]
        inside = (slice(None), *(slice(int(side)) for side in sides))
        pair = (fixed[row][inside].float()[None], moving[row][inside].float()[None])
        mask = sample.get("gt_fixed_mask")
        mask = None if mask is None else torch.as_tensor(mask, device=fixed.device)[None, None]
        spacing = tuple(float(side) for side in sample.metainfo.get("spacing", (1.0,) * dims))
        cases.append(Case(f"{sample.metainfo.get('img_path', f'pair {row}')}", *pair, mask, spacing, inside))
    return cases


def write_fields(sample: TaskSample, found: Fields, moving: Tensor) -> None:
    """Write the fields (1, n, *S) of a pair and its warped moving image into its sample.

    Args:
        sample: changed in place.
        found: fields of the pair.
        moving: (1, C, *S).
    """
    sample.pred_field, sample.pred_inverse_field = (field[0].float() for field in found)
    sample.pred_warped = warped(moving, found.forward)[0].float()


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
