"""What every served op shares: the precision it computes in, and the meta device."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

import torch
from torch import Tensor

Filler = TypeVar("Filler", bound=Callable[..., None])


def widen(tensor: Tensor) -> Tensor:
    """float16 and bfloat16 as float32, everything else unchanged.

    torchvision's CPU ops know no bfloat16, and sums over samples lose digits in half
    precision on any device. Results go back to the caller's dtype by ``copy_`` or ``add_``.
    """
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def fills_tensors(op: Filler) -> Filler:
    """Mark an op whose results go into tensors that it is given.

    Their shapes are known before the call, so on the meta device there is nothing to
    do, and models with such ops can be measured there. Autocast is switched off inside:
    the op chooses its own precision, see :func:`widen`.
    """

    @wraps(op)
    def fill(first: Tensor, *args: object, **kwargs: object) -> None:
        if first.is_meta:
            return
        with torch.autocast(first.device.type, enabled=False):
            op(first, *args, **kwargs)

    return fill  # type: ignore[return-value]
