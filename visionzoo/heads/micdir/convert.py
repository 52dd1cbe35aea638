"""Convert checkpoints of MICDIR's training script: the whole model, encoder and head.

A file is one dict with 15 entries, one state dict per module. The script's test reads only 12 of them and ignores
``conv_decoder4_training`` to ``conv_decoder6_training``, the velocity of the half scale. Only training uses these. If a
file lacks one of them, it starts from random values, as a new layer of PyTorch.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from visionzoo.converters import CONVERTERS, require_names, tensors_of
from visionzoo.errors import CheckpointError

# Modules of the script, and the prefixes of ours; ``#`` is the module's number from 0.
_MODULES = {
    r"upsampler([1-5])_training\.op": "head.decoder.levels.#",
    r"graph_layers([12])_training\.fc\.0": "head.latent_graph.layers.#.linear",
    r"graph_layers([12])_training\.fc\.1": "head.latent_graph.layers.#.norm",
    r"conv_decoder([1-3])_training\.op": "head.full_velocity.layers.#",
    r"conv_decoder([4-6])_training\.op": "head.half_velocity.layers.#",
    r"feature_extractor_training\.en([1-6])": "backbone.levels.#",
    r"scg_training\.(mu|logvar)": "head.latent_graph.#",
}
_FIRST = {"conv_decoder4_training": 4, "conv_decoder5_training": 4, "conv_decoder6_training": 4}
_LEAST = ("feature_extractor_training.en1.0.weight", "scg_training.mu.0.weight", "conv_decoder3_training.op.0.weight")
_EXAMPLE = "give a file of MICDIR's training script, scgnet_upsampling_concat_deconv_new_<epoch>.pth"


@CONVERTERS.register("micdir")
def convert_model(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Convert a trained MSCGUNet to a ``TaskModel`` with ``MICDIREncoder`` and ``MICDIRHead(compat=True)``.

    Args:
        checkpoint: the dict of 15 state dicts, or their tensors as ``<entry>.<name>``.

    Returns:
        Tensors by name, ``backbone.*`` and ``head.*``. Grids of coordinates are omitted.

    Raises:
        CheckpointError: the names are not those of MSCGUNet.
    """
    state = {name: value for name, value in _flat(checkpoint).items() if not name.endswith(".grid")}
    expected = "MSCGUNet (feature_extractor_training, scg_training, conv_decoder1_training, ...)"
    require_names(state, needed=_LEAST, expected=expected, advice=_EXAMPLE)
    return {_renamed(name): value for name, value in (state | _absent_layers(state)).items()}


def _absent_layers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return random weights for the layers of the half scale that a file lacks; they have the shapes of the others."""
    name = "conv_decoder{}_training.op.0.weight"
    absent = [layer for layer in (4, 5, 6) if name.format(layer) not in state]
    if not absent:
        return {}
    warnings.warn(
        f"the file has no {', '.join(f'conv_decoder{layer}_training' for layer in absent)}; the velocity of the half "
        "scale, which only training uses, starts from random values",
        stacklevel=2,
    )
    values = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for layer in absent:
            outputs, inputs, *kernel = state[name.format(layer - 3)].shape
            inputs = state["upsampler4_training.op.0.weight"].shape[0] if layer == 4 else inputs
            values[name.format(layer)] = nn.init.kaiming_uniform_(torch.empty(outputs, inputs, *kernel), a=5**0.5)
    return values


def _flat(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the tensors of all entries as ``<entry>.<name>``."""
    flat: dict[str, Any] = {}
    for entry, value in checkpoint.items():
        flat |= (
            {f"{entry}.{name}": each for name, each in value.items()} if isinstance(value, Mapping) else {entry: value}
        )
    return tensors_of(flat)


def _renamed(name: str) -> str:
    for pattern, ours in _MODULES.items():
        if match := re.match(rf"{pattern}\.(?=\w)", name):
            first = _FIRST.get(name.partition(".")[0], 1)
            number = str(int(match[1]) - first) if match[1].isdigit() else match[1]
            return f"{ours.replace('#', number)}.{name[match.end() :]}"
    raise CheckpointError("checkpoint", expected="names of MSCGUNet", found=name, advice=_EXAMPLE)
