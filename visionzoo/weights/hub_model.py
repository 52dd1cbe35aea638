"""Models on the Hugging Face Hub, as ``visionzoo weights push`` writes them: card, config, facts and weights.

The local copy is a folder like that of a run, so every command takes ``hf://ORG/REPO`` as a model.
"""

from __future__ import annotations

import os
from pathlib import Path

from visionzoo.config.plain_file import require_plain_file
from visionzoo.errors import CheckpointError
from visionzoo.weights.downloads import verify_sha256
from visionzoo.weights.entry import entries_in
from visionzoo.weights.hub import CARD, SCHEME, WEIGHTS, HubAddress, hub_files


def is_hub_model(name: str | os.PathLike | None) -> bool:
    """Return True for ``hf://ORG/REPO``.

    Example:
        >>> is_hub_model("hf://org/net"), is_hub_model("rcnet_retinanet")
        (True, False)
    """
    return name is not None and str(name).startswith(SCHEME)


def hub_model(source: str) -> Path:
    """Return the folder of the local copy of a model. Its config has plain values only, so nothing of it is run.

    Args:
        source: ``hf://ORG/REPO`` or ``hf://ORG/REPO@REV``.

    Raises:
        CheckpointError: the model cannot be fetched, does not belong to visionzoo, or its weights differ from its card.
        ConfigError: its config contains code.
        CardError: its card cannot be read.
    """
    folder = hub_files(source)
    require_plain_file(folder / "config.py")
    entries = [entry for entry in entries_in(folder / CARD) if entry.name == WEIGHTS]
    if not entries or entries[0].sha256 is None:
        raise CheckpointError(
            source, expected=f"a card with the sha256 of {WEIGHTS}", found="none", advice="push it again"
        )
    verify_sha256(folder / WEIGHTS, entries[0].sha256)
    return folder


def name_of_hub_model(source: str) -> str:
    """Return the name of a model on the Hub, without its owner.

    Example:
        >>> name_of_hub_model("hf://org/net@v1")
        'net'
    """
    return HubAddress.of(source).repo.partition("/")[2]
