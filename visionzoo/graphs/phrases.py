"""Form of models that find what a phrase means in an image. The batch is one image with one phrase.

Tensors: H and W in pixels of the padded image, L the largest number of tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from visionzoo.graphs.form import GraphInput, ImageForm, NotExportable, require_exportable
from visionzoo.graphs.images import head_graph
from visionzoo.structures.batch import TextStates
from visionzoo.structures.seeded import seeded_array, seeded_image
from visionzoo.tokenizers.word_pieces import WordPieceTokenizer


class PhraseForm(ImageForm):
    """Form of a referring model: an :class:`ImageForm` of one size that also reads tokens.

    Further inputs are ``tokens``, (1, L) int64 ids, and ``token_mask``, (1, L) uint8, 0 for padding. The output is
    ``map``, (1, 1, H, W) in [0, 1].
    """

    is_dynamic = False

    def __init__(self, model: nn.Module):
        whole: Any = model
        tokenizer = whole.text_encoder.tokenizer
        super().__init__(model, {"head": head_graph(whole.head, "head")})
        self.settings |= {"tokenizer": _settings_of(tokenizer), "mask_threshold": whole.head.mask_threshold}
        self.most, self.words = int(tokenizer.max_tokens), len(tokenizer)
        self.fixed = self.fixed or "a file of phrases has one size"

    @property
    def input_names(self) -> tuple[str, ...]:
        return ("images", "sizes", "tokens", "token_mask")

    def forward(  # type: ignore[override]
        self, images: Tensor, sizes: Tensor, tokens: Tensor, token_mask: Tensor
    ) -> tuple[Tensor, ...]:
        """Return the outputs in the order of :attr:`names`."""
        model: Any = self.model
        pixels, sizes = self.normalised(images, sizes)
        mask = token_mask > 0
        encoder = model.text_encoder
        text = TextStates(encoder.projection(encoder.encode(tokens, mask)), mask)
        return self.outputs(model.graph_batch(pixels, text), sizes)

    def inputs(self, size: Sequence[int] | None = None) -> tuple[GraphInput, ...]:
        """Return the inputs for images of ``size`` (H, W)."""
        words = (GraphInput(name, (1, self.most), kind, {}) for name, kind in _TOKENS.items())
        images = GraphInput("images", (1, 3, *(size or ("height", "width"))), "uint8", {})
        return (images, GraphInput("sizes", (1, 2), "int64", {}), *words)

    def seeded(self, size: Sequence[int], seed: int = 0) -> dict[str, np.ndarray]:
        """Return a seeded image with a phrase of random words, about half of the largest number."""
        image = seeded_image(seed, "export phrase", size[0], size[1]).numpy()[None]
        numbers = np.abs(seeded_array(seed, "export tokens", (1, self.most)) * self.words).astype(np.int64) % self.words
        mask = (np.arange(self.most) < self.most // 2 + 1).astype(np.uint8)[None]
        return {"images": image, "sizes": np.array([size], np.int64), "tokens": numbers * mask, "token_mask": mask}


_TOKENS = {"tokens": "int64", "token_mask": "uint8"}


def _settings_of(tokenizer: Any) -> dict[str, Any]:
    """Return what :func:`visionzoo.inference.exported_phrases.tokenizer_of` needs."""
    own = tokenizer.fingerprint == WordPieceTokenizer().fingerprint
    words = None if own else sorted(tokenizer.vocabulary, key=tokenizer.vocabulary.__getitem__)
    return {"max_tokens": tokenizer.max_tokens, "fingerprint": tokenizer.fingerprint, "words": words}


def phrase_form(model: nn.Module) -> PhraseForm:
    """Return the form of a referring model.

    Raises:
        NotExportable: a part cannot be exported, or the text encoder or head has no form here.
    """
    require_exportable(model)
    whole: Any = model
    tokenizer = getattr(getattr(whole, "text_encoder", None), "tokenizer", None)
    if type(tokenizer) is not WordPieceTokenizer:
        kind = type(tokenizer).__name__
        raise NotExportable(f"text_encoder ({kind}): files of phrases are run with WordPieceTokenizer only")
    if not (hasattr(whole.head, "graph_outputs") and hasattr(whole.head, "mask_threshold")):
        raise NotExportable(f"head ({type(whole.head).__name__}): it has no graph_outputs with a mask_threshold")
    return PhraseForm(model)
