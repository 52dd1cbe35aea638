"""Word vectors and a gated recurrent unit (Cho et al., EMNLP 2014, arXiv:1406.1078), a small text encoder."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from visionzoo.allowed import Count, Few
from visionzoo.layers.variants import variant_options
from visionzoo.registry import MODELS
from visionzoo.text_encoders.phrases import HashedEmbedding, Padding, PhraseEncoder
from visionzoo.tokenizers.word_pieces import WordPieceTokenizer


@MODELS.register_module()
class GRUTextEncoder(PhraseEncoder):
    """Word pieces, their vectors, and a GRU in both directions.

    It has no pretrained weights. The vectors of all word pieces are sums of two rows of a small table, see
    :class:`~visionzoo.text_encoders.phrases.HashedEmbedding`. It computes in float32, also under autocast.

    Args:
        variant: ``base`` or ``tiny``.
        rows: rows of the table of word vectors, instead of those of the variant; also ``embed``, channels of a word
            vector, ``hidden``, channels of each direction, and ``depth``, the number of layers.
        vocab_file, max_tokens: see :class:`~visionzoo.tokenizers.word_pieces.WordPieceTokenizer`.
        out_channels, padding: see :class:`~visionzoo.text_encoders.phrases.PhraseEncoder`. The width of the states is
            ``2 * hidden``.

    Raises:
        UnknownName: an unknown variant.
        DataError: the vocabulary cannot be read.

    Example:
        >>> text = GRUTextEncoder("tiny")(["the left box", ""])
        >>> text.states.shape, text.mask.sum(1).tolist()
        (torch.Size([2, 5, 32]), [5, 2])
    """

    VARIANTS: dict[str, dict[str, int]] = {
        "base": dict(rows=1024, embed=300, hidden=384, depth=1),
        "tiny": dict(rows=1024, embed=32, hidden=16, depth=1),
    }

    def __init__(
        self,
        variant: str = "base",
        *,
        rows: Count | None = None,
        embed: Count | None = None,
        hidden: Count | None = None,
        depth: Few | None = None,
        vocab_file: str | None = None,
        max_tokens: Count = 20,
        out_channels: Count | None = None,
        padding: Padding = "longest",
    ):
        given = dict(rows=rows, embed=embed, hidden=hidden, depth=depth)
        chosen: dict[str, Any] = variant_options(self.VARIANTS, variant, given, "GRUTextEncoder")
        tokenizer = WordPieceTokenizer(vocab_file, max_tokens)
        super().__init__(tokenizer, 2 * chosen["hidden"], out_channels=out_channels, padding=padding)
        self.words = HashedEmbedding(chosen["rows"], chosen["embed"])
        self.gru = nn.GRU(chosen["embed"], chosen["hidden"], chosen["depth"], batch_first=True, bidirectional=True)

    def encode(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return the states of both directions, (B, L, 2 * hidden), zero for padding."""
        if torch.compiler.is_exporting():
            return self.padded_states(ids, mask)
        with torch.autocast(ids.device.type, enabled=False):
            lengths = mask.sum(1).cpu()
            packed = pack_padded_sequence(self.words(ids), lengths, batch_first=True, enforce_sorted=False)
            states, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True, total_length=ids.shape[1])
        return states

    def padded_states(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return the states of :meth:`encode` without packed sequences, which a graph does not have."""
        x, lengths = self.words(ids), mask.sum(1, keepdim=True)
        places = torch.arange(ids.shape[1], device=ids.device)[None]
        turned = torch.where(places < lengths, lengths - 1 - places, places)[..., None]  # each phrase back to front
        for layer in range(self.gru.num_layers):
            behind = self._one_way(_at(x, turned), f"l{layer}_reverse")
            x = torch.cat([self._one_way(x, f"l{layer}"), _at(behind, turned)], -1)
        return x * mask[..., None]

    def _one_way(self, x: Tensor, suffix: str) -> Tensor:
        weights = [getattr(self.gru, f"{name}_{suffix}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        start = x.new_zeros(1, x.shape[0], self.gru.hidden_size)
        return torch.gru(x, start, weights, True, 1, 0.0, False, False, True)[0]


def _at(x: Tensor, places: Tensor) -> Tensor:
    """Return the rows of (B, L, C) at places (B, L, 1)."""
    return x.gather(1, places.expand(-1, -1, x.shape[2]))
