"""Metric and direction that select the best checkpoint of a task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from visionzoo.registry import task_names
from visionzoo.tasks import task_of


def best_metric_of(task: str | Iterable[str] | None) -> dict[str, str]:
    """Return the metrics that may select the best checkpoint, the most important first.

    Args:
        task: name of a task, names of several tasks, or None. Unknown tasks add no metrics.

    Returns:
        Metric name -> ``greater`` or ``less``, whichever is better.

    Example:
        >>> best_metric_of("counting")
        {'count/MAE': 'less'}
    """
    tasks = (task,) if isinstance(task, str) else tuple(task or ())
    known = [task_of(name).save_best for name in tasks if name in task_names()]
    return {metric: rule for metrics in known for metric, rule in metrics.items()}


def deciding_metric(candidates: Mapping[str, str], measured: Iterable[str]) -> tuple[str, str] | None:
    """Return the name and the rule of the first candidate that is measured, or None.

    A candidate also matches a measured metric that differs from it only in the prefix before the last ``/``.

    Args:
        candidates: metric name -> ``greater`` or ``less``, the most important first.
        measured: names of the measured metrics.

    Example:
        >>> deciding_metric({"coco/bbox_mAP": "greater"}, ["val/bbox_mAP_50", "val/bbox_mAP"])
        ('val/bbox_mAP', 'greater')
    """
    names = list(measured)
    for candidate, rule in candidates.items():
        same = [name for name in names if name.rpartition("/")[2] == candidate.rpartition("/")[2]]
        if candidate in names or same:
            return (candidate if candidate in names else same[0]), rule
    return None
