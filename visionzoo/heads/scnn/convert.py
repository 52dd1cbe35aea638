"""Convert released checkpoints of SCNN with VGG-16: the whole model, or only the trunk.

Tensor names identify one of three layouts:

- The PyTorch port (harryhan618/SCNN_Pytorch): ``backbone``, ``layer1``, ``message_passing``, ``layer2``, ``fc``. Its
  converted file of the authors' weights has the same names. Missing biases of VGG's convolutions become zeros.
- Torch7 (XingangPan/SCNN, ``vgg_SCNN_DULR_w9.t7``): names are module indices from 0, such as ``33.weight`` and
  ``42.8.bias``, with or without ``modules`` between the numbers.
- pytorch-auto-drive: ``encoder``, ``fc67``, ``scnn``, ``fc8``, ``lane_classifier``. Its messages have biases and do
  not update the first row and column: build the head with ``message_bias=True`` and ``update_first=False``.

The files do not contain the normalisation. The authors' weights need CULane's mean and deviation; weights trained with
the port or pytorch-auto-drive need ImageNet's. The biases distinguish them: Torch7's convolutions in VGG have none.
The existence branch fixes the size of the images: its weights fit one size, which is 288x800 for CULane.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from visionzoo.converters import CONVERTERS, tensors_of
from visionzoo.errors import CheckpointError

_WRAPPERS = ("net", "state_dict", "model")
_LOSS = "ce_loss.weight"

# VGG-16's convolutions by torchvision's index; a norm follows each.
_CONVS = (0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40)
_NORM = ("weight", "bias", "running_mean", "running_var")
_TRACKED = "num_batches_tracked"

_DIRECTIONS = ("down", "up", "right", "left")
_EXISTENCE = "head.existence.layers.0.weight"
# Side in pixels of one cell of the existence branch, and common image sizes (H, W).
_CELL = 16
_USUAL_SIZES = ((288, 800), (288, 512), (360, 640))

# Mean and standard deviation of RGB values in 0 to 255.
_CULANE = ((91.749, 93.1515, 93.381), (65.6115, 67.9065, 70.278))
_IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))

_REDUCER = "head.reducer.branches.0."
# Name prefixes of a layout, and the prefixes that replace them.
_PORT = {
    "backbone.": "backbone.features.",
    "layer1.": _REDUCER,
    "message_passing.up_down.": "head.messages.down.",
    "message_passing.down_up.": "head.messages.up.",
    "message_passing.left_right.": "head.messages.right.",
    "message_passing.right_left.": "head.messages.left.",
    "layer2.1.": "head.classifier.1.",
    "fc.": "head.existence.layers.",
}
_AUTO_DRIVE = {
    "encoder.net.": "backbone.features.",
    "encoder.": "backbone.features.",
    "fc67.": _REDUCER,
    "scnn.conv_d.": "head.messages.down.",
    "scnn.conv_u.": "head.messages.up.",
    "scnn.conv_r.": "head.messages.right.",
    "scnn.conv_l.": "head.messages.left.",
    "fc8.1.": "head.classifier.1.",
    "lane_classifier.linear1.": "head.existence.layers.0.",
    "lane_classifier.linear2.": "head.existence.layers.2.",
}
# Torch7 has no pooling between the last two stages, so the indices of later modules are lower by 1.
_TORCH7 = {
    **{f"{layer - (layer > 33)}.": f"backbone.features.{layer}." for conv in _CONVS for layer in (conv, conv + 1)},
    "42.6.0.0.2.0.1.1.0.": "head.messages.down.",
    "42.6.0.0.140.1.2.0.0.": "head.messages.up.",
    "42.6.1.0.2.0.1.1.0.": "head.messages.right.",
    "42.6.1.0.396.1.2.0.0.": "head.messages.left.",
    "42.8.": "head.classifier.1.",
    **{f"42.{layer}.": f"{_REDUCER}{layer}." for layer in (0, 1, 3, 4)},
    "43.1.3.": "head.existence.layers.0.",
    "43.1.5.": "head.existence.layers.2.",
}
_LAYOUTS = {"backbone.0.weight": _PORT, "encoder.": _AUTO_DRIVE, "0.weight": _TORCH7}


@CONVERTERS.register("scnn")
def convert_model(checkpoint: Mapping[str, Any], *, input_size: Sequence[int] | None = None) -> dict[str, Tensor]:
    """Convert a released SCNN to a ``TaskModel`` with ``VGG(large_field=True)`` and ``SCNNHead``.

    Args:
        checkpoint: contents of a released file.
        input_size: (H, W) in pixels of the images that the model is built for; None skips this check.

    Returns:
        Tensors by name, ``backbone.*`` and ``head.*``.

    Raises:
        CheckpointError: names of another model, missing tensors, tensors of another shape, or an existence branch for
            another image size.
    """
    state = _state_of(checkpoint)
    table = _layout_of(state)
    weights = {}
    for name, value in state.items():
        old = max((start for start in table if name.startswith(start)), key=len, default=None)
        if old is None:
            raise CheckpointError(
                "checkpoint",
                expected="only tensors of SCNN",
                found=f"{name}",
                advice="give a released file of SCNN with VGG-16",
            )
        weights[table[old] + name.removeprefix(old)] = value
    weights = _with_filled(weights)
    _require_all(weights)
    for direction in _DIRECTIONS:
        name = f"head.messages.{direction}.weight"
        weights[name] = _kernel_of(name, weights[name], direction)
    if input_size is not None:
        _require_size(_cells_of(weights), input_size)
    return weights


@CONVERTERS.register("scnn", use="backbone")
def convert(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Convert only the trunk, for ``VGG("16_bn", large_field=True)``.

    Raises:
        CheckpointError: see :func:`convert_model`.
    """
    start = "backbone."
    weights = convert_model(checkpoint)
    return {name.removeprefix(start): value for name, value in weights.items() if name.startswith(start)}


