"""A small transformer over word pieces, for tests and ``--tiny``."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from visionzoo.allowed import Count, Few, Part
from visionzoo.layers.language import require_heads
from visionzoo.layers.variants import variant_options
from visionzoo.registry import MODELS
from visionzoo.text_encoders.bert_layers import BertEmbeddings, BertStack, initialise
from visionzoo.text_encoders.phrases import HashedEmbedding, Padding, PhraseEncoder
from visionzoo.tokenizers.word_pieces import WordPieceTokenizer


@MODELS.register_module()
class TinyTextEncoder(PhraseEncoder):
    """BERT's layers on the word vectors of a small table.

    It has no pretrained weights. The vectors of all word pieces are sums of two rows of the table, see
    :class:`~visionzoo.text_encoders.phrases.HashedEmbedding`.

    Args:
        variant: ``small`` or ``tiny``.
        rows: rows of the table of word vectors, instead of those of the variant; also ``width``, channels of the
            states, ``depth``, the number of layers, ``heads``, and ``ffn``, the channels between the two linear layers
            of a layer.
        vocab_file, max_tokens: see :class:`~visionzoo.tokenizers.word_pieces.WordPieceTokenizer`.
        out_channels, padding: see :class:`~visionzoo.text_encoders.phrases.PhraseEncoder`.
        dropout: probability of dropout in training, in [0, 1).

    Raises:
        UnknownName: an unknown variant.
        ConfigError: ``heads`` does not divide ``width``.
        DataError: the vocabulary cannot be read.

    Example:
        >>> text = TinyTextEncoder("tiny")(["the left box", ""])
        >>> text.states.shape, text.mask.sum(1).tolist()
        (torch.Size([2, 5, 32]), [5, 2])
    """

    VARIANTS: dict[str, dict[str, int]] = {
        "small": dict(rows=4096, width=256, depth=4, heads=8, ffn=1024),
        "tiny": dict(rows=1024, width=32, depth=2, heads=4, ffn=64),
    }

    def __init__(
        self,
        variant: str = "small",
        *,
        rows: Count | None = None,
        width: Count | None = None,
        depth: Few | None = None,
        heads: Few | None = None,
        ffn: Count | None = None,
        vocab_file: str | None = None,
        max_tokens: Count = 20,
        out_channels: Count | None = None,
        padding: Padding = "longest",
        dropout: Part = 0.0,
    ):
        given = dict(rows=rows, width=width, depth=depth, heads=heads, ffn=ffn)
        chosen: dict[str, Any] = variant_options(self.VARIANTS, variant, given, "TinyTextEncoder")
        require_heads(chosen["heads"], chosen["width"], "TinyTextEncoder")
        tokenizer = WordPieceTokenizer(vocab_file, max_tokens)
        super().__init__(tokenizer, chosen["width"], out_channels=out_channels, padding=padding)
        words = HashedEmbedding(chosen["rows"], chosen["width"])
        self.embeddings = BertEmbeddings(words, chosen["width"], max_tokens, dropout)
        self.encoder = BertStack(chosen["width"], chosen["depth"], chosen["heads"], chosen["ffn"], dropout)
        initialise(self)

    def encode(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return the last hidden states, (B, L, width)."""
        return self.encoder(self.embeddings(ids), mask)
