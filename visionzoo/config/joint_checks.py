"""Check that the heads, data sets and metrics of a model of several tasks belong together, before anything is built."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from visionzoo.config.data_parts import LOADERS, joint_data_sets, tasks_of
from visionzoo.config.resolving import find_part
from visionzoo.config.tree import join

Problem = tuple[str, str]


def joint_problems(tree: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield path and message of each problem between the tasks, the heads, the data sets by task and their metrics.

    Example:
        >>> tree = {"task": ["lanes", "lanes"], "model": {"type": "TaskModel"}}
        >>> list(joint_problems(tree))
        [('task', 'lanes is listed twice; a task has one head')]
    """
    for task, times in Counter(map(str, tasks_of(tree))).items():
        if times > 1:
            yield "task", f"{task} is listed twice; a task has one head"
    for loader in LOADERS:
        if by_task := _joint(tree, loader):
            yield from _data_problems(tree, loader, by_task)
    for split in ("val", "test"):
        yield from _metric_problems(tree, f"{split}_dataloader", f"{split}_evaluator")
    yield from _weighting_problems(tree)


def paths_by_task(tree: Mapping[str, Any]) -> Iterator[str]:
    """Yield the dotted path of each data set and of each metric that belongs to a task.

    Example:
        >>> data = {"type": "JointDataset", "datasets": {"lanes": {"type": "CULaneDataset"}}}
        >>> list(paths_by_task({"train_dataloader": {"dataset": data}}))
        ['train_dataloader.dataset.datasets.lanes']
    """
    for loader in LOADERS:
        yield from (f"{loader}.dataset.datasets.{task}" for task in _joint(tree, loader))
    for evaluator in ("val_evaluator", "test_evaluator"):
        yield from (f"{evaluator}.metrics.{task}" for task in metrics_by_task(tree.get(evaluator)))


def metrics_by_task(evaluator: Any) -> Mapping[str, Any]:
    """Return the configs of the metrics of an evaluator by task; empty for an evaluator of one task.

    Example:
        >>> list(metrics_by_task({"type": "JointEvaluator", "metrics": {"lanes": {"type": "CULaneMetric"}}}))
        ['lanes']
    """
    metrics = evaluator.get("metrics") if isinstance(evaluator, Mapping) else None
    return metrics if isinstance(metrics, Mapping) and "type" not in metrics else {}


def _joint(tree: Mapping[str, Any], loader: str) -> Mapping[str, Any]:
    cfg = tree.get(loader)
    return joint_data_sets(cfg.get("dataset")) if isinstance(cfg, Mapping) else {}


def _heads(tree: Mapping[str, Any]) -> Mapping[str, Any]:
    model = tree.get("model")
    heads = model.get("heads") if isinstance(model, Mapping) else None
    return heads if isinstance(heads, Mapping) else {}


def _data_problems(tree: Mapping[str, Any], loader: str, by_task: Mapping[str, Any]) -> Iterator[Problem]:
    heads, path = _heads(tree), f"{loader}.dataset.datasets"
    if not heads:
        yield path, "a joint data set needs model.heads=dict(NAME=dict(type=...)), one head for each task"
        return
    for task in by_task:
        if task not in heads:
            yield join(path, task), f"no head in model.heads is called {task}; add the head, or remove the data set"
    for head in heads if loader == "train_dataloader" else ():
        if head not in by_task and not _is_frozen(tree, head):
            yield f"model.heads.{head}", f"{path} has no data set for it; add one, freeze it, or remove the head"


def _is_frozen(tree: Mapping[str, Any], head: str) -> bool:
    """Return True if a pattern of ``freeze`` matches a head as a whole, whatever its parameters are called."""
    given = tree.get("freeze")
    patterns = given if isinstance(given, (list, tuple)) else [given]
    parameter = f"heads.{head}.\0"  # a name that only a pattern for all names matches
    return any(fnmatchcase(parameter, form) for pattern in patterns for form in (f"{pattern}", f"{pattern}.*"))


def _metric_problems(tree: Mapping[str, Any], loader: str, evaluator: str) -> Iterator[Problem]:
    data, given = _joint(tree, loader), tree.get(evaluator)
    if not data or given is None:
        return
    metrics = metrics_by_task(given)
    if not metrics:
        advice = 'write dict(type="JointEvaluator", metrics=dict(TASK=dict(type=...)))'
        yield evaluator, f"its metrics would receive the samples of all tasks; {advice}"
        return
    for task in data:
        if task not in metrics:
            yield f"{evaluator}.metrics", f"no metric measures {task} of {loader}; add one, or remove its data set"
    for task in metrics:
        if task not in data:
            yield f"{evaluator}.metrics.{task}", f"{loader} has no data set for {task}; add one, or remove the metric"


def _weighting_problems(tree: Mapping[str, Any]) -> Iterator[Problem]:
    model = tree.get("model")
    weighting = model.get("loss_weighting") if isinstance(model, Mapping) else None
    if not isinstance(weighting, Mapping) or not isinstance(weighting.get("type"), str):
        return
    if not _heads(tree):
        yield "model.loss_weighting", "it needs several heads; add model.heads, or remove it"
    by_task, kind = _joint(tree, "train_dataloader"), weighting["type"]
    if not by_task or not getattr(find_part(kind, ("MODELS",)), "NEEDS_ALL", False):
        return
    needs = f"{kind} needs the losses of all tasks in every step"
    if absent := [head for head in _heads(tree) if head not in by_task]:
        advice = "add one, or use FixedWeights or UncertaintyWeighting"
        yield "model.loss_weighting", f"{needs}, and train_dataloader has no data set for {', '.join(absent)}; {advice}"
    sampler = tree["train_dataloader"].get("sampler")
    if not isinstance(sampler, Mapping) or (sampler.get("type"), sampler.get("mode")) != ("JointSampler", "mixed"):
        advice = 'set train_dataloader.sampler=dict(type="JointSampler", mode="mixed")'
        yield "model.loss_weighting", f"{needs}; {advice}"
