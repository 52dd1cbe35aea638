"""Run an exported model of images with phrases, one phrase at a time; this module does not import torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from visionzoo.errors import CheckpointError
from visionzoo.structures.graph_results import GraphSample
from visionzoo.tokenizers.word_pieces import WordPieceTokenizer, fingerprint_of

_ABOUT = ("phrase", "shared_image", "mask_threshold", "ori_shape")
Arrays = dict[str, np.ndarray]


def phrase_sample(results: Mapping[str, Any]) -> GraphSample:
    """Return the sample of an image with its phrase, for :class:`visionzoo.inference.exported.ExportedPreparation`."""
    return GraphSample(metainfo={name: results.get(name) for name in _ABOUT})


def tokenizer_of(settings: Mapping[str, Any]) -> WordPieceTokenizer:
    """Return the tokenizer of an exported model.

    Args:
        settings: ``max_tokens``; ``words``, the vocabulary, or None for that of the zoo; and its ``fingerprint``.

    Raises:
        CheckpointError: the vocabulary is not that of the file.

    Example:
        >>> words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "box"]
        >>> settings = {"max_tokens": 3, "words": words, "fingerprint": fingerprint_of(dict(zip(words, range(5))))}
        >>> tokenizer_of(settings)("box").ids
        [2, 4, 3]
    """
    tokenizer = WordPieceTokenizer(max_tokens=settings["max_tokens"])
    if settings["words"] is not None:
        tokenizer.vocabulary = {word: number for number, word in enumerate(settings["words"])}
        tokenizer.fingerprint = fingerprint_of(tokenizer.vocabulary)
    if tokenizer.fingerprint != settings["fingerprint"]:
        raise CheckpointError(
            "tokenizer",
            expected=f"the vocabulary {settings['fingerprint']}",
            found=tokenizer.fingerprint,
            advice="export the model again",
        )
    return tokenizer


def run_phrases(
    run: Callable[[Mapping[str, list[Any]], Callable[[Arrays], Arrays]], list[GraphSample]],
    outputs_of: Callable[[Arrays], Arrays],
    tokenizer: WordPieceTokenizer,
    data: Mapping[str, list[Any]],
) -> list[GraphSample]:
    """Return the samples of images with phrases.

    Args:
        run: function from ``inputs`` and ``data_samples`` of one image, its original size, and a function from inputs
            to outputs of the graph, to the sample of the image.
        outputs_of: runs the graph.
        tokenizer: see :func:`tokenizer_of`.
        data: ``inputs``, and :func:`phrase_sample` of each as ``data_samples``.
    """
    samples = []
    for image, about in zip(data["inputs"], data["data_samples"], strict=True):
        words = _tokens(tokenizer, about.metainfo["phrase"])
        one = {"inputs": [image], "data_samples": [about.metainfo["ori_shape"]]}
        (found,) = run(one, lambda arrays, words=words: outputs_of({**arrays, **words}))  # type: ignore[misc]
        samples.append(GraphSample(found, metainfo=about.metainfo))
    return samples


def _tokens(tokenizer: WordPieceTokenizer, phrase: str) -> Arrays:
    ids = tokenizer(phrase).ids
    rows = np.full((1, tokenizer.max_tokens), tokenizer.pad_id, np.int64)
    rows[0, : len(ids)] = ids
    return {"tokens": rows, "token_mask": (np.arange(tokenizer.max_tokens) < len(ids)).astype(np.uint8)[None]}
