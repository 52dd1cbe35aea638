"""Convert released checkpoints of VoxelMorph: the whole model, encoder and head.

Names identify one of two layouts:

- PyTorch, ``.pt``: a dict with ``config``, the arguments of the network, and ``model_state``.
- Keras, ``.h5``, as ``vxm_dense_brain_T1_3D_mse.h5``: kernels have their channels last, and the decoder's levels are
  counted from the finest one. States of the optimiser are omitted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from visionzoo.converters import CONVERTERS, require_names, tensors_of
from visionzoo.errors import CheckpointError

_TORCH = {
    r"unet_model\.encoder\.(\d+)\.(\d+)\.main": r"backbone.levels.\1.\2.0",
    r"unet_model\.decoder\.(\d+)\.(\d+)\.main": r"head.decoder.\1.\2.0",
    r"unet_model\.remaining\.(\d+)\.main": r"head.remaining.\1.0",
    r"flow": "head.velocity",
}
_KERAS = re.compile(r"(?:^|/)(\w*?)_?(?:(enc|dec)_conv_(\d+)_(\d+)|dec_final_conv_(\d+)|(flow))/(kernel|bias)(?::0)?$")
_EXPECTED = "VoxelMorph's VxmDense (unet_model.*, flow.*)"
_EXAMPLE = "give a released file of VxmDense, .pt or .h5"


@CONVERTERS.register("voxelmorph")
def convert_model(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Convert a released VxmDense to a ``TaskModel`` with ``VoxelMorphEncoder`` and ``VoxelMorphHead``.

    The file's ``features`` must be those of the two parts; see their variants.

    Args:
        checkpoint: contents of a ``.pt`` file, or the arrays of a ``.h5`` file by their paths.

    Returns:
        Tensors by name, ``backbone.*`` and ``head.*``. Grids of coordinates are omitted.

    Raises:
        CheckpointError: the names are not those of VxmDense.
    """
    state = tensors_of(checkpoint, ["model_state", "state_dict"])
    if any(name.rpartition("/")[2].startswith("kernel") for name in state):
        return _from_keras(state)
    state = {name: value for name, value in state.items() if not name.endswith(".grid")}
    require_names(
        state, needed=("unet_model.encoder.0.0.main.weight", "flow.weight"), expected=_EXPECTED, advice=_EXAMPLE
    )
    return {_renamed(name): value for name, value in state.items()}


def _renamed(name: str) -> str:
    for pattern, ours in _TORCH.items():
        if match := re.fullmatch(rf"{pattern}\.(?P<leaf>weight|bias)", name):
            return f"{match.expand(ours)}.{match['leaf']}"
    raise CheckpointError("checkpoint", expected=f"names of {_EXPECTED}", found=name, advice=_EXAMPLE)


# --------------------------------------------------------------------------- Keras


def _from_keras(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    names = [name for name in state if not name.startswith("optimizer_weights/")]
    matches = {name: match for name in names if (match := _KERAS.search(name))}
    strangers = [name for name in names if name not in matches]
    flows = [name for name, match in matches.items() if match[6]]
    if strangers or not flows:
        found = strangers[0] if strangers else "no flow/kernel"
        expected = "VxmDense of Keras (unet_enc_conv_0_0/kernel, flow/kernel)"
        raise CheckpointError("checkpoint", expected=expected, found=found, advice=_EXAMPLE)
    deepest = max((int(match[3]) for match in matches.values() if match[2] == "dec"), default=0)
    ours = {_from_match(match, deepest): _channels_first(state[name]) for name, match in matches.items()}
    if len(ours) < len(matches):
        raise CheckpointError(
            "checkpoint", expected="one network", found="layers of the same name in several groups", advice=_EXAMPLE
        )
    return ours


def _from_match(match: re.Match[str], deepest: int) -> str:
    _, part, level, conv, final, flow, kind = match.groups()
    leaf = "weight" if kind == "kernel" else "bias"
    if flow:
        return f"head.velocity.{leaf}"
    if final:
        return f"head.remaining.{final}.0.{leaf}"
    if part == "enc":
        return f"backbone.levels.{level}.{conv}.0.{leaf}"
    return f"head.decoder.{deepest - int(level)}.{conv}.0.{leaf}"


def _channels_first(value: Tensor) -> Tensor:
    """Return a kernel (*k, in, out) as (out, in, *k); a bias is not changed."""
    if value.ndim == 1:
        return value
    axes = range(value.ndim - 2)
    return value.permute(value.ndim - 1, value.ndim - 2, *axes).contiguous()
