"""The channels of the images that a backbone reads, by its config."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from visionzoo.config.signatures import default_of

# Arguments of backbones for the channels of their images; the second one is timm's.
SETTINGS = ("in_channels", "in_chans")

_RGB = 3


def image_channels(backbone: Callable[..., Any], cfg: Mapping[str, Any]) -> int:
    """Return the channels of the images that a backbone reads: as in its config, as its class states, or else 3.

    Args:
        backbone: its class.
        cfg: its config.

    Example:
        >>> def gray(in_channels: int = 1): ...
        >>> image_channels(gray, {}), image_channels(gray, {"in_chans": 4}), image_channels(dict, {})
        (1, 4, 3)
    """
    stated = (*(cfg.get(name) for name in SETTINGS), default_of(backbone, SETTINGS[0]))
    return next((each for each in stated if isinstance(each, int)), _RGB)
