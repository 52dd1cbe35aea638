"""visionzoo: vision models whose backbones, necks and heads combine from one config.

Importing the package is cheap. torch, mmengine and the models are imported on first use.
"""

import logging
from importlib import import_module
from typing import Any

from visionzoo._version import __version__
from visionzoo.ops import mmcv_ext as _mmcv_ext

_PUBLIC = {
    "Inferencer": "visionzoo.zoo",
    "get_model": "visionzoo.zoo",
    "list_models": "visionzoo.zoo",
}

__all__ = ["Inferencer", "__version__", "get_model", "list_models"]

_mmcv_ext.install()

# mmengine imports matplotlib, which warns about its cache folder and its fonts. No command uses them.
if logging.getLogger("matplotlib").level == logging.NOTSET:
    logging.getLogger("matplotlib").setLevel(logging.ERROR)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'visionzoo' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
