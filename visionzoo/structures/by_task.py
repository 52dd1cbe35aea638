"""Parts of several tasks in a config: a dict by the name of the task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from visionzoo.errors import ConfigError


def require_by_task(given: Any, where: str, what: str) -> None:
    """Check that an argument has one part, or several, for each task, and not one part for all of them.

    Args:
        given: the argument.
        where: class and name of the argument, ``JointDataset.datasets``.
        what: plural of the parts, for the message.

    Raises:
        ConfigError: it is not a dict by task, or it is empty.

    Example:
        >>> require_by_task({"lanes": {"type": "CULaneMetric"}}, "JointEvaluator.metrics", "metrics")
        >>> require_by_task({"type": "CULaneMetric"}, "JointEvaluator.metrics", "metrics")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        visionzoo.errors.ConfigError: JointEvaluator.metrics: expected a dict of metrics by task, found ...
    """
    if isinstance(given, Mapping) and given and "type" not in given:
        return
    raise ConfigError(
        where,
        expected=f"a dict of {what} by task",
        found=f"{given!r}"[:80],
        advice=f"give {where.rpartition('.')[2]}=dict(lanes=dict(type=...), counting=dict(type=...))",
    )
