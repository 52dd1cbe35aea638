"""BERT and its tokenizer against the code that LAVT uses."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from weights import reference_state

from visionzoo.text_encoders.bert import BertTextEncoder
from visionzoo.tokenizers.word_pieces import WordPieceTokenizer

SYSTEM = "wico"
Arrays = dict[str, np.ndarray]


def run(case: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Compute every output that ``case`` names, with the runner of its family."""
    families = {"bert_small": _run_bert, "tokenizer": _run_tokenizer}
    for start, run_family in families.items():
        if case["name"].startswith(start):
            return run_family(case, arrays)
    raise LookupError(f"wico: expected one of {', '.join(families)}, found {case['name']!r}")


# --------------------------------------------------------------------------- BERT

_OPTIONS = {
    "hidden_size": "width",
    "num_hidden_layers": "depth",
    "num_attention_heads": "heads",
    "intermediate_size": "ffn",
    "max_position_embeddings": "positions",
}


def _run_bert(case: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Compute the hidden states of BERT, loaded strictly under the authors' names."""
    built = dict(case["constructor"])
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *map(str, range(4, built.pop("vocab_size")))]
    with tempfile.TemporaryDirectory() as folder:
        options = {_OPTIONS[name]: value for name, value in built.items()}
        encoder = BertTextEncoder(**options, vocab_file=_vocabulary(words, folder))
    encoder.load_state_dict(encoder.convert(reference_state(case)))
    encoder.train(case["mode"] == "train")
    ids, mask = (torch.from_numpy(arrays[f"input:{name}"]) for name in ("input_ids", "attention_mask"))
    with torch.no_grad():
        return {"last_hidden_state": encoder.encode(ids, mask != 0).numpy()}


# --------------------------------------------------------------------------- tokenizer


def _run_tokenizer(case: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Return ids and mask of each sentence, cut and padded with 0 to the largest number of tokens."""
    built = dict(case["constructor"])
    if not built.pop("do_lower_case"):
        raise LookupError("wico: expected do_lower_case true, found false")
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = WordPieceTokenizer(_vocabulary(case["vocab"], folder), **built)
    rows = [tokenizer(sentence).ids for sentence in case["sentences"]]
    padded = [row + [tokenizer.pad_id] * (tokenizer.max_tokens - len(row)) for row in rows]
    masks = [[1] * len(row) + [0] * (tokenizer.max_tokens - len(row)) for row in rows]
    return {"input_ids": np.array(padded), "attention_mask": np.array(masks)}


def _vocabulary(words: Sequence[str], folder: str) -> str:
    """Write a vocabulary to a file and return its path."""
    path = Path(folder, "vocab.txt")
    path.write_text("\n".join(words) + "\n", encoding="utf-8")
    return str(path)
