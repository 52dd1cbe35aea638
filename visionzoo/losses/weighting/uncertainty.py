"""Weights from the learned uncertainty of each task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from visionzoo.errors import ConfigError, nearest_or_known
from visionzoo.losses.weighting.base import LossWeighting, Trunk
from visionzoo.registry import MODELS


@MODELS.register_module()
class UncertaintyWeighting(LossWeighting):
    """Losses weighted by learned variances.

    Kendall, Gal, Cipolla, "Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry and Semantics",
    CVPR 2018, arXiv:1705.07115. With the learned log variance ``s = log(sigma^2)`` of a task, its term is

    - ``exp(-s) * loss + s / 2`` for a classification (equation 10), whose loss is a cross entropy;
    - ``exp(-s) / 2 * loss + s / 2`` for a regression (equation 5), whose loss is a squared error.

    The sum can be negative. The log variances are parameters of the model: the optimizer trains them, and checkpoints
    hold them. Weight decay would pull them to 0; ``paramwise_cfg=dict(custom_keys=dict(loss_weighting=dict(
    decay_mult=0.0)))`` excludes them. A batch of one task trains only the log variance of this task.

    Args:
        tasks: names of the tasks; filled in from the heads.
        regression: tasks whose loss is that of a regression. All others have the form of a classification.
        initial: log variance at the beginning; 0 means a weight of 1, or 1/2 for a regression.

    Raises:
        ConfigError: ``regression`` has another task.

    Example:
        >>> weighting = UncertaintyWeighting(["lanes", "counting"], regression=["counting"])
        >>> weighting(dict(lanes=torch.tensor(1.0), counting=torch.tensor(4.0)), Trunk()).item()
        3.0
    """

    def __init__(self, tasks: Sequence[str], regression: Sequence[str] = (), initial: float = 0.0):
        super().__init__(tasks)
        for task in regression:
            if task not in self.tasks:
                raise ConfigError(
                    "model.loss_weighting.regression",
                    expected="names of the heads",
                    found=f"{task!r}",
                    advice=nearest_or_known(str(task), self.tasks),
                )
        self.halves = {task: 0.5 if task in regression else 1.0 for task in self.tasks}
        self.log_variances = nn.ParameterDict({task: nn.Parameter(torch.tensor(float(initial))) for task in self.tasks})

    def forward(self, losses: Mapping[str, Tensor], trunk: Trunk) -> Tensor:
        terms = [self._factor(task) * loss + self.log_variances[task] / 2 for task, loss in losses.items()]
        return sum(terms)  # type: ignore[return-value]

    def _factor(self, task: str) -> Tensor:
        return self.halves[task] * torch.exp(-self.log_variances[task])

    def factors(self) -> dict[str, Tensor]:
        return {task: self._factor(task).detach() for task in self.tasks}
