"""WordPiece, the tokenizer of BERT's uncased models (Devlin et al., NAACL 2019, arXiv:1810.04805, section 3)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from visionzoo.allowed import Count
from visionzoo.errors import ConfigError, DataError
from visionzoo.system.text_files import read_text
from visionzoo.tokenizers.splitting import split_words

# The vocabulary of BERT base uncased, 30,522 word pieces; see NOTICE.md beside it.
BERT_VOCABULARY = Path(__file__).parent / "bert_uncased" / "vocab.txt"

PADDING, UNKNOWN, START, END = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
_REQUIRED = (PADDING, UNKNOWN, START, END)
_SPECIAL = re.compile(r"(\[(?:PAD|UNK|CLS|SEP|MASK)\])")
_LONGEST_WORD = 100  # characters; a longer word is unknown

_ADVICE = "give a vocab.txt of BERT, one word piece per line, or leave vocab_file out for the vocabulary of the zoo"


class TokenIds(NamedTuple):
    """Tokens of one phrase.

    Attributes:
        ids: ids in the vocabulary, with those of [CLS] and [SEP], at most ``max_tokens``.
        length: number of tokens before the cut.
    """

    ids: list[int]
    length: int


class WordPieceTokenizer:
    """Tokenizer of BERT's uncased models.

    A phrase is split into words and punctuation marks (see :mod:`visionzoo.tokenizers.splitting`), and each word into
    the longest pieces that the vocabulary contains. A word that cannot be spelled, or of over 100 characters, becomes
    [UNK]. The ids begin with [CLS] and end with [SEP]. A phrase of more than ``max_tokens`` tokens is cut, which also
    removes [SEP], as in the referring models LAVT and CRIS. The texts [PAD], [UNK], [CLS], [SEP] and [MASK] in a phrase
    are tokens, as in BERT.

    Args:
        vocab_file: vocabulary, one word piece per line; None for that of BERT base uncased, which is part of the zoo.
        max_tokens: largest number of tokens, with [CLS] and [SEP], >= 2.

    Attributes:
        pad_id: id of the padding, 0.
        fingerprint: short hash of the vocabulary, which is equal for equal vocabularies.

    Raises:
        ConfigError: ``max_tokens`` is below 2.
        DataError: the vocabulary cannot be read, a word occurs twice in it, [UNK], [CLS] or [SEP] is missing, or [PAD]
            is not its first word.

    Example:
        >>> tokenizer = WordPieceTokenizer()
        >>> tokenizer.pieces("the leftmost zebra")
        ['the', 'left', '##most', 'zebra']
        >>> tokenizer("the leftmost zebra").ids
        [101, 1996, 2187, 11800, 29145, 102]
    """

    pad_id = 0

    def __init__(self, vocab_file: str | Path | None = None, max_tokens: Count = 20):
        if max_tokens < 2:
            raise ConfigError(
                "WordPieceTokenizer.max_tokens", expected="at least 2, for [CLS] and [SEP]", found=f"{max_tokens}"
            )
        self.vocab_file = BERT_VOCABULARY if vocab_file is None else Path(vocab_file).expanduser()
        self.max_tokens = max_tokens
        self.vocabulary = read_vocabulary(self.vocab_file)
        self.fingerprint = fingerprint_of(self.vocabulary)

    def __call__(self, phrase: str) -> TokenIds:
        """Return the ids of a phrase.

        Raises:
            DataError: ``phrase`` is not a string.
        """
        if not isinstance(phrase, str):
            raise DataError(
                "phrase", expected="a string", found=f"{phrase!r}", advice="give one phrase for each sample"
            )
        ids = [self.vocabulary[piece] for piece in (START, *self.pieces(phrase), END)]
        return TokenIds(ids[: self.max_tokens], len(ids))

    def __len__(self) -> int:
        return len(self.vocabulary)

    def __repr__(self) -> str:
        return f"WordPieceTokenizer(vocab_file={str(self.vocab_file)!r}, max_tokens={self.max_tokens})"

    def pieces(self, phrase: str) -> list[str]:
        """Return the word pieces of a phrase, without [CLS] and [SEP], not cut."""
        pieces: list[str] = []
        for part in _SPECIAL.split(phrase):
            if part in self.vocabulary and _SPECIAL.fullmatch(part):
                pieces.append(part)
            else:
                pieces += [piece for word in split_words(part) for piece in _pieces_of(word, self.vocabulary)]
        return pieces


def _pieces_of(word: str, vocabulary: Mapping[str, int]) -> list[str]:
    """Return the longest known start of the word, then of the rest, and so on."""
    if len(word) > _LONGEST_WORD:
        return [UNKNOWN]
    pieces, start = [], 0
    while start < len(word):
        prefix = "##" if start else ""
        ends = range(len(word), start, -1)
        end = next((end for end in ends if prefix + word[start:end] in vocabulary), None)
        if end is None:
            return [UNKNOWN]
        pieces.append(prefix + word[start:end])
        start = end
    return pieces


def read_vocabulary(path: Path) -> Mapping[str, int]:
    """Return the ids of the word pieces in a file, which is read once.

    Raises:
        DataError: see :class:`WordPieceTokenizer`.

    Example:
        >>> len(read_vocabulary(BERT_VOCABULARY))
        30522
    """
    try:
        changed = path.stat().st_mtime_ns
    except OSError:
        changed = 0  # the error below states the reason
    return _read(path, changed)


@cache
def _read(path: Path, changed: int) -> Mapping[str, int]:
    words = read_text(path, expected="a vocabulary", advice=_ADVICE).split("\n")
    if words[-1] == "":
        words.pop()
    vocabulary = {word: number for number, word in enumerate(words)}
    if len(vocabulary) < len(words):
        twice = next(word for number, word in enumerate(words) if vocabulary[word] != number)
        raise DataError(path, expected="every word once", found=f"{twice!r} twice", advice=_ADVICE)
    absent = [word for word in _REQUIRED if word not in vocabulary]
    if absent:
        raise DataError(path, expected=f"{', '.join(_REQUIRED)}", found=f"no {', '.join(absent)}", advice=_ADVICE)
    if vocabulary[PADDING] != 0:
        found = f"it on line {vocabulary[PADDING] + 1}"
        raise DataError(path, expected=f"{PADDING} on line 1, because padding is 0", found=found, advice=_ADVICE)
    return vocabulary


def fingerprint_of(vocabulary: Mapping[str, int]) -> str:
    """Return a short hash of a vocabulary.

    Example:
        >>> fingerprint_of({"a": 0, "b": 1}) == fingerprint_of({"b": 1, "a": 0})
        True
    """
    words = sorted(vocabulary, key=lambda word: vocabulary[word])
    return hashlib.sha256("\n".join(words).encode("utf-8", "surrogatepass")).hexdigest()[:12]
