"""Check that the metrics of a config measure its task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from visionzoo.config.resolving import all_registries, find_part
from visionzoo.config.tree import join


def metric_problems(tree: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield path and message of each metric that measures only other tasks than those of the config.

    A metric belongs to the tasks whose ``save_best`` contains a measure with its prefix. A metric whose prefix belongs
    to no task fits all of them.
    """
    named = tree.get("task")
    tasks = [named] if isinstance(named, str) else named if isinstance(named, (list, tuple)) else []
    by_task = _prefixes_by_task()
    known = {prefix for task in tasks for prefix in by_task.get(task, ())}
    if not known:
        return
    for path, metric in _metrics(tree):
        part = find_part(metric["type"], ("METRICS",))
        prefix = getattr(part, "default_prefix", None)
        others = [task for task, prefixes in by_task.items() if prefix in prefixes]
        if others and prefix not in known:
            measured = f"{metric['type']} measures {' and '.join(others)}, not {' and '.join(tasks)}"
            yield join(path, "type"), f"{measured}; choose one of {', '.join(_names(known))}"


def _metrics(tree: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for key in ("val_evaluator", "test_evaluator"):
        given, path = tree.get(key), key
        if isinstance(given, Mapping) and "metrics" in given:
            given, path = given["metrics"], join(key, "metrics")
        listed = enumerate(given) if isinstance(given, (list, tuple)) else [(None, given)]
        for index, metric in listed:
            if isinstance(metric, Mapping) and isinstance(metric.get("type"), str):
                yield path if index is None else join(path, index), metric


def _prefixes_by_task() -> dict[str, set[str]]:
    from visionzoo.registry import task_names

    task_of = import_module("visionzoo.tasks").task_of  # imported by name: tasks are above this layer
    return {name: {measure.partition("/")[0] for measure in task_of(name).save_best} for name in task_names()}


def _names(prefixes: set[str]) -> list[str]:
    registry = all_registries()["METRICS"]
    own = [(name, registry.get(name)) for name in registry.own_names()]
    return [name for name, part in own if getattr(part, "default_prefix", None) in prefixes]
