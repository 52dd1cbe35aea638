"""Gradient surgery: gradients of tasks that conflict are projected onto each other's normal planes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from visionzoo.allowed import Index
from visionzoo.losses.weighting.base import LossWeighting, Trunk, weights_by_task
from visionzoo.registry import MODELS
from visionzoo.system.distributed import averaged


@MODELS.register_module()
class PCGrad(LossWeighting):
    """Sum of the losses whose gradient in the trunk is that of the projected gradients of the tasks.

    Yu, Kumar, Gupta, Levine, Hausman, Finn, "Gradient Surgery for Multi-Task Learning", NeurIPS 2020,
    arXiv:2001.06782, algorithm 1. The gradient of each task is projected, one other task after the other in random
    order, onto the normal plane of the gradient of that task if their inner product is negative. The trunk gets the sum
    of the projected gradients; each head gets the gradient of its loss.

    The returned number is the sum of the losses plus an inner product of the parameters of the trunk, whose value is
    removed and whose gradient is the difference between the projected and the plain sum. In several processes, the
    gradients of each task are averaged before they are projected. With accumulated gradients, each iteration is
    projected separately. Every batch needs samples of all tasks. In addition to the usual backward pass, a step costs
    one of the trunk per task, and one of each head.

    The order depends on ``seed`` and on the number of the step, a buffer that checkpoints hold.

    Args:
        tasks: names of the tasks; filled in from the heads.
        weights: factor of the loss of each task, applied before the projection, at least 0; 1 if it is not given.
        seed: seed of the order of the projections.

    Raises:
        ConfigError: a weight for another task, or a negative weight.
        DataError: a batch lacks a task.

    Example:
        >>> trunk = torch.nn.Parameter(torch.tensor([1.0, 1.0]))
        >>> losses = dict(lanes=trunk[0], counting=trunk[1] - trunk[0])
        >>> PCGrad(["lanes", "counting"])(losses, Trunk({"trunk": trunk})).backward()
        >>> trunk.grad
        tensor([0.5000, 1.5000])
    """

    NEEDS_ALL = True
    USES_GRADIENTS = True

    step: Tensor

    def __init__(self, tasks: Sequence[str], weights: Mapping[str, Any] | None = None, seed: Index = 0):
        super().__init__(tasks)
        self.weights, self.seed = weights_by_task(weights, self.tasks, "model.loss_weighting.weights"), seed
        self.register_buffer("step", torch.tensor(0))

    def forward(self, losses: Mapping[str, Tensor], trunk: Trunk) -> Tensor:
        self.require_all(losses)
        listed = [self.weights[task] * losses[task] for task in self.tasks]
        total: Tensor = sum(listed)  # type: ignore[assignment]
        if not (self.training and torch.is_grad_enabled() and trunk.parameters):
            return total
        names = list(trunk.parameters)
        gradients = torch.stack([_flat(trunk.gradients(loss, names)) for loss in listed])
        gradients = averaged(gradients)
        change = projected_sum(gradients, self._orders()) - gradients.sum(0)
        self.step += 1
        if not change.isfinite().all():  # a gradient scaler skips this step, because the plain sum overflows too
            return total
        return total + _with_gradient(list(trunk.parameters.values()), change)

    def _orders(self) -> list[list[int]]:
        """Return, for each task, the other tasks in the order of the projections of this step."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + int(self.step))
        count = len(self.tasks)
        drawn = [torch.randperm(count, generator=generator).tolist() for _ in range(count)]
        return [[other for other in order if other != task] for task, order in enumerate(drawn)]


def projected_sum(gradients: Tensor, orders: Sequence[Sequence[int]]) -> Tensor:
    """Return the sum of the gradients after their projection, (P,).

    Args:
        gradients: (T, P), one gradient per task.
        orders: for each task the other tasks, in the order of the projections.

    Example:
        >>> projected_sum(torch.tensor([[1.0, 0.0], [-1.0, 1.0]]), [[1], [0]])
        tensor([0.5000, 1.5000])
    """
    gradients = gradients.float()
    total = torch.zeros_like(gradients[0])
    squares = gradients.square().sum(1)
    for own, order in zip(gradients, orders, strict=True):
        result = own.clone()
        for other in order:
            inner = (result * gradients[other]).sum()
            if inner < 0:
                result -= inner / squares[other] * gradients[other]
        total += result
    return total


def _flat(gradients: Sequence[Tensor]) -> Tensor:
    return torch.cat([gradient.flatten() for gradient in gradients])


def _with_gradient(parameters: Sequence[Tensor], change: Tensor) -> Tensor:
    """Return a number of value 0 whose gradient for the parameters is ``change``."""
    parts = change.split([parameter.numel() for parameter in parameters])
    inner = sum((parameter.flatten() * part).sum() for parameter, part in zip(parameters, parts, strict=True))
    return inner - inner.detach()  # type: ignore[union-attr, operator]
