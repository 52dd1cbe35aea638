"""Tokenizers: from a phrase to the ids of its tokens. They import no torch."""
