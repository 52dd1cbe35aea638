"""Whether the network may be used."""

from __future__ import annotations

import os

_TRUE = ("1", "true", "yes", "on")


def offline() -> bool:
    """Return True if ``--offline`` or the environment disables the network."""
    return any(os.environ.get(name, "").lower() in _TRUE for name in ("VISIONZOO_OFFLINE", "HF_HUB_OFFLINE"))
