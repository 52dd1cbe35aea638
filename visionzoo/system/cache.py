"""Cache folder of downloaded weights and generated data."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from visionzoo.errors import OutputError


def cache_root() -> Path:
    """Return ``$VISIONZOO_CACHE``, or ``~/.cache/visionzoo`` if it is not set."""
    return Path(os.environ.get("VISIONZOO_CACHE") or Path("~", ".cache", "visionzoo")).expanduser()


def make_folder(folder: Path, fill: Callable[[Path], object]) -> None:
    """Make a folder in the cache. It is always complete, even if several processes make it.

    Args:
        folder: the folder; equal names must have equal contents.
        fill: receives an empty folder beside ``folder``, which is renamed to ``folder`` afterwards.

    Raises:
        OutputError: the cache cannot be written.

    Example:
        >>> with tempfile.TemporaryDirectory() as cache:
        ...     make_folder(Path(cache, "a"), lambda new: (new / "a.txt").write_text("a"))
        ...     Path(cache, "a", "a.txt").read_text()
        'a'
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    except OSError as error:
        raise _cannot_write(folder, error) from error
    try:
        beside.chmod(0o755)  # mkdtemp grants access only to the owner
        fill(beside)
        beside.rename(folder)
    except OSError as error:
        if not folder.is_dir():  # otherwise another process was faster and wrote the same bytes
            raise _cannot_write(folder, error) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _cannot_write(folder: Path, error: OSError) -> OutputError:
    return OutputError(
        folder,
        expected="to write generated data here",
        but=f"{error.strerror or error}",
        advice="set VISIONZOO_CACHE to a writable folder with free space",
    )
