"""The words with which a user chooses released weights: ``released``, ``released:ID`` and an id without it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from visionzoo.config import LoadedConfig
from visionzoo.config.options import OPTIONS, SOURCE
from visionzoo.errors import CheckpointError, nearest_name
from visionzoo.front_matter import card_files
from visionzoo.weights.cache_folder import tell
from visionzoo.weights.entry import Weights, entries_of, entry_of, none_released, whole_model_of
from visionzoo.weights.release import SCHEME

WORD = "released"
_BY_USER = (SOURCE, OPTIONS)  # origins of values in a config


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
        loaded: the config of the model. The options that released weights need are set in it and printed.
        weights: what the user wrote: ``released``, ``released:ID``, an id of the card, or any other source.

    Raises:
        CheckpointError: the card lists no released weights of the whole model, the id belongs to only the backbone, or
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
    _set_options(loaded, entry)
    return address_of(loaded, entry)


def initial_weights(loaded: LoadedConfig, weights: str | os.PathLike | None) -> Any:
    """Return the weights to train from, as :func:`chosen_weights`. Weights of only the backbone change the config.

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
    _set_options(loaded, entry)
    if entry.for_ == "model":
        return address
    loaded.cfg.model.backbone.init_cfg = dict(type="Pretrained", checkpoint=address)
    return None


def _set_options(loaded: LoadedConfig, entry: Weights) -> None:
    """Set the options that released weights need, except those that the user states."""
    needed = {path: value for path, value in entry.cfg_options.items() if loaded.origins.of(path) not in _BY_USER}
    if needed:
        loaded.cfg.merge_from_dict(needed)
        listed = ", ".join(f"{path}={value}" for path, value in needed.items())
        tell(f"{loaded.name}: set {listed}, which the released weights {entry.id} need")


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
    if weights is None:
        return None
    if not (is_released(weights) or _is_id(loaded, str(weights))):
        _require_no_misspelt_id(loaded, str(weights))
        return None
    if loaded.name not in card_files():
        raise none_released(loaded.name)
    entry = _entry_for(loaded.name, str(weights), prefer_whole)
    if loaded.tiny:
        raise CheckpointError(
            loaded.name,
            expected="weights of its tiny variant",
            found="only those of the full model",
            advice="leave out --tiny (tiny=True), or use an untrained model: --weights none on the command line, "
            'weights="none" in Python',
        )
    return entry


def _entry_for(name: str, words: str, prefer_whole: bool) -> Weights:
    word, _, id = words.partition(":")
    if word != WORD or id:
        return entry_of(name, id or word)
    return whole_model_of(name) if prefer_whole else entry_of(name)


def _is_id(loaded: LoadedConfig, word: str) -> bool:
    if loaded.name not in card_files() or Path(word).expanduser().exists():
        return False
    return word in [entry.id for entry in entries_of(loaded.name)]


def _require_no_misspelt_id(loaded: LoadedConfig, word: str) -> None:
    """Raise an error for a word that does not name a file, and is almost ``released`` or an id of the card."""
    from visionzoo.weights.safe_load import ENDINGS  # imports torch

    path = Path(word).expanduser()
    if loaded.name not in card_files() or path.name != word or path.suffix in ENDINGS or path.exists():
        return
    nearest = nearest_name(word, [WORD, *(entry.id for entry in entries_of(loaded.name))])
    if nearest is not None:
        raise CheckpointError(
            word,
            expected=f"{WORD}, an id of the card of {loaded.name} or a file",
            found="none of them",
            advice=f"did you mean {nearest}?",
        )
