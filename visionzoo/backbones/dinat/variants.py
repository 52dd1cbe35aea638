"""Variants of NAT, DiNAT and DiNAT_s, and their dilations for each use.

Numbers: NAT (arXiv 2204.07143, table 1), DiNAT (arXiv 2209.15001, tables 1 and 2) and the authors' configs at
SHI-Labs/Neighborhood-Attention-Transformer@d334f5b.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

from visionzoo.errors import ConfigError, require_known

Dilations = str | int | Sequence[Sequence[int]] | None

# Tokenizers: two strided convolutions, or patches of 4x4 pixels as in Swin (DiNAT_s).
CONV, PATCH = "conv", "patch"


@dataclass(frozen=True)
class Design:
    """Settings that differ between the variants.

    Attributes:
        depths: number of layers of each stage.
        embed_dim: channels of stage 1. They double from stage to stage.
        num_heads: number of heads of each stage; None for one head per 32 channels.
        mlp_ratio: hidden width of the perceptrons divided by the channels.
        kernel_size: number of neighbours along each axis, odd.
        dilations: name of a use, one list per stage, or 1 or None for no dilation; see :func:`dilations_of`.
        layer_scale: initial factor of each branch; None for no factors.
        tokenizer: ``conv`` or ``patch``.
        drop_path_rate: rate of the last layer, as the authors train the classifier.
    """

    depths: tuple[int, ...]
    embed_dim: int
    num_heads: tuple[int, ...] | None = None
    mlp_ratio: float = 3.0
    kernel_size: int = 7
    dilations: Dilations = "imagenet"
    layer_scale: float | None = None
    tokenizer: str = CONV
    drop_path_rate: float = 0.0

    @property
    def heads(self) -> tuple[int, ...]:
        """Number of heads of each stage."""
        return self.num_heads or tuple(self.embed_dim * 2**stage // 32 for stage in range(len(self.depths)))


_MINI = dict(depths=(3, 4, 6, 5), embed_dim=64, drop_path_rate=0.2)
_TINY = dict(depths=(3, 4, 18, 5), embed_dim=64, drop_path_rate=0.2)
_SMALL = dict(depths=(3, 4, 18, 5), embed_dim=96, mlp_ratio=2.0, drop_path_rate=0.3)
_BASE = dict(depths=(3, 4, 18, 5), embed_dim=128, mlp_ratio=2.0, drop_path_rate=0.5)
_LARGE = dict(depths=(3, 4, 18, 5), embed_dim=192, mlp_ratio=2.0, drop_path_rate=0.35)
_NAT = dict(dilations=None)
_SCALED = dict(layer_scale=1e-5)
_SWIN = dict(mlp_ratio=4.0, tokenizer=PATCH)
# For tests and drawn images. Maps of 64 pixels are smaller than some of its windows.
_OF_NO_PAPER = dict(
    depths=(2, 2, 2, 2),
    embed_dim=16,
    num_heads=(1, 2, 4, 8),
    mlp_ratio=2.0,
    kernel_size=3,
    dilations=((1, 4), (1, 2), (1, 2), (1, 1)),
)

VARIANTS: dict[str, dict[str, Any]] = {
    "nat_mini": {**_MINI, **_NAT},
    "nat_tiny": {**_TINY, **_NAT},
    "nat_small": {**_SMALL, **_NAT, **_SCALED},
    "nat_base": {**_BASE, **_NAT, **_SCALED},
    "dinat_mini": _MINI,
    "dinat_tiny": _TINY,
    "dinat_small": _SMALL,  # unlike NAT-Small, without layer scale
    "dinat_base": {**_BASE, **_SCALED},
    "dinat_large": _LARGE,
    "dinat_large_k11": {**_LARGE, "kernel_size": 11},
    "dinat_s_tiny": {**_SWIN, "depths": (2, 2, 6, 2), "embed_dim": 96, "drop_path_rate": 0.2},
    "dinat_s_small": {**_SWIN, "depths": (2, 2, 18, 2), "embed_dim": 96, "drop_path_rate": 0.3},
    "dinat_s_base": {**_SWIN, "depths": (2, 2, 18, 2), "embed_dim": 128, "drop_path_rate": 0.5},
    "dinat_s_large": {**_SWIN, "depths": (2, 2, 18, 2), "embed_dim": 192, "drop_path_rate": 0.35},
    "tiny": {**_OF_NO_PAPER, "layer_scale": 0.1},
    "tiny_s": {**_OF_NO_PAPER, "tokenizer": PATCH},
}

_COCO_3, _ADE_3 = (1, 3, 1, 5, 1, 7), (1, 2, 1, 3, 1, 4)
_ADE_640_3 = (1, 2, 1, 3, 1, 4, 1, 5, 1, 2, 1, 3, 1, 4, 1, 5, 1, 5)
_M2F_3 = (1, 2, 1, 3, 1, 2, 1, 3, 1, 2, 1, 3, 1, 2, 1, 3, 1, 3)

# Dilations that repeat within each of the four stages; by tokenizer where the two differ.
_USES: Mapping[str, Sequence[Any]] = {
    "imagenet": ((1, 8), (1, 4), (1, 2), (1,)),
    "imagenet_384": ((1, 13), (1, 6), (1, 3), (1,)),
    "coco": ((1, 28), {CONV: (1, 7, 1, 14), PATCH: (1, 14)}, _COCO_3, (1, 3)),
    "ade20k": ((1, 16), {CONV: (1, 4, 1, 8), PATCH: (1, 8)}, _ADE_3, (1, 2)),
    "ade20k_640": ((1, 20), {CONV: (1, 5, 1, 10), PATCH: (1, 10)}, _ADE_640_3, (1, 2)),
    "mask2former_coco": ((1, 14), (1, 4, 1, 7), _M2F_3, (1,)),
}


def dilations_of(given: Dilations, depths: Sequence[int], tokenizer: str = CONV) -> tuple[tuple[int, ...], ...]:
    """Return the dilation of each layer of each stage.

    Args:
        given: ``imagenet`` (224 pixels), ``imagenet_384``, ``coco``, ``ade20k`` (512), ``ade20k_640``,
            ``mask2former_coco``; one list of numbers per stage; or 1 or None for no dilation.
        depths: number of layers of each stage.
        tokenizer: ``conv`` (DiNAT) or ``patch`` (DiNAT_s).

    Raises:
        UnknownName: an unknown use.
        ConfigError: the lengths of the lists do not equal ``depths``.

    Example:
        >>> dilations_of("coco", (3, 4, 6, 5))[1]
        (1, 7, 1, 14)
    """
    if given is None or given == 1:
        return tuple((1,) * depth for depth in depths)
    if isinstance(given, str):
        return _of_use(given, depths, tokenizer)
    lengths = [] if isinstance(given, int) else [len(stage) for stage in given]
    if isinstance(given, int) or lengths != list(depths):
        raise ConfigError(
            "DiNAT.dilations",
            expected=f"{list(depths)} numbers for the stages, as in depths",
            found=f"{lengths}",
            advice="give one number per layer",
        )
    return tuple(tuple(stage) for stage in given)


def _of_use(use: str, depths: Sequence[int], tokenizer: str) -> tuple[tuple[int, ...], ...]:
    require_known(use, _USES, "set of DiNAT dilations")
    stages = [stage[tokenizer] if isinstance(stage, Mapping) else stage for stage in _USES[use]]
    return tuple(tuple(islice(cycle(stage), depth)) for stage, depth in zip(stages, depths))
