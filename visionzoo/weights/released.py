"""Released weights: files named in the card of a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from visionzoo.errors import CheckpointError
from visionzoo.weights.downloads import fetch_weights


class Release(Protocol):
    """A released file: its address, its checksum and the addresses of copies."""

    @property
    def url(self) -> str | None: ...

    @property
    def sha256(self) -> str | None: ...

    @property
    def mirrors(self) -> Sequence[str]: ...


def released_weights(name: str, releases: Sequence[Release]) -> Path:
    """Return the first released file of a model, fetched and checked.

    Args:
        name: name of the model in messages.
        releases: the released files in its card.

    Raises:
        CheckpointError: the card has no released file, or the file cannot be fetched.
    """
    if not releases:
        raise CheckpointError(
            name,
            expected="weights",
            found="none released",
            advice=(
                "train it and name the folder of the run, or use an untrained model: --weights none on the command "
                'line, weights="none" in Python'
            ),
        )
    first = releases[0]
    return fetch_weights(first.url or name, first.sha256, first.mirrors)
