"""CFI of WiCo: pixels read proposals and proposals read pixels.

Cheng et al., IJCAI 2023, arXiv:2306.10750. The purpose, that the features of both branches complement each other, is
the paper's. Its equations were not accessible, so the form is our choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from visionzoo.allowed import Count, Few, Items
from visionzoo.heads.wico.proposals import Proposals
from visionzoo.layers.language import require_heads
from visionzoo.registry import MODELS

# Weight of a pixel outside of the mask of a proposal, before its logarithm.
_OUTSIDE = 1e-3


@MODELS.register_module()
class CFI(nn.Module):
    """Complementary feature interaction (the paper's idea, our form).

    Attention from pixels to proposals and from proposals to pixels, each after a norm. The logarithm of the mask of a
    proposal, plus 0.001, is added to the scores, so the extent of the objects is known. Each result is added to its
    input, times the tanh of a gate that starts at 0: at the start, the two branches are separate. An image without
    proposals does not change.

    Args:
        in_channels: channels C of the map and D of the embeddings of proposals; filled in by the head.
        width, heads: channels of the attention and number of its heads.
        to_pixels: pixels read proposals.
        to_objects: proposals read pixels.

    Raises:
        ConfigError: a number out of its range, or ``heads`` does not divide ``width``.

    Example:
        >>> from visionzoo.heads.wico.proposals import whole_images
        >>> feat, objects = torch.rand(2, 8, 3, 4), torch.rand(2, 1, 6)
        >>> pixels, _ = CFI((8, 6), width=16, heads=2)(feat, objects, whole_images(2, (48, 64)))
        >>> torch.equal(pixels, feat)
        True
    """

    PART_OF = "WiCoHead"

    def __init__(
        self,
        in_channels: Annotated[Sequence[Count], Items(2, 2)],
        *,
        width: Count = 256,
        heads: Few = 8,
        to_pixels: bool = True,
        to_objects: bool = True,
    ):
        super().__init__()
        require_heads(heads, width, "CFI")
        channels, object_channels = in_channels
        self.pixels = _GatedAttention(channels, object_channels, width, heads) if to_pixels else None
        self.objects = _GatedAttention(object_channels, channels, width, heads) if to_objects else None

    def forward(self, feat: Tensor, objects: Tensor, proposals: Proposals) -> tuple[Tensor, Tensor]:
        """Map the map (B, C, h, w) and embeddings (B, K, D) to the same shapes."""
        present = proposals.present[:, None, None].to(feat.dtype)
        height, width = feat.shape[2:]
        extent = (F.adaptive_avg_pool2d(proposals.masks, (height, width)).flatten(2) + _OUTSIDE).log()
        tokens, before = feat.flatten(2).transpose(1, 2), objects
        if self.objects is not None:
            objects = objects + present * self.objects(objects, tokens, extent)
        if self.pixels is not None:
            bias = (extent + proposals.scores_of_padding()[..., None]).transpose(1, 2)
            update = present * self.pixels(tokens, before, bias)
            feat = feat + update.transpose(1, 2).unflatten(2, (height, width))
        return feat, objects


class _GatedAttention(nn.Module):
    """Attention of queries (B, N, Cq) to keys (B, M, Ck) with a bias (B, N, M), times the tanh of a gate."""

    def __init__(self, query_channels: int, key_channels: int, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query_norm, self.key_norm = nn.LayerNorm(query_channels), nn.LayerNorm(key_channels)
        self.query, self.key_value = nn.Linear(query_channels, width), nn.Linear(key_channels, 2 * width)
        self.out = nn.Linear(width, query_channels)
        self.gate = nn.Parameter(torch.zeros(()))

    def forward(self, queries: Tensor, keys: Tensor, bias: Tensor) -> Tensor:
        """Return (B, N, Cq)."""
        k, v = self.key_value(self.key_norm(keys)).chunk(2, -1)
        q, k, v = (
            each.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for each in (self.query(self.query_norm(queries)), k, v)
        )
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias[:, None].to(q.dtype))
        return self.gate.tanh() * self.out(out.transpose(1, 2).flatten(2))
