"""Models on the device ``meta``, which has shapes and no values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


class _NoNormalValues(TorchFunctionMode):
    """Skip the drawing of normal values on the device ``meta``, for which torch would import its compiler."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in (Tensor.normal_, nn.init.normal_):
            tensor = args[0] if args else kwargs["tensor"]
            if tensor.is_meta:
                return tensor
        return func(*args, **kwargs)


@contextmanager
def meta_device() -> Iterator[None]:
    """Make new tensors on the device ``meta``. Parameters are built there without memory and without initial values.

    Example:
        >>> with meta_device():
        ...     weight = torch.nn.init.normal_(torch.nn.Linear(3, 2).weight)
        >>> weight.device.type, tuple(weight.shape)
        ('meta', (2, 3))
    """
    with torch.device("meta"), _NoNormalValues():
        yield
