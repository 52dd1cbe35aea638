"""The losses of several heads as one number: the weighting that a model with ``heads`` may have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from visionzoo.errors import ConfigError
from visionzoo.losses.weighting.base import LossWeighting, Trunk, task_losses
from visionzoo.registry import MODELS

# Name of the number to minimise among the losses of a model. Without "loss" in it, mmengine does not add it to them.
COMBINED = "combined"


def build_weighting(cfg: Mapping | None, heads: Mapping | None, trunk: Sequence[str]) -> LossWeighting | None:
    """Build the weighting of the losses of several heads.

    Args:
        cfg: config of the weighting, or None.
        heads: configs of the heads by name, or None for a model with one head.
        trunk: names of the trained parameters that all heads share.

    Raises:
        ConfigError: the model has one head, the weighting is for other heads, or a setting does not fit.
    """
    if cfg is None:
        return None
    if heads is None:
        raise ConfigError(
            "TaskModel.loss_weighting",
            expected="several heads",
            found="a model with head=",
            advice="remove loss_weighting, or give heads=dict(NAME=dict(type=...))",
        )
    if tuple(cfg.get("tasks", tuple(heads))) != tuple(heads):
        raise ConfigError(
            "TaskModel.loss_weighting.tasks",
            expected=f"the heads {', '.join(heads)}",
            found=f"{cfg['tasks']}",
            advice="leave tasks out, which is then filled in",
        )
    weighting = MODELS.build({**cfg, "tasks": tuple(heads)})
    if not isinstance(weighting, LossWeighting):
        raise ConfigError(
            "TaskModel.loss_weighting",
            expected="a LossWeighting",
            found=type(weighting).__name__,
            advice="use FixedWeights, UncertaintyWeighting, GradNorm or PCGrad",
        )
    weighting.check(trunk)
    return weighting


def with_combined_loss(
    losses: Mapping[str, Any], weighting: LossWeighting, trunk: Mapping[str, nn.Parameter], loss_scale: float
) -> dict[str, Any]:
    """Return the losses, the weight of each task as ``weight.TASK``, and the number to minimise as ``combined``.

    Losses that belong to no head, such as those of auxiliary heads, are added with the weight 1.

    Args:
        losses: losses of the model by name.
        weighting: weighting of the losses of the heads.
        trunk: trained parameters that all heads share, by name.
        loss_scale: factor of the optimizer wrapper.
    """
    by_task = task_losses(losses, weighting.tasks)
    total = weighting(by_task, Trunk(trunk, loss_scale))
    names = {name.partition(".")[0] for name in losses} - set(weighting.tasks)
    for loss in task_losses(losses, sorted(names)).values():
        total = total + loss
    factors = {f"weight.{task}": factor for task, factor in weighting.factors().items()}
    return {**losses, **factors, COMBINED: total}


def combined_loss(losses: Mapping[str, Any]) -> tuple[Tensor | None, dict[str, Any]]:
    """Return the number to minimise, or None without a weighting, and the other entries.

    Example:
        >>> combined_loss({"lanes.loss": 1.0})
        (None, {'lanes.loss': 1.0})
    """
    others = dict(losses)
    return others.pop(COMBINED, None), others
