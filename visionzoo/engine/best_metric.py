"""The metric that decides which checkpoint is the best of a task, and in which direction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from visionzoo.registry import task_names
from visionzoo.tasks import task_of


def best_metric_of(task: str | Iterable[str] | None) -> dict[str, str]:
    """Return the metrics that may decide, the most important first, and whether ``greater`` or ``less`` is better.

    Args:
        task: name of a task, names of several, or None. Unknown tasks have no such metrics.

    >>> best_metric_of("counting")
    {'count/MAE': 'less'}
    """
    tasks = (task,) if isinstance(task, str) else tuple(task or ())
    known = [task_of(name).save_best for name in tasks if name in task_names()]
    return {metric: rule for metrics in known for metric, rule in metrics.items()}


def deciding_metric(candidates: Mapping[str, str], measured: Iterable[str]) -> tuple[str, str] | None:
    """Return the first of ``candidates`` that is measured, also under another prefix, and its rule; None for none.

    >>> deciding_metric({"coco/bbox_mAP": "greater"}, ["val/bbox_mAP_50", "val/bbox_mAP"])
    ('val/bbox_mAP', 'greater')
    """
    names = list(measured)
    for candidate, rule in candidates.items():
        same = [name for name in names if name.rpartition("/")[2] == candidate.rpartition("/")[2]]
        if candidate in names or same:
            return (candidate if candidate in names else same[0]), rule
    return None
