"""Cache folder of downloaded weights and generated data."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path:
    """Return ``$VISIONZOO_CACHE``, or ``~/.cache/visionzoo`` if it is not set."""
    return Path(os.environ.get("VISIONZOO_CACHE") or Path("~", ".cache", "visionzoo")).expanduser()
