"""Metric and direction that select the best checkpoint of a task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from visionzoo.errors import ConfigError, nearest_or_known
from visionzoo.registry import task_names
from visionzoo.tasks import task_of


def best_metric_of(task: str | Iterable[str] | None) -> dict[str, str]:
    """Return the metrics that may select the best checkpoint, the most important first.

    Args:
        task: name of a task, names of several tasks, or None. Unknown tasks add no metrics.

    Returns:
        Metric name -> ``greater`` or ``less``, whichever is better. For several tasks, the names are those of
        :class:`~visionzoo.engine.joint_evaluator.JointEvaluator`.

    Example:
        >>> best_metric_of("counting")
        {'count/MAE': 'less'}
        >>> best_metric_of(("counting", "saliency"))["saliency/MAE"]
        'less'
    """
    tasks = (task,) if isinstance(task, str) else tuple(task or ())
    known = {name: task_of(name).save_best for name in tasks if name in task_names()}
    if len(tasks) <= 1:
        return {metric: rule for metrics in known.values() for metric, rule in metrics.items()}
    return {name_in_task(name, metric): rule for name, metrics in known.items() for metric, rule in metrics.items()}


def name_in_task(task: str, metric: str) -> str:
    """Return the name of a number that a joint evaluator measures: the task replaces the prefix of the metric.

    Example:
        >>> name_in_task("lanes", "culane/F1")
        'lanes/F1'
    """
    return f"{task}/{metric.partition('/')[2] or metric}"


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


def main_metric(runner: Any, measured: Iterable[str]) -> str:
    """Return the name of the metric that selects the best checkpoint of a run, else the first measured one.

    Args:
        runner: a runner. A hook with ``save_best`` names metrics, or ``auto``, which stands for the task's metric.
        measured: names of the measured metrics, at least one.
    """
    names = list(measured)
    given = [name for hook in runner.hooks for name in getattr(hook, "save_best", None) or () if name in names]
    known = deciding_metric(runner.best_metric, names)
    return next(iter(given), names[0] if known is None else known[0])


def require_measured(names: Iterable[str], metrics: Iterable[Any], where: str) -> None:
    """Raise an error if an evaluator cannot measure one of ``names``; for a check before training.

    A metric lists its numbers by a method ``possible_names``. A metric without it may measure any number with its
    prefix.

    Args:
        names: names of numbers with their prefix, such as ``cls/top1``; ``auto`` is skipped.
        metrics: the metrics of the evaluator.
        where: path of the setting in the config.

    Raises:
        ConfigError: the message names the numbers that are measured.
    """
    known = [pattern for metric in metrics for pattern in patterns_of(metric)]
    for name in names:
        if name != "auto" and known and not any(fnmatchcase(name, pattern) for pattern in known):
            advice = nearest_or_known(name, [pattern for pattern in known if not pattern.endswith("*")])
            raise ConfigError(where, expected="a metric that the evaluator measures", found=f"{name!r}", advice=advice)


def patterns_of(metric: Any) -> list[str]:
    """Return the names of the numbers that a metric measures; ``prefix/*`` if it does not list them."""
    prefix = getattr(metric, "prefix", None)
    start = f"{prefix}/" if prefix else ""
    listed = getattr(metric, "possible_names", None)
    return [f"{start}*"] if listed is None else [f"{start}{name}" for name in listed()]
