"""Names of BERT's parameters in released files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from visionzoo.converters import require_names, tensors_of

# Heads of pre-training, the pooler, and the buffer 0, 1, 2, ... of older files.
_DROPPED = re.compile(r"(pooler|cls)\.|embeddings\.position_ids$")
_KNOWN = re.compile(r"(embeddings|encoder\.layer)\.")

# Endings of files that TensorFlow's BERT wrote.
_RENAMED = {".gamma": ".weight", ".beta": ".bias"}


def convert(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Convert the tensors of a released BERT to those of :class:`~visionzoo.text_encoders.bert.BertTextEncoder`.

    The prefix ``bert.``, the pooler and heads of pre-training are removed. The names are those of transformers.

    Args:
        checkpoint: content of ``model.safetensors`` or ``pytorch_model.bin``.

    Returns:
        Weights by name.

    Raises:
        CheckpointError: the names are not those of a BERT.
    """
    state = tensors_of(checkpoint)
    inside = {name.removeprefix("bert."): value for name, value in state.items() if name.startswith("bert.")}
    weights = {renamed(name): value for name, value in (inside or state).items() if not _DROPPED.match(name)}
    require_names(
        weights,
        known=_KNOWN,
        needed=["embeddings.word_embeddings.weight"],
        expected="a BERT of transformers (embeddings.*, encoder.layer.*)",
        advice="give model.safetensors or pytorch_model.bin of a BERT",
    )
    return weights


def renamed(name: str) -> str:
    """Return the name of a norm's parameter as PyTorch writes it.

    Example:
        >>> renamed("embeddings.LayerNorm.gamma")
        'embeddings.LayerNorm.weight'
    """
    stem, dot, ending = name.rpartition(".")
    return stem + _RENAMED.get(dot + ending, dot + ending)
