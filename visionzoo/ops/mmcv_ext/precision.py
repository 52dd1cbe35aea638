"""Precision of the served ops, and their behaviour on the meta device."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

import torch
from torch import Tensor

Filler = TypeVar("Filler", bound=Callable[..., None])


def widen(tensor: Tensor) -> Tensor:
    """Convert float16 and bfloat16 to float32; return other tensors unchanged.

    torchvision's CPU ops do not support bfloat16, and sums over samples lose digits in half
    precision on any device. ``copy_`` and ``add_`` convert results to the caller's dtype.
    """
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def fills_tensors(op: Filler) -> Filler:
    """Decorate an op that writes its results to tensors of the caller.

    The shapes of the results are known before the call. On the meta device the op therefore
    does nothing, so that models with such ops can be measured there. Autocast is disabled
    inside the op, because the op chooses its precision with :func:`widen`.
    """

    @wraps(op)
    def fill(first: Tensor, *args: object, **kwargs: object) -> None:
        if first.is_meta:
            return
        with torch.autocast(first.device.type, enabled=False):
            op(first, *args, **kwargs)

    return fill  # type: ignore[return-value]
