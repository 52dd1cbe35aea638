"""Reverse feature pyramid: one bottom-up pass in which each level fuses its two neighbours (paper, section 3.2).

Tensors: B batch, C channels (equal on all levels), H and W size of a level in cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from visionzoo.necks.rcnet.blocks import fusing_conv, grow, shrink, size_of, zeros

DCN_V2 = {"type": "DCNv2", "deform_groups": 2}


class FusionNode(nn.Module):
    """Fusion of one level of RevFP with the next coarser level and the finished finer level by learnt shares.

    Initially every share is 0.5 and the attention is 1 everywhere.

    Args:
        channels: number of channels C.
        takes_coarser: fuse a coarser level, weighted by spatial attention.
        takes_finer: fuse a finer, finished level. At least one of the two must be True.
        norm_cfg: norm after the fusing convolutions; None for no norm.
        out_conv_cfg: ``dict(type="DCNv2", deform_groups=G)``; ``None`` for plain 3x3 convolutions.
    """

    def __init__(
        self,
        channels: int,
        *,
        takes_coarser: bool,
        takes_finer: bool,
        norm_cfg: Mapping | None = None,
        out_conv_cfg: Mapping | None = DCN_V2,
    ):
        super().__init__()
        self.scale = channels**-0.5
        if takes_coarser:
            self.temp = nn.Parameter(torch.ones(1))
        self.weight = nn.ModuleList(nn.Conv2d(2 * channels, 1, 1) for _ in range(takes_coarser + takes_finer))
        if takes_coarser:
            self.spatial_weight = nn.Conv2d(2 * channels, 1, 3, padding=1)
        self.post_fusion = fusing_conv(channels, norm_cfg, out_conv_cfg)
        if takes_coarser and takes_finer:
            self.pre_fusion = fusing_conv(channels, norm_cfg, out_conv_cfg)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set equal shares and uniform attention."""
        for conv in self.weight:
            zeros(conv)
        if hasattr(self, "spatial_weight"):
            zeros(self.spatial_weight)
            nn.init.ones_(self.temp)

    def forward(self, level: Tensor, coarser: Tensor | None = None, finer: Tensor | None = None) -> Tensor:
        """Return the fused level, (B, C, H, W); the other levels may have other sizes."""
        size = size_of(level)
        mixed = level
        if coarser is not None:
            mixed = self._attend(level, grow(coarser, size))
        if finer is not None:
            finer = shrink(finer, size)
            own = self.pre_fusion(mixed) if coarser is not None else level
            share = self._share(self.weight[-1], own, finer)
            mixed = torch.addcmul(share * own, 1 - share, finer)
        return self.post_fusion(mixed)

    def _attend(self, level: Tensor, coarser: Tensor) -> Tensor:
        share = self._share(self.weight[0], level, coarser)
        return torch.addcmul(share * level, (1 - share) * self.attention(level, coarser), coarser)

    def _share(self, conv: nn.Module, own: Tensor, other: Tensor) -> Tensor:
        """Return the share of ``own``, one number in (0, 1) per image: (B, 1, 1, 1)."""
        means = torch.cat([own.mean((2, 3), keepdim=True), other.mean((2, 3), keepdim=True)], 1)
        return conv(means).sigmoid()

    def attention(self, level: Tensor, coarser: Tensor) -> Tensor:
        """Return the weights of the positions of ``coarser``, resized to this level: (B, 1, H, W) of mean 1."""
        logits = self.temp * self.scale * self.spatial_weight(torch.cat([level, coarser], 1))
        return logits.flatten(1).softmax(1).view_as(logits) * (logits.shape[2] * logits.shape[3])


class RevFP(nn.Module):
    """Reverse feature pyramid on maps of equal channels, fine to coarse.

    Nodes are named ``p3``, ``p4``, ... as in the paper, for any strides.

    Args:
        channels: channels C of every input and output level.
        num_levels: number of levels, at least 2.
        norm_cfg: norm after the fusing convolutions; None for no norm.
        out_conv_cfg: ``dict(type="DCNv2", deform_groups=G)``; ``None`` for plain 3x3 convolutions.

    Example:
        >>> pyramid = RevFP(8, num_levels=2, out_conv_cfg=None)
        >>> [tuple(x.shape) for x in pyramid([torch.zeros(1, 8, 4, 4), torch.zeros(1, 8, 2, 2)])]
        [(1, 8, 4, 4), (1, 8, 2, 2)]
    """

    def __init__(
        self,
        channels: int,
        num_levels: int = 5,
        *,
        norm_cfg: Mapping | None = None,
        out_conv_cfg: Mapping | None = DCN_V2,
    ):
        super().__init__()
        last = num_levels - 1
        for i in range(num_levels):
            node = FusionNode(
                channels, takes_coarser=i < last, takes_finer=i > 0, norm_cfg=norm_cfg, out_conv_cfg=out_conv_cfg
            )
            self.add_module(f"p{i + 3}", node)

    def forward(self, feats: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Map one (B, C, H_i, W_i) per level, fine to coarse, to maps of the same sizes."""
        finished: list[Tensor] = []
        for i, node in enumerate(self.children()):
            coarser = feats[i + 1] if i + 1 < len(feats) else None
            finished.append(node(feats[i], coarser, finished[-1] if finished else None))
        return tuple(finished)
