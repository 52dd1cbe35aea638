"""Pins: the sha256 of files whose card states none, kept from the first download on and compared with every later one.

They are in ``pins.json`` in the cache. ``visionzoo weights lock`` writes them into a card.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from visionzoo.errors import CheckpointError, OutputError
from visionzoo.system.atomic import write_text
from visionzoo.weights.cache_folder import alone_with, tell, weights_folder


@dataclass(frozen=True)
class Pin:
    """What the first download of a file was.

    Attributes:
        sha256: 64 hex digits.
        bytes: size.
        date: day of the download, ``2026-11-29``.

    Example:
        >>> Pin("ab" * 32, 5, "2026-11-29").bytes
        5
    """

    sha256: str
    bytes: int
    date: str


def pins_path() -> Path:
    """Return the file of the pins, whether or not it exists."""
    return weights_folder() / "pins.json"


def read_pins() -> dict[str, Pin]:
    """Return the pins by the address of the file.

    Raises:
        CheckpointError: the file of the pins is damaged.
    """
    path = pins_path()
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return {str(source): Pin(**facts) for source, facts in stored.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(
            path,
            expected="the pins of downloaded files, in JSON",
            but=f"{error}",
            advice="correct it, or delete it to pin the files of the next downloads",
        ) from error


def require_pinned(source: str, path: Path, sha256: str) -> None:
    """Raise an error if a file differs from its first download.

    Args:
        source: address of the file.
        path: the file.
        sha256: its sha256.

    Raises:
        CheckpointError: the pin has another sha256.
    """
    pin = read_pins().get(source)
    if pin is not None and pin.sha256 != sha256:
        raise CheckpointError(
            path,
            expected=f"sha256 {pin.sha256}, which was pinned on {pin.date}",
            found=sha256,
            advice=f"ask its authors about the change; to accept it, remove {source} from {pins_path()}",
        )


def add_pin(source: str, path: Path, sha256: str) -> None:
    """Pin a file that has no pin yet, and print the pin.

    Raises:
        OutputError: the cache cannot be written.
    """
    with alone_with(pins_path()):
        pins = read_pins()
        if source in pins:
            return
        pins[source] = Pin(sha256, path.stat().st_size, datetime.now(UTC).date().isoformat())
        _write(pins)
    tell(f"pinned: sha256 {sha256} of {source} ({pins[source].bytes} bytes), in {pins_path()}")


def _write(pins: Mapping[str, Pin]) -> None:
    text = json.dumps({source: asdict(pin) for source, pin in sorted(pins.items())}, indent=2) + "\n"
    try:
        write_text(pins_path(), text)
    except OutputError as error:
        raise OutputError(
            pins_path(), expected="to write the pins", but=error.but, advice="set VISIONZOO_CACHE to another folder"
        ) from error
