"""Encoder of MICDIR: strided convolutions over the fixed and the moving image.

Chatterjee et al., "MICDIR: Multi-scale Inverse-consistent Deformable Image Registration using UNetMSS with
Self-Constructing Graph Latent", arXiv:2203.04317. Numbers and details follow the authors' released code.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Any

from torch import Tensor, nn

from visionzoo.allowed import Count, Items
from visionzoo.errors import require_known
from visionzoo.layers.image_pairs import PairEncoder
from visionzoo.layers.spatial import Dims, conv_act
from visionzoo.registry import MODELS


@MODELS.register_module()
class MICDIREncoder(PairEncoder):
    """Compute one map per convolution (3 voxels wide, no bias, LeakyReLU), after the pair of images itself.

    The first convolution has stride 1, each other one stride 2. Sides of odd length are rounded up. Sides that are
    multiples of 32 have exact halves on every level.

    Args:
        variant: ``mscgunet``, six convolutions of 16 and 32 channels; ``unetmss``, of 8 and 16 channels; ``tiny``.
        features: channels of every convolution, instead of those of the variant.
        dims: number of spatial axes, 1 to 3.
        in_channels: channels of both images together.
        both_directions: also encode each pair with the images in exchanged roles; see
            :class:`~visionzoo.layers.image_pairs.PairEncoder`.
        with_cp: recompute activations in the backward pass instead of storing them.
        init_cfg: initialisation config of mmengine.

    Attributes:
        out_channels: channels of each map; the first map is the input pair, fixed image first.
        out_strides: voxels per cell and axis of each map: 1, 1, 2, 4, 8, 16 and 32.

    Raises:
        UnknownName: an unknown variant.
        DataError: in ``forward``: the images have another number of axes or channels.

    Example:
        >>> import torch
        >>> encoder = MICDIREncoder("tiny", dims=2)
        >>> [tuple(feat.shape) for feat in encoder(torch.zeros(1, 2, 9, 12))]
        [(1, 2, 9, 12), (1, 4, 9, 12), (1, 8, 5, 6), (1, 8, 3, 3), (1, 8, 2, 2)]
    """

    VARIANTS: dict[str, tuple[int, ...]] = {
        "mscgunet": (16, 32, 32, 32, 32, 32),
        "unetmss": (8, 16, 16, 16, 16, 16),
        "tiny": (4, 8, 8, 8),
    }

    def __init__(
        self,
        variant: str = "mscgunet",
        *,
        features: Annotated[Sequence[Count], Items()] | None = None,
        dims: Dims = 3,
        in_channels: Count = 2,
        both_directions: bool = False,
        with_cp: bool = False,
        init_cfg: Any = None,
    ):
        super().__init__(dims, in_channels, both_directions, with_cp=with_cp, init_cfg=init_cfg)
        require_known(variant, self.VARIANTS, "MICDIREncoder variant")
        channels = (in_channels, *(self.VARIANTS[variant] if features is None else features))
        self.levels = nn.ModuleList(
            conv_act(dims, before, after, nn.LeakyReLU(0.2, inplace=True), stride=min(level + 1, 2), bias=False)
            for level, (before, after) in enumerate(pairwise(channels))
        )
        self.out_channels = channels
        self.out_strides = (1, *(2**level for level in range(len(self.levels))))

    def encode(self, pairs: Tensor) -> tuple[Tensor, ...]:
        """Return the pairs (N, in_channels, *S) and one map per convolution."""
        feats = [pairs]
        for level in self.levels:
            feats.append(self._run(level, feats[-1]))
        return tuple(feats)
