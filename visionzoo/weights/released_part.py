"""Initial weights of a part that names its released file itself, such as a text encoder."""

from __future__ import annotations

from typing import Any

from mmengine.model.weight_init import update_init_info
from torch import nn

from visionzoo.registry import WEIGHT_INITIALIZERS
from visionzoo.weights.downloads import verify_sha256
from visionzoo.weights.loading import load_weights
from visionzoo.weights.safe_load import read_checkpoint
from visionzoo.weights.states import weights_of


@WEIGHT_INITIALIZERS.register_module()
class ReleasedPart:
    """Initialiser for ``init_cfg=dict(type="visionzoo.ReleasedPart")``, which loads safely and strictly.

    The part has ``released_file()``, which returns a path and its sha256 or None, and ``convert(tensors)``, which
    returns its own tensors. Tensors whose names begin with an entry of its ``NOT_RELEASED`` keep their values.

    Raises:
        CheckpointError: the file is missing, damaged, has another sha256, or a tensor does not fit.
    """

    def __call__(self, module: Any) -> None:
        path, sha256 = module.released_file()
        if sha256 is not None:
            verify_sha256(path, sha256)
        tensors = module.convert(weights_of(read_checkpoint(path), str(path)))
        load_weights(module, tensors, ignore=_own_names(module), where=str(path))
        if hasattr(module, "_params_init_info"):
            update_init_info(module, init_info=f"Loaded from {path}")


def _own_names(module: nn.Module) -> list[str]:
    prefixes = tuple(getattr(module, "NOT_RELEASED", ()))
    return [name for name in module.state_dict() if name.startswith(prefixes)]