@CONVERTERS.register("scnn", use="input")
def input_of(checkpoint: Mapping[str, Any]) -> dict[str, list[float]]:
    """Return the input that the weights were trained with.

    Returns:
        ``mean`` and ``std`` of RGB values in 0 to 255, and ``size``, (H, W) in pixels, if it is a common one.

    Raises:
        CheckpointError: see :func:`convert_model`.
    """
    weights = convert_model(checkpoint)
    has_biases = any(weights[f"backbone.features.{conv}.bias"].any() for conv in _CONVS)
    mean, std = _IMAGENET if has_biases else _CULANE
    usual = _usual_sizes(_cells_of(weights))
    return {"mean": list(mean), "std": list(std)} | ({"size": list(usual[0])} if usual else {})


def _cells_of(found: Mapping[str, Tensor]) -> int:
    """Return the number of grid cells that the existence branch reads."""
    return found[_EXISTENCE].shape[1] // found["head.classifier.1.bias"].shape[0]


def _usual_sizes(cells: int) -> list[tuple[int, int]]:
    return [(h, w) for h, w in _USUAL_SIZES if (h // _CELL) * (w // _CELL) == cells]


def _state_of(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return tensors by name, without wrapper, prefixes and weights of the loss."""
    state = tensors_of(checkpoint, _WRAPPERS)
    bare = {re.sub(r"\bmodules\.(?=\d)", "", name): value for name, value in state.items()}
    return {name: value for name, value in bare.items() if name != _LOSS}


def _layout_of(state: Mapping[str, Tensor]) -> Mapping[str, str]:
    for start, table in _LAYOUTS.items():
        if any(name.startswith(start) for name in state):
            return table
    found = ", ".join(list(state)[:3]) or "no tensors"
    raise CheckpointError(
        "checkpoint",
        expected=(
            "SCNN's names (backbone.0.weight of the PyTorch port, 0.weight of Torch7, encoder.* of pytorch-auto-drive)"
        ),
        found=found,
        advice="give a released file of SCNN with VGG-16",
    )


def _with_filled(found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Add zeros for what Torch7 does not store: biases of VGG's convolutions and counts of batches."""
    filled = dict(found)
    for conv in _CONVS:
        weight = found.get(f"backbone.features.{conv}.weight")
        if weight is not None:
            filled.setdefault(f"backbone.features.{conv}.bias", weight.new_zeros(len(weight)))
    for name in found:
        if name.endswith(".running_var"):
            filled.setdefault(name.replace("running_var", _TRACKED), torch.zeros((), dtype=torch.int64))
    return filled


def _expected() -> list[str]:
    names = [f"backbone.features.{conv}.{leaf}" for conv in _CONVS for leaf in ("weight", "bias")]
    norms = [f"backbone.features.{conv + 1}." for conv in _CONVS] + [f"{_REDUCER}1.", f"{_REDUCER}4."]
    names += [norm + leaf for norm in norms for leaf in (*_NORM, _TRACKED)]
    names += [f"{_REDUCER}0.weight", f"{_REDUCER}3.weight"]
    names += [f"head.messages.{direction}.weight" for direction in _DIRECTIONS]
    layers = ("head.classifier.1.", "head.existence.layers.0.", "head.existence.layers.2.")
    return names + [layer + leaf for layer in layers for leaf in ("weight", "bias")]


def _require_all(found: Mapping[str, Tensor]) -> None:
    biases = {f"head.messages.{direction}.bias" for direction in _DIRECTIONS}
    expected = _expected()
    missing = [name for name in expected if name not in found]
    strangers = [name for name in found if name not in expected and name not in biases]
    if missing or strangers or len(biases & set(found)) not in (0, len(biases)):
        what = f"no tensor for {missing[0]}" if missing else f"one for {(strangers or sorted(biases))[0]}"
        raise CheckpointError(
            "checkpoint",
            expected=f"the {len(expected)} tensors of SCNN with VGG-16",
            found=f"{len(found)}, and {what}",
            advice="give a whole released file",
        )


def _kernel_of(name: str, weight: Tensor, direction: str) -> Tensor:
    """Reshape (C, C, 1, K) of rows or (C, C, K, 1) of columns to (C, C, K)."""
    axis = 2 if direction in ("down", "up") else 3
    if weight.ndim != 4 or weight.shape[axis] != 1:
        wanted = "(C, C, 1, K)" if axis == 2 else "(C, C, K, 1)"
        raise CheckpointError(
            "checkpoint",
            expected=f"a kernel {wanted} for {name}",
            found=f"{tuple(weight.shape)}",
            advice="give a released file",
        )
    return weight.squeeze(axis)


def _require_size(cells: int, input_size: Sequence[int]) -> None:
    height, width = input_size
    if cells != (height // _CELL) * (width // _CELL):
        usual = [f"{h}x{w}" for h, w in _usual_sizes(cells)]
        raise CheckpointError(
            "checkpoint",
            expected=f"an existence branch for images of {height}x{width}, {height // _CELL} x {width // _CELL} cells",
            found=f"one of {cells} cells{', for images of ' + usual[0] if usual else ''}",
            advice=(
                "build the model with that model.head.input_size (images may have another size), or retrain the branch"
            ),
        )
