"""Checks of the tensors in a checkpoint: kind, numbers, and whether the file can contain them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from visionzoo.errors import CheckpointError, first_of

# Names of tensors that hold real numbers in every layer of torch.
_REAL = ("weight", "bias", "running_mean", "running_var")


def require_plain_tensors(checkpoint: Mapping[Any, Any], path: Path) -> None:
    """Check every tensor of a checkpoint, at any depth.

    Args:
        checkpoint: the contents of the file.
        path: the file.

    Raises:
        CheckpointError: a tensor is sparse, quantised, nested or without values, or has more elements than the file.
    """
    size = os.path.getsize(path)
    for name, tensor in _tensors_in(checkpoint):
        kind = _other_kind(tensor)
        if kind:
            advice = "save the model with dense tensors, tensor.to_dense() or tensor.dequantize()"
            raise CheckpointError(f"{path}: {name}", expected="a dense tensor with values", found=kind, advice=advice)
        if tensor.nbytes > max(size, tensor.untyped_storage().nbytes()):
            raise CheckpointError(
                f"{path}: {name}",
                expected="a tensor of the elements in the file",
                found=f"one of shape {tuple(tensor.shape)} that repeats them",
                advice="save tensor.clone()",
            )


def _tensors_in(checkpoint: Mapping[Any, Any]) -> Iterator[tuple[str, Tensor]]:
    """Return all tensors with their names; containers that contain themselves are visited once."""
    waiting: list[tuple[str, Any]] = [("", checkpoint)]
    seen = set()
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, Tensor):
            yield name, value
            continue
        if not isinstance(value, Mapping | list | tuple | set) or id(value) in seen:
            continue
        seen.add(id(value))
        items = value.items() if isinstance(value, Mapping) else enumerate(value)
        waiting += [(f"{name}.{key}" if name else f"{key}", each) for key, each in items]


def _other_kind(tensor: Tensor) -> str | None:
    """Return the kind of a tensor that is not a dense tensor with values, else None."""
    if tensor.is_meta:
        return "one on the meta device, without values"
    if tensor.is_quantized:
        return f"a quantised one ({tensor.dtype})"
    if tensor.is_nested:
        return "a nested one"
    return None if tensor.layout == torch.strided else f"a sparse one ({tensor.layout})"


def require_real_numbers(tensors: Mapping[str, Tensor], where: object) -> None:
    """Check the tensors that hold real numbers in every layer, by their names.

    Raises:
        CheckpointError: a weight, bias or running statistic has whole, complex or truth values.

    Example:
        >>> require_real_numbers({"conv.weight": torch.ones(2, dtype=torch.int8)}, "a.pth")
        Traceback (most recent call last):
        visionzoo.errors.CheckpointError: a.pth: conv.weight: expected floating-point numbers, found torch.int8; \
save the weights as float32
    """
    for name, tensor in tensors.items():
        if name.rpartition(".")[2] in _REAL and not is_real(tensor):
            raise not_real(name, tensor, where)


def is_real(tensor: Tensor) -> bool:
    """Return True for floating-point numbers of at least 8 bits."""
    return tensor.is_floating_point() and "float4" not in str(tensor.dtype)


def not_real(name: str, tensor: Tensor, where: object) -> CheckpointError:
    """Return the error for a tensor that does not hold real numbers."""
    return CheckpointError(
        f"{where}: {name}",
        expected="floating-point numbers",
        found=f"{tensor.dtype}",
        advice="save the weights as float32",
    )


def warn_of_nonfinite(tensors: Mapping[str, Tensor], where: object) -> None:
    """Warn if a tensor contains NaN or infinite numbers."""
    wrong = [name for name, tensor in tensors.items() if is_real(tensor) and not _is_finite(tensor)]
    if wrong:
        warnings.warn(
            f"{where}: {len(wrong)} of {len(tensors)} tensors contain NaN or infinite numbers ({first_of(wrong)}); "
            "results are meaningless, so use an earlier checkpoint",
            UserWarning,
            stacklevel=2,
        )


def _is_finite(tensor: Tensor) -> bool:
    return bool(torch.isfinite(tensor.float() if tensor.element_size() == 1 else tensor).all())
