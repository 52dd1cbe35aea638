"""What all weightings of the losses of several tasks share.

A weighting receives one loss per task and returns the number whose gradient trains the model. A weighting that changes
gradients, such as PCGrad, returns a number with these gradients. Every optimizer wrapper therefore works with every
weighting: mixed precision, accumulated and clipped gradients, and several processes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from visionzoo.allowed import Weight, fits
from visionzoo.errors import ConfigError, DataError, nearest_or_known


@dataclass(frozen=True)
class Trunk:
    """Trained parameters that all tasks share.

    Attributes:
        parameters: the parameters of backbone and neck by name.
        loss_scale: factor by which the optimizer wrapper multiplies the loss, so that gradients in half precision are
            not rounded to 0.
    """

    parameters: Mapping[str, nn.Parameter] = field(default_factory=dict)
    loss_scale: float = 1.0

    def gradients(self, loss: Tensor, names: Sequence[str] | None = None) -> list[Tensor]:
        """Return the gradient of a loss for some of the parameters, by default for all; 0 where the loss has none.

        Args:
            loss: a number.
            names: names of the parameters.
        """
        chosen = [self.parameters[name] for name in (self.parameters if names is None else names)]
        if not chosen or not loss.requires_grad:
            return [torch.zeros_like(each) for each in chosen]
        found = torch.autograd.grad(loss * self.loss_scale, chosen, retain_graph=True, allow_unused=True)
        return [
            torch.zeros_like(parameter) if gradient is None else gradient / self.loss_scale
            for parameter, gradient in zip(chosen, found, strict=True)
        ]


class LossWeighting(nn.Module, ABC):
    """Base of the weightings.

    Args:
        tasks: names of the tasks, in the order of the heads; filled in from the heads of the model.

    Attributes:
        NEEDS_ALL: True if every step needs the losses of all tasks, so that a batch must mix them.
        USES_GRADIENTS: True if the weighting reads gradients of the trunk, which sharded parameters do not allow.
    """

    NEEDS_ALL = False
    USES_GRADIENTS = False

    def __init__(self, tasks: Sequence[str]):
        super().__init__()
        self.tasks = tuple(tasks)

    @abstractmethod
    def forward(self, losses: Mapping[str, Tensor], trunk: Trunk) -> Tensor:
        """Return the number to minimise.

        Args:
            losses: loss of each task that has samples in the batch.
            trunk: the shared parameters.

        Raises:
            DataError: the weighting needs the losses of all tasks, and some are missing.
        """

    def factors(self) -> dict[str, Tensor]:
        """Return the current weight of each task, for the log; empty for constant weights."""
        return {}

    def check(self, trunk: Sequence[str]) -> None:
        """Raise an error if a setting does not fit the trunk.

        Args:
            trunk: names of the parameters of backbone and neck.

        Raises:
            ConfigError: a setting names a layer that the trunk does not have.
        """

    def require_all(self, losses: Mapping[str, Tensor]) -> None:
        """Raise an error if the loss of a task is missing.

        Raises:
            DataError: the message names the missing tasks.
        """
        absent = [task for task in self.tasks if task not in losses]
        if absent:
            raise DataError(
                "batch",
                expected=f"samples of all tasks, whose losses {type(self).__name__} needs in every step",
                found=f"none of {', '.join(absent)}",
                advice='use sampler=dict(type="JointSampler", mode="mixed") and a larger batch',
            )


def task_losses(losses: Mapping[str, Any], tasks: Sequence[str]) -> dict[str, Tensor]:
    """Return the sum of the losses of each task that has some.

    Args:
        losses: losses of the model by name, ``TASK.NAME``: tensors or lists of tensors. As in mmengine, only values
            with ``loss`` in their name are losses; each tensor is averaged.
        tasks: names of the tasks.

    Example:
        >>> task_losses({"lanes.loss_map": torch.ones(2), "lanes.loss_exist": torch.tensor(2.0)}, ["lanes", "boxes"])
        {'lanes': tensor(3.)}
    """
    sums: dict[str, Tensor] = {}
    for name, value in losses.items():
        task, _, own = name.partition(".")
        if task in tasks and "loss" in own:
            parts = value if isinstance(value, (list, tuple)) else [value]
            total = sum(part.mean() for part in parts)
            sums[task] = sums[task] + total if task in sums else total  # type: ignore[assignment]
    return sums


def weights_by_task(given: Mapping[str, float] | None, tasks: Sequence[str], where: str) -> dict[str, float]:
    """Return the weight of each task; 1 if it is not given.

    Args:
        given: weights by task, or None.
        tasks: names of all tasks.
        where: path of the setting, for messages.

    Raises:
        ConfigError: ``given`` has another task, or a weight is not a number of at least 0.

    Example:
        >>> weights_by_task({"lanes": 2}, ["lanes", "counting"], "weights")
        {'lanes': 2.0, 'counting': 1.0}
    """
    if given is not None and not isinstance(given, Mapping):
        raise ConfigError(where, expected="a dict of weights by task", found=f"{given!r}")
    for task, weight in (given or {}).items():
        if task not in tasks:
            raise ConfigError(
                where, expected="names of the heads", found=f"{task!r}", advice=nearest_or_known(str(task), tasks)
            )
        if not fits(weight, Weight):
            raise ConfigError(
                f"{where}.{task}", expected="a number of at least 0", found=f"{weight!r}", advice="1 is usual"
            )
    return {task: float((given or {}).get(task, 1.0)) for task in tasks}
