"""Released weights: what a model's card names."""

from __future__ import annotations

from pathlib import Path

from visionzoo.cards import card_names, read_card
from visionzoo.errors import CheckpointError
from visionzoo.weights.downloads import fetch_weights


def released_weights(name: str) -> Path:
    """The first weights of the model's card, fetched and checked.

    Raises:
        CheckpointError: the card names none, or they cannot be fetched.
    """
    entries = read_card(name).zoo.weights if name in card_names() else []
    if not entries:
        raise CheckpointError(
            f"{name}: expected weights, found none released; train it and give --weights WORK_DIR, "
            "or --weights none for an untrained model"
        )
    first = entries[0]
    return fetch_weights(first.url, first.sha256, [first.mirror])
