"""Calls of the task model's parts, which pass the batch if the signature has a parameter for it."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from visionzoo.config.signatures import arguments_of
from visionzoo.structures.batch import Batch, TextStates
from visionzoo.structures.task_sample import group_sizes

# Keyword arguments of the former signature, head(feats, samples, *, inputs, encode).
_FORMER = ("inputs", "encode")


def takes_batch(part: nn.Module, method: str = "forward") -> bool:
    """Return True if a method of a part has a parameter called ``batch``."""
    return arguments_of(getattr(type(part), method)).know("batch")


def run_part(part: nn.Module, inputs: Any, batch: Batch) -> tuple[Tensor, ...]:
    """Return feature maps of a backbone or neck; pass the batch if its ``forward`` has a parameter ``batch``.

    The part reads the phrase of a sample for every image of the sample.
    """
    if not takes_batch(part):
        feats = part(inputs)
    else:
        images = len(inputs if isinstance(inputs, Tensor) else inputs[0])
        feats = part(inputs, replace(batch, text=_text_of_images(batch, images)))
    return (feats,) if isinstance(feats, Tensor) else tuple(feats)


def _text_of_images(batch: Batch, images: int) -> TextStates | None:
    """Return the phrases of a batch, one for each of ``images`` images, if these are all images of the samples."""
    text = batch.text
    if text is None or batch.samples is None or images in (1, len(text.states)):
        return text
    sizes = torch.tensor(group_sizes(batch.samples), device=text.states.device)
    if len(sizes) != len(text.states) or sizes.sum() != images:
        return text
    return TextStates(text.states.repeat_interleave(sizes, 0), text.mask.repeat_interleave(sizes, 0))


def run_text_encoder(encoder: nn.Module, phrases: list[str], batch: Batch) -> TextStates:
    """Return encoded phrases; pass the batch if the ``forward`` of the encoder has a parameter ``batch``."""
    return encoder(phrases, batch) if takes_batch(encoder) else encoder(phrases)


def run_head(head: nn.Module, method: str, feats: Any, batch: Batch, *more: Any) -> Any:
    """Call ``head(feats, batch)`` or another method; a head with the former signature receives the samples."""
    function: Any = head if method == "forward" else getattr(head, method)
    if takes_batch(head, method):
        return function(feats, batch, *more)
    known = arguments_of(getattr(type(head), method))
    return function(feats, batch.samples, *more, **{name: getattr(batch, name) for name in _FORMER if known.know(name)})


def warn_of_former_heads(heads: Iterable[nn.Module]) -> None:
    """Warn once for each class of head whose ``forward`` takes samples instead of a batch."""
    for name in sorted({type(head).__name__ for head in heads if not takes_batch(head)}):
        warnings.warn(
            f"{name}: expected the signature {name}.forward(feats, batch), found (feats, samples), which the next "
            "release no longer calls; take a batch in forward, loss and predict and read batch.samples",
            DeprecationWarning,
            stacklevel=3,
        )
