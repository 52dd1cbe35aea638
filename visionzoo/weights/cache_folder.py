"""The folders of weights in the cache, and messages about them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from visionzoo.errors import OutputError, as_utf8
from visionzoo.system.atomic import cannot_write
from visionzoo.system.cache import cache_root
from visionzoo.system.waiting_lock import one_at_a_time


def weights_folder() -> Path:
    """Return the folder of downloaded weights, ``$VISIONZOO_CACHE/weights``."""
    return cache_root() / "weights"


def by_hand_folder() -> Path:
    """Return the folder in which files are recognised that a user put there by hand, under their own names."""
    return weights_folder() / "by_hand"


def converted_folder() -> Path:
    """Return the folder of converted weights."""
    return weights_folder() / "converted"


def cannot_cache(path: Path, error: OSError) -> OutputError:
    """Return the error for a file that cannot be written into the cache."""
    reason = (cannot_write(path, error).but or "").partition(";")[0]
    return OutputError(
        path,
        expected="to write weights into the cache",
        but=reason,
        advice="set VISIONZOO_CACHE to a folder that can be written and has free space",
    )


@contextmanager
def alone_with(path: Path) -> Iterator[None]:
    """Make the folder of a file of the cache, and hold the lock of the file. Wait for the process that holds it.

    Raises:
        OutputError: the cache cannot be written.
    """
    lock = path.with_name(f".{path.name}.lock")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.touch()
    except OSError as error:
        raise cannot_cache(path, error) from error
    with one_at_a_time(lock, lambda: tell(f"waiting for another process that fetches {path.name} ...")):
        yield


def tell(text: str) -> None:
    """Print one line on stderr."""
    print(as_utf8(text), file=sys.stderr, flush=True)
