"""ICNet: displacement fields of both directions that are inverse to each other.

Zhang, "Inverse-Consistent Deep Networks for Unsupervised Deformable Image Registration", arXiv:1809.03443. Numbers and
details follow the author's released code.

Tensors: B pairs, C channels, n spatial axes, S sides in voxels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Literal, Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visionzoo.allowed import Count, Positive, Weight
from visionzoo.errors import ConfigError, DataError, counted, require_known
from visionzoo.layers.registration import Fields, InstanceOptions, RegistrationHead, both_ways, roles_of
from visionzoo.layers.spatial import CONVOLUTIONS, TRANSPOSED, conv_act, run
from visionzoo.layers.velocity import resized_to, warped
from visionzoo.ops.warp import invert
from visionzoo.registry import MODELS
from visionzoo.structures.batch import NO_BATCH, Batch

_MOST_LEVELS = 5


@MODELS.register_module()
class ICNetHead(RegistrationHead):
    """Decode the levels of an encoder to a displacement field of limited length.

    Each level below the finest one: transposed convolution by the ratio of the strides, concatenation of the next finer
    level, two convolutions. A convolution of one voxel and tanh follow on the finest level. The loss is computed for
    both directions: squared errors of the images, inverse consistency, folds and smoothness of the fields.

    Reads no ground truth. Writes the fields of :class:`~visionzoo.layers.registration.RegistrationHead`. The inverse
    field is that of the other direction. If the encoder has one direction, it is computed from the field.

    Args:
        in_channels: channels of all levels, shallow first; filled in from the encoder. The last level is the start. Of
            levels with equal strides, only the last is used, and of more than five, the five finest.
        in_strides: voxels per cell of all levels, each a multiple of the one before; filled in from the encoder. None:
            each is twice the one before, as in the paper.
        variant: ``default``, c = 8, or ``tiny``, c = 2: the decoder's convolutions have 2 c to 8 c channels.
        dims: number of spatial axes n, 2 or 3.
        range_flow: largest displacement along each axis, > 0, in cells of the finest level: voxels if its stride is 1.
        similarity: config of the similarity loss of two images, ``dict(type="MSE")`` by default.
        inverse_weight, antifold_weight, smooth_weight: factors of the other losses, >= 0.
        with_cp: recompute activations in the backward pass instead of storing them.
        instance_steps, instance_similarity, init_cfg: see :class:`~visionzoo.layers.registration.RegistrationHead`.

    Raises:
        ConfigError: fewer than 2 levels are used, or the stride of one is not a multiple of the one before.
        DataError: in ``loss``: the encoder has one direction.
        UnknownName: an unknown variant.

    Example:
        >>> head = ICNetHead([2, 4, 8], variant="tiny", dims=2)
        >>> head([torch.zeros(1, 2, 8, 12), torch.zeros(1, 4, 4, 6), torch.zeros(1, 8, 2, 3)]).shape
        torch.Size([1, 2, 8, 12])
    """

    LEAST_LEVELS = 2

    # Width c.
    VARIANTS: dict[str, int] = {"default": 8, "tiny": 2}

    # Channels of the two convolutions of each level, as multiples of c, coarse first.
    _WIDTHS = ((8, 4), (4, 2), (4, 2), (2, 2))

    def __init__(
        self,
        in_channels: Sequence[Count],
        variant: str = "default",
        *,
        in_strides: Sequence[Count] | None = None,
        dims: Literal[2, 3] = 3,
        range_flow: Positive = 7.0,
        similarity: Mapping | None = None,
        inverse_weight: Weight = 0.05,
        antifold_weight: Weight = 1e5,
        smooth_weight: Weight = 0.5,
        with_cp: bool = False,
        **instance: Unpack[InstanceOptions],
    ):
        super().__init__(dims, **instance)
        require_known(variant, self.VARIANTS, "ICNetHead variant")
        self.range_flow, self.with_cp = range_flow, with_cp
        self.weights = {"inverse": inverse_weight, "antifold": antifold_weight, "smooth": smooth_weight}
        self.similarity = MODELS.build(dict(similarity or {"type": "MSE"}))
        self.smoothness = MODELS.build(dict(type="Gradient", penalty="l2"))
        self.consistency = MODELS.build(dict(type="InverseConsistency"))
        self.antifolding = MODELS.build(dict(type="AntiFolding"))
        strides = _strides_of(in_channels, in_strides)
        self.levels = _used_levels(strides)
        scales = [strides[coarse] // strides[fine] for fine, coarse in pairwise(self.levels)]
        self._build([in_channels[level] for level in self.levels], scales, self.VARIANTS[variant])

    def _build(self, channels: Sequence[int], scales: Sequence[int], width: int) -> None:
        self.upsamplers, self.decoder, before = nn.ModuleList(), nn.ModuleList(), channels[-1]
        widths = self._WIDTHS[len(self._WIDTHS) + 1 - len(channels) :]
        for skip, scale, (first, second) in zip(reversed(channels[:-1]), reversed(scales), widths, strict=True):
            up = TRANSPOSED[self.dims](before, before, scale, stride=scale)
            self.upsamplers.append(nn.Sequential(up, nn.ReLU(inplace=True)))
            convs = (self._conv(before + skip, first * width), self._conv(first * width, second * width))
            self.decoder.append(nn.Sequential(*convs))
            before = second * width
        self.flow = CONVOLUTIONS[self.dims](before, self.dims, 1, bias=False)

    def _conv(self, before: int, after: int) -> nn.Sequential:
        return conv_act(self.dims, before, after, nn.ReLU(inplace=True), bias=False)

    # --- forward ---

    def forward(self, feats: Sequence[Tensor], batch: Batch = NO_BATCH) -> Tensor:
        """Return the displacement field in voxels on its grid, (N, n, *s); channel i displaces along axis i.

        Args:
            feats: one map per level, shallow first.
            batch: not used.
        """
        self.require_dims(feats)
        feats = [feats[level] for level in self.levels]
        x = feats[-1]
        for up, convs, skip in zip(self.upsamplers, self.decoder, reversed(feats[:-1]), strict=True):
            x = torch.cat([_of_size(up(x), skip), skip], 1)
            x = run(convs, x, with_cp=self.with_cp and self.training)
        # The author's first channel displaces along the last axis.
        return self.range_flow * self.flow(x).tanh().flip(1)

    def fields(self, feats: Sequence[Tensor], batch: Batch) -> Fields:
        """Return the fields of both directions, (B, n, *S) each."""
        roles = roles_of(feats, batch)
        field = resized_to(self(feats, batch), roles.fixed)
        return both_ways(field) if roles.directions == 2 else Fields(field, invert(field))

    # --- losses ---

    def loss(self, feats: Sequence[Tensor], batch: Batch) -> dict[str, Tensor]:
        """Return ``loss_similarity``, ``loss_inverse``, ``loss_antifold`` and ``loss_smooth``: sums of both directions.

        Raises:
            DataError: the encoder has one direction.
        """
        roles = roles_of(feats, batch)
        if roles.directions != 2:
            raise DataError(
                "ICNetHead",
                expected="feature maps of both directions",
                found="those of one",
                advice="set both_directions=True of model.backbone",
            )
        field = resized_to(self(feats, batch), roles.fixed)
        terms = {
            "inverse": self.consistency(*both_ways(field)),
            "antifold": 2 * self.antifolding(field),
            "smooth": 2 * self.smoothness(field),
        }
        losses = {"loss_similarity": 2 * self.similarity(roles.fixed, warped(roles.moving, field))}
        return losses | {f"loss_{name}": self.weights[name] * value for name, value in terms.items()}


def _of_size(x: Tensor, like: Tensor) -> Tensor:
    """Crop or pad (N, C, *s) at the end of each axis, because encoders round odd sides up or down."""
    missing = [b - a for a, b in zip(x.shape[2:], like.shape[2:], strict=True)]
    return F.pad(x, [width for amount in reversed(missing) for width in (0, amount)]) if any(missing) else x


def _strides_of(in_channels: Sequence[int], in_strides: Sequence[int] | None) -> list[int]:
    return list(in_strides or [2**level for level in range(len(in_channels))])


def _used_levels(strides: Sequence[int]) -> list[int]:
    """Return the indices of the levels that the head reads: of equal strides the last, and at most the five finest."""
    used = [level for level in range(len(strides)) if strides[level] not in strides[level + 1 :]][:_MOST_LEVELS]
    if len(used) < 2 or any(strides[coarse] % strides[fine] for fine, coarse in pairwise(used)):
        raise ConfigError(
            "ICNetHead.in_channels",
            expected="at least 2 levels of different strides, each a multiple of the one before",
            found=f"{counted(len(strides), 'level')} of strides {', '.join(map(str, strides))}",
            advice="use another model.backbone, such as ICNetEncoder",
        )
    return used
