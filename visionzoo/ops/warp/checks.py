"""The shape that a field must have, and the type in which its positions are computed."""

from __future__ import annotations

import torch
from torch import Tensor

from visionzoo.errors import DataError


def check_field(field: Tensor) -> None:
    if field.ndim not in (4, 5) or field.shape[1] != field.ndim - 2:
        raise DataError(
            "field",
            expected="(B, 2, H, W) or (B, 3, D, H, W), one component per axis",
            found=f"{tuple(field.shape)}",
            advice="give displacements in voxels, components before the axes",
        )


def type_of_positions(*tensors: Tensor) -> torch.dtype:
    """Return float64 if a tensor needs it: float64, or integers of which float32 rounds some."""
    wide = any(tensor.dtype in (torch.float64, torch.int32, torch.int64) for tensor in tensors)
    return torch.float64 if wide else torch.float32
