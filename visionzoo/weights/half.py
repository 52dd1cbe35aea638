"""Weights in half precision, as visionzoo ships them: half the bytes, with nothing but tensors and class names."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from visionzoo.errors import CheckpointError
from visionzoo.weights.conversion import write_safetensors
from visionzoo.weights.loading import read_weights
from visionzoo.weights.weight_file import read_weight_file

# Facts that a shipped file keeps; the config and the paths of the training machine are not among them.
_KEPT = ("seed", "epoch", "visionzoo_version")


def write_half(source: str | os.PathLike, target: Path) -> int:
    """Write the weights of a run as float16.

    Args:
        source: a file of weights or the folder of a run.
        target: the safetensors file to write.

    Returns:
        The number of bytes.

    Raises:
        CheckpointError: the file cannot be read, or a value is too large for float16.
        OutputError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> torch.save({"state_dict": {"weight": torch.ones(4)}}, folder / "a.pth")
        >>> write_half(folder / "a.pth", folder / "b.safetensors") < 200
        True
    """
    file = read_weight_file(source)
    halves = {}
    for name, value in read_weights(file.path).items():
        halves[name] = value.half() if value.is_floating_point() else value
        if value.is_floating_point() and not torch.isfinite(halves[name]).all():
            raise CheckpointError(
                f"{file.path}: {name}",
                expected="values below 65504, the largest of float16",
                found=f"{float(value.abs().max()):g}",
                advice="ship the file as it is",
            )
    names = {"classes": list(file.classes or ()), "category_ids": list(file.category_ids or ())}
    dataset_meta = {key: value for key, value in names.items() if value}
    stated = {key: file.meta[key] for key in _KEPT if key in file.meta}
    return write_safetensors(target, halves, {"dataset_meta": dataset_meta, **stated})
