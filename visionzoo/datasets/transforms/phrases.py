"""Transforms of phrases."""

from __future__ import annotations

from typing import Any

from mmcv.transforms.base import BaseTransform

from visionzoo.allowed import Count
from visionzoo.errors import DataError
from visionzoo.registry import TRANSFORMS
from visionzoo.tokenizers.word_pieces import WordPieceTokenizer


@TRANSFORMS.register_module()
class TokenizePhrase(BaseTransform):
    """Split the ``phrase`` of a sample into tokens, in the workers of the loader instead of the text encoder.

    Sets ``phrase_ids``, a list of ids, ``phrase_length``, the number of tokens before the cut, and
    ``phrase_vocabulary``, by which the text encoder checks that it has the same vocabulary.

    Args:
        vocab_file, max_tokens: see :class:`~visionzoo.tokenizers.word_pieces.WordPieceTokenizer`; equal to those of the
            text encoder.

    Raises:
        ConfigError: ``max_tokens`` is below 2.
        DataError: the vocabulary cannot be read; at a call: the sample has no phrase, or one that is not a string.

    Example:
        >>> TokenizePhrase()({"phrase": "the left box"})["phrase_ids"]
        [101, 1996, 2187, 3482, 102]
    """

    def __init__(self, vocab_file: str | None = None, max_tokens: Count = 20):
        self.tokenizer = WordPieceTokenizer(vocab_file, max_tokens)

    def graph_step(self) -> None:
        """Return None: an exported model needs no step for it."""

    def transform(self, results: dict) -> dict:
        phrase: Any = results.get("phrase")
        try:
            tokens = self.tokenizer(phrase)
        except DataError as error:
            raise error.at(results.get("img_path") or "sample") from error
        fingerprint = self.tokenizer.fingerprint
        return results | {"phrase_ids": tokens.ids, "phrase_length": tokens.length, "phrase_vocabulary": fingerprint}

    def __repr__(self) -> str:
        return f"TokenizePhrase({self.tokenizer!r})"
