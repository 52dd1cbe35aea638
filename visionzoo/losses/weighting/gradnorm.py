"""Weights that balance the gradients of the tasks at the last layer that they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from visionzoo.allowed import Positive, Weight
from visionzoo.errors import ConfigError, DataError, nearest_or_known
from visionzoo.losses.weighting.base import LossWeighting, Trunk
from visionzoo.registry import MODELS
from visionzoo.system.distributed import averaged

# Least weight before the weights are divided by their mean, because a negative weight would train for the opposite.
_LEAST = 1e-3


@MODELS.register_module()
class GradNorm(LossWeighting):
    """Weights that are learned so that all tasks train at similar rates.

    Chen, Badrinarayanan, Lee, Rabinovich, "GradNorm: Gradient Normalization for Adaptive Loss Balancing in Deep
    Multitask Networks", ICML 2018, arXiv:1711.02257, algorithm 1. With the weights ``w``, the norms ``G = w * |grad
    L|`` at the last shared layer, and the relative inverse training rates ``r = (L / L0) / mean(L / L0)``, each step
    reduces ``sum(|G - mean(G) * r ** alpha|)`` over ``w`` by one step of gradient descent, where the targets are
    constants. The weights are then divided by their mean, so that their sum is the number of tasks. The losses of a
    step are multiplied by the weights before this change.

    ``L0`` are the losses of the first step. In several processes, losses and gradients are averaged first. Weights,
    ``L0`` and the chosen layer are buffers, which checkpoints hold. With accumulated gradients the weights change in
    every iteration. Every batch needs samples of all tasks. Differences from the paper: a weight is at least 0.001
    before the division, and a step with a loss of 0, or with an infinite or undefined gradient, which a gradient scaler
    skips, does not change the weights.

    Args:
        tasks: names of the tasks; filled in from the heads.
        alpha: strength with which slow tasks get more weight; 0 makes all norms equal. The paper uses 0.12 to 1.5.
        lr: step size of the weights. The paper uses 0.025.
        layer: name of a module of the trunk, such as ``backbone.layer4``, whose parameters are the last shared layer.
            By default the last weight of the trunk, in the order of its parameters, from which the losses of all
            tasks have a gradient in the first step.

    Raises:
        ConfigError: the trunk has no parameter below ``layer``; in a step, none of them is trained, or no trained
            weight is shared by all tasks.
        DataError: a batch lacks a task, or a loss is negative.

    Example:
        >>> trunk = torch.nn.Linear(2, 1, bias=False)
        >>> feat = trunk(torch.ones(1, 2)).sum()
        >>> weighting = GradNorm(["lanes", "counting"])
        >>> _ = weighting(dict(lanes=(feat - 3) ** 2, counting=(2 * feat - 9) ** 2), Trunk({"weight": trunk.weight}))
        >>> bool(weighting.weights[0] > 1 > weighting.weights[1]), round(weighting.weights.sum().item(), 5)
        (True, 2.0)
    """

    NEEDS_ALL = True
    USES_GRADIENTS = True

    weights: Tensor
    initial: Tensor
    chosen: Tensor

    def __init__(self, tasks: Sequence[str], alpha: Weight = 1.5, lr: Positive = 0.025, layer: str | None = None):
        super().__init__(tasks)
        self.alpha, self.lr, self.layer = float(alpha), float(lr), layer
        self.register_buffer("weights", torch.ones(len(self.tasks)))
        self.register_buffer("initial", torch.full((len(self.tasks),), float("nan")))
        self.register_buffer("chosen", torch.tensor(-1))

    def check(self, trunk: Sequence[str]) -> None:
        if self.layer is not None and not _below(self.layer, trunk):
            places = sorted({name.rpartition(".")[0] for name in trunk})
            raise ConfigError(
                "model.loss_weighting.layer",
                expected="a module of the trunk with trained parameters",
                found=f"{self.layer!r}",
                advice=nearest_or_known(self.layer, places),
            )

    def forward(self, losses: Mapping[str, Tensor], trunk: Trunk) -> Tensor:
        self.require_all(losses)
        listed = [losses[task] for task in self.tasks]
        weights = self.weights.clone()
        if self.training and torch.is_grad_enabled():
            self._learn(listed, trunk)
        return (torch.stack(listed) * weights).sum()

    def factors(self) -> dict[str, Tensor]:
        return {task: self.weights[index].clone() for index, task in enumerate(self.tasks)}

    @torch.no_grad()
    def _learn(self, losses: Sequence[Tensor], trunk: Trunk) -> None:
        values = averaged(torch.stack([loss.detach().float() for loss in losses]))
        self._require_no_negative(values)
        if not (values.isfinite().all() and values.all()):
            return
        with torch.enable_grad():
            norms = self._norms(losses, trunk)
        if not norms.isfinite().all():
            return
        if self.initial.isnan().any():
            self.initial.copy_(values)
        self.weights.copy_(updated_weights(self.weights, norms, values / self.initial, self.alpha, self.lr))

    def _norms(self, losses: Sequence[Tensor], trunk: Trunk) -> Tensor:
        """Return the norm of the gradient of each loss at the last shared layer, (T,)."""
        if self.layer is not None:
            names = _below(self.layer, list(trunk.parameters))
            if not names:
                raise _nothing_shared(f"{self.layer}, which is frozen")
            return torch.stack([_norm(trunk.gradients(loss, names)) for loss in losses])
        weights = [name for name, parameter in trunk.parameters.items() if parameter.ndim > 1]
        if not 0 <= self.chosen < len(weights):  # a resumed run may freeze more
            self.chosen.fill_(_last_shared(losses, trunk, weights))
        return torch.stack([_norm(trunk.gradients(loss, [weights[int(self.chosen)]])) for loss in losses])

    def _require_no_negative(self, values: Tensor) -> None:
        negative = [task for task, value in zip(self.tasks, values.tolist(), strict=True) if value < 0]
        if negative:
            raise DataError(
                "batch",
                expected="losses of at least 0, because GradNorm divides each by its first value",
                found=f"a negative loss of {', '.join(negative)}",
                advice="use FixedWeights or PCGrad",
            )


def updated_weights(weights: Tensor, norms: Tensor, ratios: Tensor, alpha: float, lr: float) -> Tensor:
    """Return the weights after one step of GradNorm, with a mean of 1.

    Args:
        weights: (T,), the weights of the tasks.
        norms: (T,), norms of the gradients of the losses without weights.
        ratios: (T,), each loss divided by its first value.
        alpha: exponent of the training rates.
        lr: step size.

    Example:
        >>> updated_weights(torch.ones(2), torch.tensor([1.0, 3.0]), torch.ones(2), alpha=1.0, lr=0.1)
        tensor([1.2222, 0.7778])
    """
    weighted = weights * norms
    targets = weighted.mean() * (ratios / ratios.mean()) ** alpha
    slopes = torch.sign(weighted - targets) * norms
    changed = (weights - lr * slopes).clamp(min=_LEAST)
    return changed * len(changed) / changed.sum()


def _below(layer: str, names: Sequence[str]) -> list[str]:
    return [name for name in names if name == layer or name.startswith(f"{layer}.")]


def _norm(gradients: Sequence[Tensor]) -> Tensor:
    return torch.linalg.vector_norm(averaged(torch.cat([gradient.flatten() for gradient in gradients])).float())


def _last_shared(losses: Sequence[Tensor], trunk: Trunk, names: Sequence[str]) -> int:
    """Return the index of the last weight from which every loss has a gradient.

    Raises:
        ConfigError: no weight has one, as with a frozen trunk.
    """
    by_task = [[bool(averaged(each).any()) for each in trunk.gradients(loss, names)] for loss in losses]
    shared = [index for index in range(len(names)) if all(has[index] for has in by_task)]
    if not shared:
        raise _nothing_shared("none")
    return shared[-1]


def _nothing_shared(found: str) -> ConfigError:
    return ConfigError(
        "model.loss_weighting",
        expected="a trained layer that all tasks share, for GradNorm",
        found=found,
        advice="train the trunk, or use FixedWeights or UncertaintyWeighting",
    )
