"""LARS: momentum SGD whose step for each weight is in proportion to the weight's norm (You et al. 2017)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class LARS(torch.optim.Optimizer):
    """``buf = momentum * buf + lr * local * (g + wd * w)``, ``w -= buf``, ``local = eta |w| / (|g| + wd |w|)``.

    Args:
        params: parameters or groups; a group with ``exclude=True`` has ``local`` 1 (norms and biases).
        lr, momentum, weight_decay, eta: as in the formula.
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
        """One step of every parameter that has a gradient."""
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
    """Parameters by name: under True norms and biases, which LARS and weight decay leave alone, under False the rest.

    The authors' patterns name norms called ``bn`` only; of those in a sequence they scale the rate by the norm of
    the weight, with which a block whose last norm starts at zero never leaves it. Here all norms are alike.
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
