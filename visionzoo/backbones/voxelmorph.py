"""Encoder of VoxelMorph: convolutions and max-pooling over the moving and the fixed image.

Balakrishnan et al., "VoxelMorph: A Learning Framework for Deformable Medical Image Registration", TMI 2019,
arXiv:1809.05231. Numbers and details follow the authors' released code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from visionzoo.allowed import Count, Few
from visionzoo.errors import ConfigError, require_known
from visionzoo.layers.image_pairs import PairEncoder
from visionzoo.layers.spatial import MAX_POOLS, Dims, conv_act
from visionzoo.registry import MODELS


@MODELS.register_module()
class VoxelMorphEncoder(PairEncoder):
    """Compute one map per level, 3-voxel convolutions and LeakyReLU, and the last map after one more max-pooling.

    Sides of odd length are rounded down by max-pooling, and the head restores them. Sides that are multiples of
    ``2 ** levels`` are exact halves on every level, as in the released code.

    Args:
        variant: ``default``, levels of 16, 32, 32 and 32 channels; ``wide``, five levels of 32 channels, as in the
            baseline of MICDIR; ``tiny``.
        features: channels of every convolution, instead of those of the variant.
        convs_per_level: convolutions per level, which must divide the number of ``features``.
        dims: number of spatial axes, 1 to 3.
        in_channels: channels of both images together.
        both_directions: also encode each pair with the images in exchanged roles; see
            :class:`~visionzoo.layers.image_pairs.PairEncoder`. The head does not require it.
        with_cp: recompute activations in the backward pass instead of storing them.
        init_cfg: initialisation config of mmengine.

    Attributes:
        out_channels: channels of each map, shallow first; the last map is the pooled one.
        out_strides: voxels per cell and axis of each map; 1, 2, 4, 8 and 16 for four levels.

    Raises:
        UnknownName: an unknown variant.
        ConfigError: ``convs_per_level`` does not divide the number of features.
        DataError: in ``forward``: the images have another number of axes or channels.

    Example:
        >>> import torch
        >>> encoder = VoxelMorphEncoder("tiny", dims=2)
        >>> [tuple(feat.shape) for feat in encoder(torch.zeros(1, 2, 8, 12))]
        [(1, 4, 8, 12), (1, 8, 4, 6), (1, 8, 2, 3), (1, 8, 1, 1)]
    """

    VARIANTS: dict[str, tuple[int, ...]] = {
        "default": (16, 32, 32, 32),
        "wide": (32, 32, 32, 32, 32),
        "tiny": (4, 8, 8),
    }

    def __init__(
        self,
        variant: str = "default",
        *,
        features: Sequence[Count] | None = None,
        convs_per_level: Few = 1,
        dims: Dims = 3,
        in_channels: Count = 2,
        both_directions: bool = False,
        with_cp: bool = False,
        init_cfg: Any = None,
    ):
        order = ("moving", "fixed")  # the authors' source and target
        super().__init__(dims, in_channels, both_directions, order=order, with_cp=with_cp, init_cfg=init_cfg)
        require_known(variant, self.VARIANTS, "VoxelMorphEncoder variant")
        widths = _by_level(self.VARIANTS[variant] if features is None else features, convs_per_level)
        self.levels, before = nn.ModuleList(), in_channels
        for level in widths:
            chain = [conv_act(dims, a, b, nn.LeakyReLU(0.2, inplace=True)) for a, b in zip((before, *level), level)]
            self.levels.append(nn.Sequential(*chain))
            before = level[-1]
        self.pool = MAX_POOLS[dims](2)
        self.out_channels = (*(level[-1] for level in widths), before)
        self.out_strides = tuple(2**level for level in range(len(widths) + 1))

    def encode(self, pairs: Tensor) -> tuple[Tensor, ...]:
        """Return one map per level, and the last one pooled. A map with a side of one voxel is not pooled."""
        feats, x = [], pairs
        for level in self.levels:
            feats.append(self._run(level, x))
            x = self.pool(feats[-1]) if min(feats[-1].shape[2:]) > 1 else feats[-1]
        return (*feats, x)


def _by_level(features: Sequence[int], convs: int) -> list[tuple[int, ...]]:
    if not features or len(features) % convs:
        raise ConfigError(
            "VoxelMorphEncoder.features",
            expected=f"a multiple of {convs} numbers for convs_per_level",
            found=f"{list(features)}",
            advice="give convs_per_level numbers for each level",
        )
    return [tuple(features[start : start + convs]) for start in range(0, len(features), convs)]
