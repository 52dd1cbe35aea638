"""LARS: momentum SGD whose step for each weight is proportional to the weight's norm (You et al. 2017)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class LARS(torch.optim.Optimizer):
    """Optimizer with a local learning rate for each weight.

    Formula: ``buf = momentum * buf + lr * local * (g + wd * w)`` and ``w -= buf``, with
    ``local = eta |w| / (|g| + wd |w|)``.

    Args:
        params: parameters or groups. A group with ``exclude=True`` has ``local`` 1; use it for norms and biases.
        lr, momentum, weight_decay, eta: as in the formula.

    Example:
        >>> weight = nn.Parameter(torch.ones(2))
        >>> optimizer = LARS([weight], lr=1.0, weight_decay=0.0, exclude=True)
        >>> weight.sum().backward()
        >>> optimizer.step()
        >>> weight.tolist()
        [0.0, 0.0]
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        *,
        momentum: float = 0.9,
        weight_decay: float = 1e-6,
        eta: float = 1e-3,
        exclude: bool = False,
    ):
        defaults = dict(lr=lr, momentum=momentum, weight_decay=weight_decay, eta=eta, exclude=exclude)
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Update all parameters that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._step_one(weight, group)
        return loss

    def _step_one(self, weight: Tensor, group: dict[str, Any]) -> None:
        rate = group["lr"] * (1.0 if group["exclude"] else _local_rate(weight, group))
        change = weight.grad.add(weight, alpha=group["weight_decay"]).mul_(rate)  # type: ignore[union-attr]
        state = self.state[weight]
        if "momentum_buffer" in state:
            state["momentum_buffer"].mul_(group["momentum"]).add_(change)
        else:
            state["momentum_buffer"] = change
        weight.sub_(state["momentum_buffer"])


def _local_rate(weight: Tensor, group: dict[str, Any]) -> Tensor:
    norm = weight.norm()
    scale = weight.grad.norm() + group["weight_decay"] * norm  # type: ignore[union-attr]
    return group["eta"] * norm / scale.clamp_min(torch.finfo(scale.dtype).tiny)


def named_groups(module: nn.Module) -> dict[bool, dict[str, nn.Parameter]]:
    """Return parameters by name in two groups.

    Group True contains norms and biases, which are excluded from local rates and weight decay. Group False contains
    all other parameters.

    The authors' patterns match only norms called ``bn``. They scale the rate of norms in a sequence by the norm of the
    weight, so that a last norm whose initial weight is zero stays at zero. Here all norms are excluded.
    """
    norms = {
        f"{name}." if name else ""
        for name, part in module.named_modules()
        if isinstance(part, (_BatchNorm, nn.GroupNorm))
    }
    groups: dict[bool, dict[str, nn.Parameter]] = {False: {}, True: {}}
    for name, parameter in module.named_parameters():
        owner, leaf = name[: name.rfind(".") + 1], name.rpartition(".")[2]
        groups[leaf == "bias" or owner in norms][name] = parameter
    return groups
