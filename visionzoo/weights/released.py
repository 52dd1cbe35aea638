"""Released weights: files that a model's card names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from visionzoo.errors import CheckpointError
from visionzoo.weights.downloads import fetch_weights


class Release(Protocol):
    """One released file: its address, its checksum and the address of a copy."""

    url: str
    sha256: str
    mirror: str


def released_weights(name: str, releases: Sequence[Release]) -> Path:
    """The first released file of a model, fetched and checked.

    Args:
        name: what messages call the model.
        releases: what its card names.

    Raises:
        CheckpointError: no file is named, or it cannot be fetched.
    """
    if not releases:
        raise CheckpointError(
            name,
            expected="weights",
            found="none released",
            advice="train it and give --weights WORK_DIR, or --weights none for an untrained model",
        )
    first = releases[0]
    return fetch_weights(first.url, first.sha256, [first.mirror])
