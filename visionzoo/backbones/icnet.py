"""Encoder of ICNet: two convolutions per level over the two images of a pair.

Zhang, "Inverse-Consistent Deep Networks for Unsupervised Deformable Image Registration", arXiv:1809.03443. Numbers and
details follow the author's released code.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from visionzoo.allowed import Count
from visionzoo.errors import require_known
from visionzoo.layers.image_pairs import PairEncoder
from visionzoo.layers.spatial import Dims, conv_act
from visionzoo.registry import MODELS


@MODELS.register_module()
class ICNetEncoder(PairEncoder):
    """Compute one map per level: two convolutions without bias and ReLU, the first one with stride 2 after level 0.

    Sides of odd length are rounded up. Sides that are multiples of 16 have exact halves on every level, as in the
    released code.

    Args:
        variant: ``default``, c = 8 channels on the first level and 2 c, 4 c, 8 c and 8 c on the others; ``tiny``.
        dims: number of spatial axes, 1 to 3.
        in_channels: channels of both images together.
        both_directions: also encode each pair with the images in exchanged roles; see
            :class:`~visionzoo.layers.image_pairs.PairEncoder`. The losses require it.
        with_cp: recompute activations in the backward pass instead of storing them.
        init_cfg: initialisation config of mmengine.

    Attributes:
        out_channels: channels of each map, shallow first.
        out_strides: voxels per cell and axis of each map; 1, 2, 4, 8 and 16 for ``default``.

    Raises:
        UnknownName: an unknown variant.
        DataError: in ``forward``: the images have another number of axes or channels.

    Example:
        >>> import torch
        >>> encoder = ICNetEncoder("tiny", dims=2)
        >>> [tuple(feat.shape) for feat in encoder(torch.zeros(1, 2, 8, 12))]
        [(1, 2, 8, 12), (1, 4, 4, 6), (1, 8, 2, 3)]
    """

    # Channels of the two convolutions of each level.
    VARIANTS: dict[str, tuple[tuple[int, int], ...]] = {
        "default": ((8, 8), (16, 16), (32, 32), (64, 64), (128, 64)),
        "tiny": ((2, 2), (4, 4), (16, 8)),
    }

    def __init__(
        self,
        variant: str = "default",
        *,
        dims: Dims = 3,
        in_channels: Count = 2,
        both_directions: bool = False,
        with_cp: bool = False,
        init_cfg: Any = None,
    ):
        # The author's network receives the moving image first.
        order = ("moving", "fixed")
        super().__init__(dims, in_channels, both_directions, order=order, with_cp=with_cp, init_cfg=init_cfg)
        require_known(variant, self.VARIANTS, "ICNetEncoder variant")
        widths = self.VARIANTS[variant]
        self.levels, before = nn.ModuleList(), in_channels
        for level, (first, second) in enumerate(widths):
            strided = conv_act(dims, before, first, nn.ReLU(inplace=True), stride=min(level + 1, 2), bias=False)
            self.levels.append(nn.Sequential(strided, conv_act(dims, first, second, nn.ReLU(inplace=True), bias=False)))
            before = second
        self.out_channels = tuple(second for _, second in widths)
        self.out_strides = tuple(2**level for level in range(len(widths)))

    def encode(self, pairs: Tensor) -> tuple[Tensor, ...]:
        """Return one map per level of (N, in_channels, *S)."""
        feats, x = [], pairs
        for level in self.levels:
            x = self._run(level, x)
            feats.append(x)
        return tuple(feats)
