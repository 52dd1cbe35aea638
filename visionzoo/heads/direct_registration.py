"""Registration without a network: an affine map and a deformation, optimised for each pair.

The optimisers are those of :mod:`visionzoo.ops.registration`.

Tensors: B pairs, n spatial axes, S sides in voxels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Unpack

import torch
from torch import Tensor

from visionzoo.allowed import Count
from visionzoo.errors import ConfigError, ZooError, require_known
from visionzoo.layers.registration import (
    OPTIMISED,
    Case,
    Fields,
    InstanceOptions,
    RegistrationHead,
    cases_of,
    write_fields,
)
from visionzoo.ops.registration.affine import register_affine
from visionzoo.ops.registration.deformable import SCHEDULES, Schedule, register_deformable
from visionzoo.ops.registration.similarities import SIMILARITIES
from visionzoo.ops.registration.transform import Transform, enlarged
from visionzoo.registry import MODELS
from visionzoo.structures.batch import NO_BATCH, Batch
from visionzoo.structures.task_sample import TaskSample

METHODS = ("deformable", "affine", "rigid")


@MODELS.register_module()
class DirectRegistrationHead(RegistrationHead):
    """Find the affine map and the deformation of each pair by optimisation. It has no parameters and no training.

    The backbone is :class:`~visionzoo.backbones.image_pair.ImagePair`. Each pair is registered separately, without its
    padding. A mask of the fixed image, ``gt_fixed_mask`` of the sample, limits the voxels that count.

    Writes the fields of :class:`~visionzoo.layers.registration.RegistrationHead`, and

    - ``pred_affine``: (n, n + 1) float64, the affine part: from voxels of the fixed image to voxels of the moving image
      on the grid of the fixed image.

    Args:
        in_channels: channels of the pair; filled in from the backbone.
        variant: ``default``, or ``tiny`` with the shortest schedule.
        dims: number of spatial axes n, 2 or 3.
        method: ``deformable``: affine map, then deformation; ``affine`` or ``rigid``: only this map.
        schedule: steps of the deformation: ``default``, ``short``, ``shortest``, ``smooth``, ``symmetric`` or
            ``large``; see :data:`visionzoo.ops.registration.deformable.SCHEDULES`. None: that of the variant.
        similarity: ``correlation``, or ``mutual_information`` for images of different contrasts.
        instance: ``instance_steps`` are further steps of the deformation at the full resolution, for every method; see
            :class:`~visionzoo.layers.registration.RegistrationHead`.

    Raises:
        ConfigError: the feature maps are not one pair of images.
        UnknownName: an unknown variant, method, schedule or similarity.
        DataError: in ``predict``: a pair cannot be registered, such as a constant image.

    Example:
        >>> rows, columns = torch.meshgrid(torch.arange(24.0), torch.arange(30.0), indexing="ij")
        >>> fixed = torch.exp(-((rows - 11) / 4) ** 2 - ((columns - 14) / 7) ** 2)[None, None]
        >>> head = DirectRegistrationHead(dims=2, method="rigid")
        >>> found = head([torch.cat([fixed, fixed.roll((2, -3), dims=(2, 3))], 1)])
        >>> found["affine"][0, :, 2].round().tolist(), found["field"].shape
        ([2.0, -3.0], torch.Size([1, 2, 24, 30]))
    """

    VARIANTS: dict[str, str] = {"default": "default", "tiny": "shortest"}
    reads = ("gt_fixed_mask",)

    def __init__(
        self,
        in_channels: Count | Sequence[Count] = 2,
        variant: str = "default",
        *,
        dims: Literal[2, 3] = 3,
        method: str = "deformable",
        schedule: str | None = None,
        similarity: str = "correlation",
        **instance: Unpack[InstanceOptions],
    ):
        super().__init__(dims, **instance)
        require_known(variant, self.VARIANTS, "DirectRegistrationHead variant")
        require_known(method, METHODS, "method of DirectRegistrationHead")
        require_known(similarity, SIMILARITIES, "similarity")
        self.method, self.similarity = method, similarity
        self.schedule = self.VARIANTS[variant] if schedule is None else schedule
        require_known(self.schedule, SCHEDULES, "schedule")
        channels = [in_channels] if isinstance(in_channels, int) else list(in_channels)
        if channels != [2]:
            raise ConfigError(
                "DirectRegistrationHead.in_channels",
                expected="2 channels, a fixed and a moving image",
                found=f"{in_channels}",
                advice="use ImagePair as model.backbone, and images of one channel",
            )

    @property
    def not_exportable(self) -> str:
        """Reason why the head has no exported form."""
        return OPTIMISED.format("it")

    def forward(self, feats: Sequence[Tensor], batch: Batch = NO_BATCH) -> dict[str, Tensor]:
        """Return ``affine`` (B, n, n + 1) in float64 and ``field`` (B, n, *S), in voxels.

        Args:
            feats: one map (B, 2, *S), the fixed image first.
            batch: not used.
        """
        transform = self.registered(feats)
        return {"affine": transform.affine, "field": transform.field()}

    def fields(self, feats: Sequence[Tensor], batch: Batch) -> Fields:
        """Return the fields of both directions, (B, n, *S) each."""
        transform = self.registered(feats)
        return Fields(transform.field(), transform.inverse_field())

    @torch.no_grad()
    def registered(self, feats: Sequence[Tensor], mask: Tensor | None = None, spacing: Any = None) -> Transform:
        """Return the map of each pair.

        Args:
            feats: one map (B, 2, *S), the fixed image first.
            mask: (B, 1, *S); voxels of value 0 have no influence.
            spacing: the n lengths of a voxel, for ``rigid``; None for equal ones.

        Raises:
            DataError: a pair cannot be registered.
        """
        self.require_dims(feats)
        with torch.autocast(feats[0].device.type, enabled=False):
            fixed, moving = feats[0].float().chunk(2, 1)
            return self._registered(fixed, moving, mask, spacing)

    def _registered(self, fixed: Tensor, moving: Tensor, mask: Tensor | None, spacing: Any) -> Transform:
        shared: dict[str, Any] = {"mask": mask, "similarity": self.similarity}
        kind = "rigid" if self.method == "rigid" else "affine"
        affine = register_affine(fixed, moving, kind=kind, spacing=spacing, **shared)
        found = Transform(tuple(fixed.shape[2:]), affine)
        if self.method == "deformable":
            found = register_deformable(fixed, moving, affine=affine, schedule=self.schedule, **shared)
        if not self.instance_steps:
            return found
        start = None if found.deformation is None else enlarged(found.deformation, found.size)
        shared |= {"schedule": Schedule(levels=(1,), iterations=(self.instance_steps,)), "start": start}
        return register_deformable(fixed, moving, affine=affine, **shared | {"similarity": self.instance_similarity})

    def loss(self, feats: Sequence[Tensor], batch: Batch) -> dict[str, Tensor]:
        """Raise an error, because nothing can be trained.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            "DirectRegistrationHead",
            expected="a model with parameters to train",
            found="none",
            advice="use it without training, in visionzoo infer or visionzoo test",
        )

    @torch.no_grad()
    def predict(self, feats: Sequence[Tensor], batch: Batch) -> Sequence[TaskSample]:
        """Return the samples with ``pred_affine``, ``pred_field``, ``pred_inverse_field`` and ``pred_warped``.

        Raises:
            DataError: a pair cannot be registered.
        """
        for sample, case in zip(batch.samples, cases_of(batch, self.dims), strict=True):
            found = self._of_case(case)
            write_fields(sample, Fields(found.field(), found.inverse_field()), case.moving)
            sample.pred_affine = found.affine[0]
        return batch.samples

    def _of_case(self, case: Case) -> Transform:
        try:
            return self.registered([torch.cat([case.fixed, case.moving], 1)], case.mask, case.spacing)
        except ZooError as error:
            raise error.at(case.name) from error
