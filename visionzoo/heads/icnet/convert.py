"""Convert the released checkpoint of ICNet: the whole model, encoder and head."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from visionzoo.converters import CONVERTERS, require_names, tensors_of
from visionzoo.errors import CheckpointError

_LAYER = re.compile(r"^(eninput|ec|dc|up)(\d*)\.0\.(weight|bias)$")
_LEAST = ("eninput.0.weight", "ec9.0.weight", "dc9.0.weight", "up4.0.bias")
_EXAMPLE = "give the author's file, Model/model.pth"


@CONVERTERS.register("icnet")
def convert_model(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Convert the released ICNet to a ``TaskModel`` with ``ICNetEncoder`` and ``ICNetHead``.

    Args:
        checkpoint: the state dict of the author's ``model.pth``.

    Returns:
        Tensors by name, ``backbone.*`` and ``head.*``. Grids of coordinates are omitted.

    Raises:
        CheckpointError: the names are not those of ICNet.
    """
    state = {name: value for name, value in tensors_of(checkpoint).items() if not name.endswith("grid")}
    require_names(state, needed=_LEAST, expected="ICNet (eninput.*, ec1.*, up1.*, dc1.*)", advice=_EXAMPLE)
    return {_renamed(name): value for name, value in state.items()}


def _renamed(name: str) -> str:
    match = _LAYER.match(name)
    if match is None or (match[1] == "eninput") == bool(match[2]):
        raise CheckpointError("checkpoint", expected="names of ICNet", found=name, advice=_EXAMPLE)
    kind, number, leaf = match[1], int(match[2] or 0), match[3]
    if kind == "up":
        return f"head.upsamplers.{number - 1}.0.{leaf}"
    if kind == "dc":
        level, layer = divmod(number - 1, 2)
        return f"head.flow.{leaf}" if number == 9 else f"head.decoder.{level}.{layer}.0.{leaf}"
    level, layer = divmod(number, 2)
    return f"backbone.levels.{level}.{layer}.0.{leaf}"
