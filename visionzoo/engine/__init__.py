"""Training and testing in one or several processes, with exact resuming and safe checkpoints.

``train`` and ``test`` are imported on first use, because they import torch and mmengine.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["RunOptions", "ZooRunner", "test", "train"]

_HOMES = {"train": "training", "test": "testing", "ZooRunner": "runner", "RunOptions": "run_options"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
