"""Loaders of mmengine, replaced by safe ones.

This includes ``load_from``, ``resume`` and ``init_cfg=dict(type="Pretrained")``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from visionzoo.errors import CheckpointError
from visionzoo.weights.safe_load import harmless_globals, read_checkpoint
from visionzoo.weights.sources import LOCAL, local_copy


def close_pickle_fallback(*, trust_pickle: bool = False) -> None:
    """Make every loader of mmengine use :func:`read_checkpoint`. Another call changes only ``trust_pickle``."""
    from mmengine.runner import checkpoint
    from mmengine.runner.checkpoint import CheckpointLoader

    local, remote, refused = _loaders(trust_pickle)
    known = {"": local, **dict.fromkeys(_REMOTE, remote)}
    schemes = set(CheckpointLoader._schemes) | set(known)
    for scheme in schemes:
        CheckpointLoader.register_scheme(scheme, known.get(scheme, refused), force=True)
    checkpoint._safe_torch_load = _torch_load_in_place_of_mmengine(trust_pickle)


_HTTP = ("http://", "https://", "torchvision://", "modelzoo://", "open-mmlab://", "openmmlab://", "mmcls://")
_REMOTE = (*_HTTP, *(f"{scheme}://" for scheme in LOCAL))


def _loaders(trust_pickle: bool) -> tuple[Callable[..., dict], Callable[..., dict], Callable[..., dict]]:
    # mmengine prints `__name__[10:]`, the part after "load_from_".
    def load_from_file(filename: str, map_location: Any = None, **kwargs: Any) -> dict:
        return read_checkpoint(filename, map_location=map_location, trust_pickle=trust_pickle)

    def load_from_url(filename: str, map_location: Any = None, **kwargs: Any) -> dict:
        path = local_copy(filename)
        checkpoint = read_checkpoint(path, map_location=map_location, trust_pickle=trust_pickle)
        return _backbone_of(checkpoint) if filename.startswith("mmcls://") else checkpoint

    def load_from_nowhere(filename: str, map_location: Any = None, **kwargs: Any) -> dict:
        raise CheckpointError(
            filename, expected="a file or an http address", advice="copy the file here and name its path"
        )

    return load_from_file, load_from_url, load_from_nowhere


def _backbone_of(checkpoint: dict) -> dict:
    """Return only the backbone of a classifier's checkpoint, without the prefix ``backbone.``, as for ``mmcls://``."""
    state = checkpoint.get("state_dict", checkpoint)
    prefix = "backbone."
    return {"state_dict": {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}}


def _torch_load_in_place_of_mmengine(trust_pickle: bool) -> Callable[..., Any]:
    def load(file: Any, map_location: Any = None, weights_only: bool | None = None) -> Any:
        with harmless_globals():
            return torch.load(file, map_location=map_location, weights_only=not trust_pickle)

    return load
