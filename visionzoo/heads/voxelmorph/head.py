"""VoxelMorph: a U-Net predicts a velocity, which is integrated to a displacement field.

Balakrishnan et al., "VoxelMorph: A Learning Framework for Deformable Medical Image Registration", TMI 2019,
arXiv:1809.05231; diffeomorphic version: Dalca et al., MICCAI 2018. Numbers and details follow the authors' released
code.

Tensors: B pairs, C channels, n spatial axes, S sides in voxels, s sides of the velocity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visionzoo.allowed import Count, CountOrZero, Few, Weight
from visionzoo.errors import ConfigError, require_known
from visionzoo.layers.registration import Fields, InstanceOptions, RegistrationHead, roles_of
from visionzoo.layers.spatial import CONVOLUTIONS, Dims, conv_act, run
from visionzoo.layers.velocity import integrated, resized, resized_to, warped
from visionzoo.registry import MODELS
from visionzoo.structures.batch import NO_BATCH, Batch

# Spread of the weights of the last convolution at the start, with which the first fields are almost zero.
_START = 1e-5


@MODELS.register_module()
class VoxelMorphHead(RegistrationHead):
    """Decode the levels of an encoder to a velocity, and integrate it on a coarser grid.

    Each level below the finest one: convolutions, enlargement by the nearest cell, concatenation of the next finer
    level. Further convolutions follow on the finest level, then the linear convolution to the velocity. The loss is the
    similarity of the warped and the fixed image plus the smoothness of the velocity before integration.

    Reads no ground truth. Writes the fields of :class:`~visionzoo.layers.registration.RegistrationHead`. The inverse
    field is the integral of the negative velocity.

    Args:
        in_channels: channels of all levels, shallow first; filled in from the encoder. The last level is the start.
        variant: ``default``, ``wide`` (baseline of MICDIR) or ``tiny``: the channels of the decoder's convolutions.
        features: channels of every convolution of the decoder, instead of those of the variant: ``convs_per_level`` for
            each level below the finest one, then those of the finest level.
        convs_per_level: convolutions per level.
        dims: number of spatial axes n, 1 to 3.
        int_steps: number of squarings, >= 0; with 0 the velocity is the displacement field.
        int_downsize: factor by which the grid of the integration is coarser than the image, >= 1.
        half_res: omit the last enlargement: the velocity has half of the image's resolution, which ``int_downsize``
            enlarges. The last level is not concatenated.
        bidir: also warp the fixed image to the moving one, by the integral of the negative velocity. Both similarities
            have weight 0.5.
        similarity: config of the similarity loss of two images, ``dict(type="MSE")`` by default.
        smooth_weight: factor of the smoothness, which is also multiplied by ``int_downsize``, >= 0.
        with_cp: recompute activations in the backward pass instead of storing them.
        instance_steps, instance_similarity, init_cfg: see :class:`~visionzoo.layers.registration.RegistrationHead`.

    Raises:
        ConfigError: too few levels or features.
        UnknownName: an unknown variant.

    Example:
        >>> head = VoxelMorphHead([4, 8, 8], variant="tiny", dims=2)
        >>> feats = [torch.zeros(1, 4, 8, 12), torch.zeros(1, 8, 4, 6), torch.zeros(1, 8, 2, 3)]
        >>> head(feats).shape  # the velocity before integration
        torch.Size([1, 2, 4, 6])
    """

    LEAST_LEVELS = 2

    # Channels of the convolutions of a level below the finest one, and of the convolutions of the finest level.
    VARIANTS: dict[str, tuple[int, tuple[int, ...]]] = {
        "default": (32, (32, 16, 16)),
        "wide": (32, (32, 16)),
        "tiny": (8, (8, 4)),
    }

    def __init__(
        self,
        in_channels: Sequence[Count],
        variant: str = "default",
        *,
        features: Sequence[Count] | None = None,
        convs_per_level: Few = 1,
        dims: Dims = 3,
        int_steps: CountOrZero = 7,
        int_downsize: Few = 2,
        half_res: bool = False,
        bidir: bool = False,
        similarity: Mapping | None = None,
        smooth_weight: Weight = 0.01,
        with_cp: bool = False,
        **instance: Unpack[InstanceOptions],
    ):
        super().__init__(dims, **instance)
        require_known(variant, self.VARIANTS, "VoxelMorphHead variant")
        self.int_steps, self.int_downsize, self.half_res, self.bidir = int_steps, int_downsize, half_res, bidir
        self.smooth_weight, self.with_cp = smooth_weight, with_cp
        self.similarity = MODELS.build(dict(similarity or {"type": "MSE"}))
        self.smoothness = MODELS.build(dict(type="Gradient", penalty="l2"))
        below, finest = self._widths(features, variant, len(in_channels) - 1, convs_per_level)
        self._build(list(in_channels), below, finest)

    def _widths(
        self, features: Sequence[int] | None, variant: str, levels: int, convs: int
    ) -> tuple[list[tuple[int, ...]], tuple[int, ...]]:
        """Return the channels of the convolutions of each level, deepest first, and of the finest level."""
        if features is None:
            width, finest = self.VARIANTS[variant]
            features = (*[width] * (levels * convs), *finest)
        if levels < 1 or len(features) < levels * convs:
            raise ConfigError(
                "VoxelMorphHead.features",
                expected=f"at least {max(levels, 1) * convs} numbers for at least 2 levels",
                found=f"{len(features)} numbers for {levels + 1} levels",
                advice="give convs_per_level numbers for each level, and those of the finest level",
            )
        below = [tuple(features[level * convs : (level + 1) * convs]) for level in range(levels)]
        return below, tuple(features[levels * convs :])

    def _build(self, channels: list[int], below: list[tuple[int, ...]], finest: tuple[int, ...]) -> None:
        self.decoder, before = nn.ModuleList(), channels.pop()
        for level, widths in enumerate(below):
            self.decoder.append(self._chain((before, *widths)))
            skip = 0 if self.half_res and level == len(below) - 1 else channels.pop()
            before = widths[-1] + skip
        self.remaining = self._chain((before, *finest))
        self.velocity = CONVOLUTIONS[self.dims](finest[-1] if finest else before, self.dims, 3, padding=1)
        nn.init.normal_(self.velocity.weight, std=_START)
        nn.init.zeros_(self.velocity.bias)

    def _chain(self, widths: Sequence[int]) -> nn.Sequential:
        return nn.Sequential(*(conv_act(self.dims, a, b, nn.LeakyReLU(0.2, inplace=True)) for a, b in pairwise(widths)))

    # --- forward ---

    def forward(self, feats: Sequence[Tensor], batch: Batch = NO_BATCH) -> Tensor:
        """Return the velocity before integration, (N, n, *s), in voxels of its grid.

        Args:
            feats: one map per level, shallow first.
            batch: not used.
        """
        self.require_dims(feats)
        velocity = self.velocity(self._decoded(feats))
        if self.int_steps and self.int_downsize > 1 and not self.half_res:
            return resized(velocity, 1 / self.int_downsize) if self._is_large(velocity) else velocity
        return velocity

    def _decoded(self, feats: Sequence[Tensor]) -> Tensor:
        with_cp = self.with_cp and self.training
        x = feats[-1]
        for level, convs in enumerate(self.decoder[:-1]):
            x = _with_skip(run(convs, x, with_cp=with_cp), feats[-2 - level])
        x = run(self.decoder[-1], x, with_cp=with_cp)
        return run(self._finest, x, *feats[: 1 - self.half_res], with_cp=with_cp)

    def _finest(self, x: Tensor, *skip: Tensor) -> Tensor:
        return self.remaining(_with_skip(x, *skip) if skip else x)

    def _is_large(self, velocity: Tensor) -> bool:
        return min(velocity.shape[2:]) >= self.int_downsize

    def displacement(self, velocity: Tensor, like: Tensor) -> Tensor:
        """Integrate a velocity (N, n, *s), and return the field on the grid of the images ``like`` (N, C, *S)."""
        field = integrated(velocity, self.int_steps) if self.int_steps else velocity
        if self.int_steps and self.int_downsize > 1 and field.shape[2:] != like.shape[2:]:
            field = resized(field, self.int_downsize)
        return resized_to(field, like)

    def fields(self, feats: Sequence[Tensor], batch: Batch) -> Fields:
        """Return the integrals of the velocity and of the negative velocity, (B, n, *S) each."""
        velocity, fixed = self(feats, batch), batch.pairs().fixed
        velocity = velocity[:: len(velocity) // len(fixed)]
        return Fields(self.displacement(velocity, fixed), self.displacement(-velocity, fixed))

    # --- losses ---

    def loss(self, feats: Sequence[Tensor], batch: Batch) -> dict[str, Tensor]:
        """Return ``loss_similarity``, ``loss_smooth`` and, with ``bidir``, ``loss_similarity_inverse``."""
        velocity, roles = self(feats, batch), roles_of(feats, batch)
        share = 0.5 if self.bidir else 1.0
        moved = warped(roles.moving, self.displacement(velocity, roles.fixed))
        losses = {"loss_similarity": share * self.similarity(roles.fixed, moved)}
        if self.bidir:
            moved_back = warped(roles.fixed, self.displacement(-velocity, roles.fixed))
            losses["loss_similarity_inverse"] = share * self.similarity(roles.moving, moved_back)
        weight = self.smooth_weight * self.int_downsize
        return losses | {"loss_smooth": weight * self.smoothness(velocity)}


def _with_skip(x: Tensor, skip: Tensor) -> Tensor:
    """Enlarge a map by the nearest cell to the size of a finer level, and concatenate the level."""
    return torch.cat([F.interpolate(x, size=skip.shape[2:], mode="nearest"), skip], 1)
