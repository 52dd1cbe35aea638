"""The folder of downloaded weights and drawn data."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path:
    """``$VISIONZOO_CACHE``, or ``~/.cache/visionzoo``."""
    return Path(os.environ.get("VISIONZOO_CACHE") or Path("~", ".cache", "visionzoo")).expanduser()
