"""Convert checkpoints of the authors' code (mmdet 2.10).

Our parameter names equal theirs. The conversion handles the rest: the wrapping of a training checkpoint, the prefix of
a parallel model, copies of an averaged model, and early mmcv's name of a deformable convolution's offsets. Backbones
and heads of mmdet have the same names in 2.10 and 3.x.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from visionzoo.converters import CONVERTERS, tensors_of
from visionzoo.errors import CheckpointError

_NECK = re.compile(r"(lateral_convs|extra_downsamples|RevFP|CSN)\.")

# `conv_offset` is inside the deformable convolution since mmcv 1.0, and was next to it before.
_EARLY_OFFSET = re.compile(r"\b(pre_fusion|post_fusion)\.conv_offset\.")


@CONVERTERS.register("rcnet", use="backbone")
def convert(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Convert the weights of a released ``RCFPN`` to those of :class:`RCNet`.

    Args:
        state: weights of the neck or of a detector (``neck.*``; its other parts are dropped), bare or inside a training
            checkpoint (``{"meta": ..., "state_dict": ...}``).

    Raises:
        CheckpointError: ``state`` has no such neck.
    """
    flat = _unwrapped(state)
    inside = {name.removeprefix("neck."): value for name, value in flat.items() if name.startswith("neck.")}
    neck = {_EARLY_OFFSET.sub(r"\1.conv.conv_offset.", name): value for name, value in (inside or flat).items()}
    strangers = [name for name in neck if not _NECK.match(name)]
    if strangers or not neck:
        raise CheckpointError(
            "checkpoint",
            expected="an RCNet neck (lateral_convs.*, RevFP.*, CSN.*)",
            found=f"{strangers[0] if strangers else 'no weights'}",
            advice="give a checkpoint of a detector with this neck",
        )
    return neck


@CONVERTERS.register("rcnet", use="detector")
def convert_detector(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Convert the weights of a detector that was trained with the authors' code, or of only its neck.

    Args:
        checkpoint: contents of an mmdet 2.x file, its ``state_dict``, or the state dict of a neck.

    Raises:
        CheckpointError: the checkpoint has no RCNet neck.
    """
    flat = _unwrapped(checkpoint)
    prefix = "neck." if any(name.startswith("neck.") for name in flat) else ""
    neck = {prefix + name: value for name, value in convert(flat).items()}
    others = {name: value for name, value in flat.items() if prefix and not name.startswith(prefix)}
    return others | neck


def _unwrapped(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the state dict of a training checkpoint, without a parallel model's prefix and without ``ema_*``.

    mmcv's averaging hook swaps weights before it saves: plain names hold the averaged weights, ``ema_*`` the others.
    """
    named = tensors_of(checkpoint, ["state_dict", "model"])
    return {name: value for name, value in named.items() if not name.startswith("ema_")}
