"""Weights by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from visionzoo.losses.weighting.base import LossWeighting, Trunk, weights_by_task
from visionzoo.registry import MODELS


@MODELS.register_module()
class FixedWeights(LossWeighting):
    """Sum of the losses, each multiplied by a weight that the config states.

    A batch of one task minimises the weighted loss of this task.

    Args:
        tasks: names of the tasks; filled in from the heads.
        weights: weight of each task, at least 0; 1 for a task without a weight.

    Raises:
        ConfigError: a weight for another task, or a negative weight.

    Example:
        >>> import torch
        >>> weighting = FixedWeights(["lanes", "counting"], weights=dict(counting=0.1))
        >>> weighting(dict(lanes=torch.tensor(1.0), counting=torch.tensor(5.0)), Trunk())
        tensor(1.5000)
    """

    def __init__(self, tasks: Sequence[str], weights: Mapping[str, Any] | None = None):
        super().__init__(tasks)
        self.weights = weights_by_task(weights, self.tasks, "model.loss_weighting.weights")

    def forward(self, losses: Mapping[str, Tensor], trunk: Trunk) -> Tensor:
        return sum(self.weights[task] * loss for task, loss in losses.items())  # type: ignore[return-value]
