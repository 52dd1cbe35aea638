"""Schema of the checkpoint of a search, ``search.pth``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from visionzoo.datasets.findings import shown
from visionzoo.errors import CheckpointError
from visionzoo.weights.safe_load import read_checkpoint


def read_search_state(file: Path, device: Any) -> dict[str, Any]:
    """Read the checkpoint of a search and check all of it, except whether its tensors fit the supernet.

    Raises:
        CheckpointError: the file is broken, or an entry is missing or of another type.
    """
    saved = read_checkpoint(file, map_location=device)
    for name, (expected, is_valid) in _SCHEMA.items():
        if name not in saved or not is_valid(saved[name]):
            found = shown(saved[name]) if name in saved else "none"
            raise CheckpointError(f"{file}: {name}", expected=expected, found=found, advice=f"delete {file.name}")
    block, best_paths = saved["place"][0], saved["best_paths"]
    if len(best_paths) not in (block, block + 1):
        raise CheckpointError(
            f"{file}: best_paths",
            expected=f"{block} or {block + 1} paths in block {block}",
            found=f"{len(best_paths)}",
            advice=f"delete {file.name}",
        )
    return saved


def _list_of(is_valid: Callable[[Any], bool], length: int | None = None) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, list | tuple) and len(value) == (length or len(value)) and all(map(is_valid, value))
    )


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_path(value: Any) -> bool:
    return bool(value) and _list_of(_is_count)(value)


def _is_score(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and _is_path(value[0]) and _is_number(value[1])


def _is_loss(value: Any) -> bool:
    return _list_of(_is_number, 3)(value) and all(map(_is_count, value[:2]))


def _are_tensors(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(key, str) and isinstance(each, Tensor) for key, each in value.items()
    )


_SCHEMA: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "settings": ("settings by name", lambda value: isinstance(value, Mapping)),
    "place": ("block, epoch and step", _list_of(_is_count, 3)),
    "best_paths": ("a list of paths", _list_of(_is_path)),
    "losses": ("a list of (block, epoch, loss)", _list_of(_is_loss)),
    "epoch_losses": ("a list of numbers", _list_of(_is_number)),
    "ranking": ("a list of (path, score)", _list_of(_is_score)),
    "model": ("tensors by name", _are_tensors),
    "momentum": ("tensors by name", _are_tensors),
    "gradients": ("tensors by name", _are_tensors),
}
