"""Table of the learning rates of a run by depth of the model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from visionzoo.engine.depths import depth_names, model_depths

_HEADER = ("group", "learning rate", "weight decay", "tensors", "parameters")


def rates_of_run(runner: Any) -> str:
    """Return the table of a run whose optimizers are built, with a title; "" if it has one learning rate."""
    wrappers = getattr(runner.optim_wrapper, "optim_wrappers", None)
    each = [runner.optim_wrapper] if wrappers is None else wrappers.values()
    table = rates_table(runner.bare_model, [wrapper.optimizer for wrapper in each])
    return f"learning rates by layer:\n{table}" if table else ""


def rates_table(model: nn.Module, optimizers: Iterable[Any]) -> str:
    """Return the learning rates of the trained parameters, before any schedule, from the head to the stem.

    Args:
        model: the model, without a wrapper for several processes.
        optimizers: its optimizers.

    Returns:
        Lines; "" if all parameters have the same learning rate.

    Example:
        >>> import torch
        >>> model = nn.ModuleDict(dict(backbone=nn.Sequential(nn.Linear(2, 2)), head=nn.Linear(2, 1)))
        >>> head, layer = list(model["head"].parameters()), [model["backbone"][0].weight]
        >>> groups = [{"params": head, "lr": 0.1}, {"params": layer}]
        >>> print(rates_table(model, [torch.optim.SGD(groups, lr=0.01)]))
        group         learning rate  weight decay  tensors  parameters
        head                    0.1             0        2           3
        layer 1 of 1           0.01             0        1           4
    """
    depths = model_depths(model)
    of_parameter, words = {id(p): depths[name] for name, p in model.named_parameters()}, depth_names(depths)
    head = max(depths.values(), default=0)  # also of parameters that are not part of the model
    rows: dict[tuple[int, float, float], list[int]] = {}
    for group in (group for optimizer in optimizers for group in optimizer.param_groups):
        for parameter in (p for p in group["params"] if p.requires_grad):
            rate = group.get("initial_lr", group["lr"])
            key = (-of_parameter.get(id(parameter), head), -rate, -group.get("weight_decay", 0.0))
            row = rows.setdefault(key, [0, 0])
            row[0], row[1] = row[0] + 1, row[1] + parameter.numel()
    if len({rate for _, rate, _ in rows}) < 2:
        return ""
    cells = [
        (words[-depth], f"{-rate:.4g}", f"{-decay:g}", f"{count:,}", f"{size:,}")
        for (depth, rate, decay), (count, size) in sorted(rows.items())
    ]
    widths = [max(len(row[column]) for row in [_HEADER, *cells]) for column in range(len(_HEADER))]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))])
        for row in [_HEADER, *cells]
    )
