"""Gradients through models that detach outputs for training, such as mmdet's dense heads, Sparse R-CNN and WiCo."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

_TO_NUMBERS = (Tensor.numpy, Tensor.__array__, Tensor.tolist, Tensor.item, Tensor.__float__, Tensor.__int__)


class Undetached(TorchFunctionMode):
    """Context manager in which ``Tensor.detach`` and ``copy.deepcopy`` return a copy of a tensor that keeps the graph.

    Models detach tensors so that a loss does not train what precedes them. The value of a prediction depends on these
    tensors all the same, and an explanation needs its whole slope. All values stay the same. Numbers and
    arrays of NumPy have no graph.

    Example:
        >>> import torch
        >>> weight = torch.tensor(3.0, requires_grad=True)
        >>> with Undetached():
        ...     value = 2 * weight.detach()
        >>> value.requires_grad, (2 * weight.detach()).requires_grad
        (True, False)
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func in (Tensor.detach, Tensor.__deepcopy__):
            return args[0].clone()  # a copy, because a detached tensor may be changed in place
        if func in _TO_NUMBERS:
            args = (args[0].detach(), *args[1:])
        return func(*args, **(kwargs or {}))
