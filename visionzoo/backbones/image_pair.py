"""The two images of a pair as feature map, for heads that register without a network."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from visionzoo.allowed import Count
from visionzoo.errors import require_known
from visionzoo.layers.image_pairs import PairEncoder
from visionzoo.layers.spatial import Dims
from visionzoo.registry import MODELS


@MODELS.register_module()
class ImagePair(PairEncoder):
    """Return the fixed and the moving image as channels of one map. It has no parameters.

    Args:
        variant: ``default`` or ``tiny``, which are equal.
        dims: number of spatial axes, 1 to 3.
        in_channels: channels of both images together.
        both_directions: also return each pair with the images in exchanged roles; see
            :class:`~visionzoo.layers.image_pairs.PairReader`.
        init_cfg: initialisation config of mmengine.

    Attributes:
        out_channels: ``(in_channels,)``.
        out_strides: ``(1,)``.

    Raises:
        UnknownName: an unknown variant.
        DataError: in ``forward``: the images have another number of axes or channels.

    Example:
        >>> import torch
        >>> [tuple(feat.shape) for feat in ImagePair(dims=2)(torch.zeros(1, 2, 9, 12))]
        [(1, 2, 9, 12)]
    """

    VARIANTS: dict[str, tuple[()]] = {"default": (), "tiny": ()}

    def __init__(
        self,
        variant: str = "default",
        *,
        dims: Dims = 3,
        in_channels: Count = 2,
        both_directions: bool = False,
        init_cfg: Any = None,
    ):
        super().__init__(dims, in_channels, both_directions, init_cfg=init_cfg)
        require_known(variant, self.VARIANTS, "ImagePair variant")
        self.out_channels, self.out_strides = (in_channels,), (1,)

    def encode(self, pairs: Tensor) -> tuple[Tensor, ...]:
        """Return the pairs (N, in_channels, *S)."""
        return (pairs,)
