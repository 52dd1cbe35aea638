"""Split text into lower-case words and punctuation, as BERT's uncased models do."""

from __future__ import annotations

import re
import unicodedata

# ASCII characters that BERT separates from words, including symbols that Unicode does not count as punctuation.
_ASCII_PUNCTUATION = frozenset(chr(code) for code in (*range(33, 48), *range(58, 65), *range(91, 97), *range(123, 127)))

# Chinese characters are words of one character. Kana and Hangul are not separated.
_CHINESE = re.compile(
    "([\u4e00-\u9fff\u3400-\u4dbf\U00020000-\U0002a6df\U0002a700-\U0002b73f\U0002b740-\U0002b81f"
    "\U0002b820-\U0002ceaf\uf900-\ufaff\U0002f800-\U0002fa1f])"
)


def split_words(text: str) -> list[str]:
    """Return the words and the punctuation marks of a text, in lower case and without accents.

    Control characters are removed. Every punctuation mark and every Chinese character is a separate word.

    Example:
        >>> split_words("The Caf\u00e9's left-most box!")
        ['the', 'cafe', "'", 's', 'left', '-', 'most', 'box', '!']
    """
    lower = "".join(char.lower() for char in text)  # character by character, so the final sigma is not a special case
    spaced = _CHINESE.sub(r" \1 ", "".join(_cleaned(char) for char in lower))
    return [part for word in spaced.split() for part in _split_at_punctuation(_without_accents(word))]


def _cleaned(char: str) -> str:
    """Return a space for white space, and nothing for a control character or a replacement character."""
    category = unicodedata.category(char)
    if char in "\t\n\r" or category == "Zs":
        return " "
    return "" if char == "\ufffd" or category.startswith("C") else char


def _without_accents(word: str) -> str:
    return "".join(char for char in unicodedata.normalize("NFD", word) if unicodedata.category(char) != "Mn")


def _split_at_punctuation(word: str) -> list[str]:
    return "".join(f" {char} " if _is_punctuation(char) else char for char in word).split()


def _is_punctuation(char: str) -> bool:
    return char in _ASCII_PUNCTUATION or unicodedata.category(char).startswith("P")
