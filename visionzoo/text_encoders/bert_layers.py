"""Layers of BERT (Devlin et al., NAACL 2019, arXiv:1810.04805), with the parameter names of the released files.

Every layer normalises after its residual sum. GELU is exact. A padded token has the score -1e4 in the attention, so a
phrase without any token attends evenly and gives no NaN.

Tensors: B batch, L tokens, C channels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BERT_VARIANTS: dict[str, dict[str, int]] = {
    "base": dict(width=768, depth=12, heads=12, ffn=3072),
    "large": dict(width=1024, depth=24, heads=16, ffn=4096),
    "minilm": dict(width=384, depth=6, heads=12, ffn=1536),
    "small": dict(width=768, depth=2, heads=12, ffn=512),
    "tiny": dict(width=32, depth=2, heads=2, ffn=64),
}

_EPS = 1e-12
_PADDED_SCORE = -1e4
_SPREAD = 0.02  # standard deviation of initial weights


class BertEmbeddings(nn.Module):
    """Sum of the embeddings of token, position and type, normalised. Every token has type 0."""

    def __init__(self, words: nn.Module, width: int, positions: int, dropout: float):
        super().__init__()
        self.word_embeddings = words
        self.position_embeddings = nn.Embedding(positions, width)
        self.token_type_embeddings = nn.Embedding(2, width)
        self.LayerNorm = nn.LayerNorm(width, eps=_EPS)
        self.dropout = nn.Dropout(dropout)

    def forward(self, ids: Tensor) -> Tensor:
        """Map ids (B, L) to (B, L, C)."""
        places = self.position_embeddings.weight[: ids.shape[1]]
        return self.dropout(self.LayerNorm(self.word_embeddings(ids) + places + self.token_type_embeddings.weight[0]))


class BertLayer(nn.Module):
    """Self-attention and two linear layers with GELU, each with a residual sum and a norm after it."""

    def __init__(self, width: int, heads: int, ffn: int, dropout: float):
        super().__init__()
        self.heads = heads
        projections = nn.ModuleDict({name: nn.Linear(width, width) for name in ("query", "key", "value")})
        self.attention: Any = nn.ModuleDict({"self": projections, "output": _output(width, width)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, ffn)})
        self.output = _output(ffn, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, scores: Tensor) -> Tensor:
        """Map (B, L, C) to the same; ``scores`` (B, 1, 1, L) are added to those of the attention."""
        x = self._summed(self.attention["output"], self._attended(x, scores), x)
        return self._summed(self.output, F.gelu(self.intermediate["dense"](x)), x)

    def _attended(self, x: Tensor, scores: Tensor) -> Tensor:
        inner = self.attention["self"]
        q, k, v = (inner[name](x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for name in ("query", "key", "value"))
        dropout = self.dropout.p if self.training else 0.0
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=scores.to(q.dtype), dropout_p=dropout)
        return out.transpose(1, 2).flatten(2)

    def _summed(self, output: nn.ModuleDict, change: Tensor, x: Tensor) -> Tensor:
        return output["LayerNorm"](x + self.dropout(output["dense"](change)))


def _output(inputs: int, width: int) -> nn.ModuleDict:
    return nn.ModuleDict({"dense": nn.Linear(inputs, width), "LayerNorm": nn.LayerNorm(width, eps=_EPS)})


class BertStack(nn.Module):
    """Layers of BERT, one after another."""

    def __init__(self, width: int, depth: int, heads: int, ffn: int, dropout: float):
        super().__init__()
        self.layer = nn.ModuleList(BertLayer(width, heads, ffn, dropout) for _ in range(depth))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Map (B, L, C) to the same; ``mask`` (B, L) is False for padding."""
        scores = (~mask)[:, None, None].to(x.dtype) * _PADDED_SCORE
        for layer in self.layer:
            x = layer(x, scores)
        return x


@torch.no_grad()
def initialise(module: nn.Module) -> None:
    """Set initial weights as BERT does: normal of deviation 0.02 for weights, 0 for biases, 1 for norms.

    Example:
        >>> layer = nn.Linear(2, 3)
        >>> initialise(layer)
        >>> layer.bias.tolist()
        [0.0, 0.0, 0.0]
    """
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Embedding):
            part.weight.normal_(std=_SPREAD)
        if isinstance(part, nn.Linear) and part.bias is not None:
            part.bias.zero_()
