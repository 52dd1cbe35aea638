"""Base of the text encoders: phrases or token ids in, states and mask out.

Tensors: B batch, L tokens of the longest phrase, C channels.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from visionzoo.allowed import Count
from visionzoo.datasets.findings import say_notes
from visionzoo.errors import DataError
from visionzoo.structures.batch import NO_BATCH, Batch, TextStates
from visionzoo.tokenizers.word_pieces import TokenIds

Padding = Literal["longest", "max"]


class Tokenizer(Protocol):
    """From a phrase to ids, such as :class:`~visionzoo.tokenizers.word_pieces.WordPieceTokenizer`."""

    max_tokens: int
    pad_id: int
    fingerprint: str

    def __call__(self, phrase: str) -> TokenIds: ...


class PhraseEncoder(BaseModule):
    """Base of a text encoder: ``encoder(phrases)`` returns :class:`~visionzoo.structures.batch.TextStates`.

    A subclass has ``encode(ids, mask)``, from (B, L) to (B, L, width). It may be called without phrases. Phrases are
    split into tokens here, unless the transform ``TokenizePhrase`` has done this for every sample of the batch. Phrases
    of more than ``max_tokens`` tokens are cut, which a warning states once. An empty phrase has the tokens [CLS] and
    [SEP].

    Args:
        tokenizer: from a phrase to ids.
        width: channels of the states of ``encode``.
        out_channels: channels C of the result. If they differ from ``width``, a linear layer follows, ``projection``.
        padding: ``longest``: a batch is padded to its longest phrase; ``max``: always to ``max_tokens``, for programs
            of one shape. States of the tokens do not depend on it.
        init_cfg: initialisation config of mmengine.

    Attributes:
        out_channels: (C,).
        out_strides: (1,), one state for each token.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        width: int,
        *,
        out_channels: Count | None = None,
        padding: Padding = "longest",
        init_cfg: Mapping[str, Any] | None = None,
    ):
        super().__init__(init_cfg)
        self.tokenizer, self.padding = tokenizer, padding
        self.out_channels, self.out_strides = (out_channels or width,), (1,)
        self.projection = nn.Identity() if out_channels in (None, width) else nn.Linear(width, out_channels)

    def forward(self, phrases: Sequence[str], batch: Batch = NO_BATCH) -> TextStates:
        """Encode the phrases of a batch.

        Args:
            phrases: B strings.
            batch: the batch of the model. If its samples have the metainfo of ``TokenizePhrase``, its ids are used.

        Raises:
            DataError: no phrases, a phrase that is not a string, or ids of another vocabulary.
        """
        ids, mask = self.tokenize(phrases, batch.samples)
        return TextStates(self.projection(self.encode(ids, mask)), mask)

    @abstractmethod
    def encode(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Return states (B, L, width) of token ids.

        Args:
            ids: (B, L) int64.
            mask: (B, L) bool, False for padding.
        """

    def tokenize(self, phrases: Sequence[str], samples: Any = None) -> tuple[Tensor, Tensor]:
        """Return ids (B, L) int64 and mask (B, L) bool on the device of the encoder.

        Args:
            phrases: B strings.
            samples: samples of the batch, or None.

        Raises:
            DataError: see :meth:`forward`.
        """
        if isinstance(phrases, str) or not len(phrases):
            found = "no phrase" if not len(phrases) else f"the string {phrases!r}"
            raise DataError("phrases", expected="a list of strings", found=found, advice="give one for each sample")
        tokens = self._tokens_of(samples) or [self.tokenizer(phrase) for phrase in phrases]
        most = self.tokenizer.max_tokens
        if any(each.length > most for each in tokens):
            say_notes(type(self).__name__, {f"phrases of more than {most} tokens are cut to {most}": 0})
        rows = [each.ids[:most] for each in tokens]
        length = most if self.padding == "max" else max(map(len, rows))
        ids = torch.full((len(rows), length), self.tokenizer.pad_id, dtype=torch.long)
        mask = torch.zeros(len(rows), length, dtype=torch.bool)
        for at, row in enumerate(rows):
            ids[at, : len(row)] = torch.tensor(row)
            mask[at, : len(row)] = True
        device = next(self.parameters()).device
        return ids.to(device), mask.to(device)

    def _tokens_of(self, samples: Any) -> list[TokenIds] | None:
        """Return the tokens of ``TokenizePhrase``, or None unless every sample has them."""
        infos = [sample.metainfo for sample in samples or ()]
        if not infos or any("phrase_ids" not in info for info in infos):
            return None
        others = {info.get("phrase_vocabulary") for info in infos} - {self.tokenizer.fingerprint}
        if others:
            raise DataError(
                "phrase_ids",
                expected=f"ids of the vocabulary of {type(self).__name__} ({self.tokenizer.fingerprint})",
                found=f"those of another one ({others.pop()})",
                advice="give TokenizePhrase and the text encoder the same vocab_file, or remove TokenizePhrase",
            )
        return [TokenIds(list(info["phrase_ids"]), int(info["phrase_length"])) for info in infos]


class HashedEmbedding(nn.Module):
    """Embedding of a large vocabulary in few rows: the vector of a token is the sum of two rows, by two hashes.

    Two tokens share both rows with a probability of 1 / rows^2. With 1024 rows, all word pieces of BERT differ.

    Args:
        rows: number of rows.
        width: channels of a vector.

    Example:
        >>> HashedEmbedding(16, 4)(torch.tensor([[1, 30521]])).shape
        torch.Size([1, 2, 4])
    """

    # Odd multipliers of 32 bits; the upper bits of the products select the rows.
    MULTIPLIERS = (0x9E3779B1, 0x85EBCA77)

    def __init__(self, rows: int, width: int):
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(rows, width) for _ in self.MULTIPLIERS)
        self.rows = rows

    def forward(self, ids: Tensor) -> Tensor:
        """Map ids (B, L) to vectors (B, L, C)."""
        hashes = ((ids * multiplier % 2**32 >> 12) % self.rows for multiplier in self.MULTIPLIERS)
        first, second = (table(each) for table, each in zip(self.tables, hashes, strict=True))
        return first + second

    def extra_repr(self) -> str:
        return f"rows={self.rows}"
