"""The words with which a user chooses released weights: ``released``, ``released:ID`` and the id alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from visionzoo.config import LoadedConfig
from visionzoo.errors import CheckpointError
from visionzoo.front_matter import card_files
from visionzoo.weights.entry import Weights, entries_of, entry_of, none_released, whole_model_of
from visionzoo.weights.release import SCHEME

WORD = "released"


def is_released(weights: str | os.PathLike | None) -> bool:
    """Return True for ``released`` and ``released:ID``.

    Example:
        >>> is_released("released:in1k_224"), is_released("released.pth")
        (True, False)
    """
    return weights is not None and str(weights).partition(":")[0] == WORD and "://" not in str(weights)


def chosen_weights(loaded: LoadedConfig, weights: str | os.PathLike | None) -> Any:
    """Return ``released://NAME#ID`` for words that choose the released weights of a model, else ``weights``.

    A file or folder with the name of an id is used instead of the id.

    Args:
        loaded: the config of the model.
        weights: what the user wrote: ``released``, ``released:ID``, an id of the card, or any other source.

    Raises:
        CheckpointError: the card lists no released weights of the whole model, the id belongs to the backbone alone, or
            the config is the tiny variant.
        UnknownName: the card has no such id.
    """
    entry = released_entry(loaded, weights)
    if entry is None:
        return weights
    if entry.for_ == "backbone":
        raise CheckpointError(
            f"{loaded.name}: {entry.id}",
            expected="weights of the whole model",
            found="those of its backbone",
            advice=f"train a model with them: visionzoo train {loaded.name} --weights {entry.id}",
        )
    return address_of(loaded, entry)


def initial_weights(loaded: LoadedConfig, weights: str | os.PathLike | None) -> Any:
    """Return the weights to train from, as :func:`chosen_weights`. Weights of the backbone alone change the config.

    Args:
        loaded: the config of the model. For weights of the backbone, their address is its ``init_cfg`` afterwards.
        weights: see :func:`chosen_weights`.

    Returns:
        The weights of the whole model; None if there are only those of the backbone.

    Raises:
        CheckpointError: the card lists no released weights, or the config is the tiny variant.
        UnknownName: the card has no such id.
    """
    entry = released_entry(loaded, weights, prefer_whole=False)
    if entry is None:
        return weights
    address = address_of(loaded, entry)
    if entry.for_ == "model":
        return address
    loaded.cfg.model.backbone.init_cfg = dict(type="Pretrained", checkpoint=address)
    return None


def address_of(loaded: LoadedConfig, entry: Weights) -> str:
    """Return ``released://NAME#ID``."""
    return f"{SCHEME}{loaded.name}#{entry.id}"


def released_entry(
    loaded: LoadedConfig, weights: str | os.PathLike | None, *, prefer_whole: bool = True
) -> Weights | None:
    """Return the released file that a user chose, or None for another source.

    Args:
        loaded: the config of the model.
        weights: see :func:`chosen_weights`.
        prefer_whole: True chooses the first file with the whole model for ``released``, else the first file.

    Raises:
        CheckpointError: the card lists no released weights, or the config is the tiny variant.
        UnknownName: the card has no such id.
    """
    if weights is None or not (is_released(weights) or _is_id(loaded, str(weights))):
        return None
    if loaded.name not in card_files():
        raise none_released(loaded.name)
    if loaded.tiny:
        raise CheckpointError(
            loaded.name,
            expected="the full model, to which released weights belong",
            found="its tiny variant",
            advice="leave out --tiny (tiny=True), or the weights",
        )
    word, _, id = str(weights).partition(":")
    if word != WORD:
        return entry_of(loaded.name, word)
    if id:
        return entry_of(loaded.name, id)
    return whole_model_of(loaded.name) if prefer_whole else entry_of(loaded.name)


def _is_id(loaded: LoadedConfig, word: str) -> bool:
    if loaded.name not in card_files() or Path(word).expanduser().exists():
        return False
    return word in [entry.id for entry in entries_of(loaded.name)]
