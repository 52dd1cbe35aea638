"""Check that the metrics of a config measure its task."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from importlib import import_module
from typing import Any

from visionzoo.config.data_parts import tasks_of
from visionzoo.config.joint_checks import metrics_by_task
from visionzoo.config.resolving import all_registries, find_part
from visionzoo.config.tree import join


def metric_problems(tree: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield path and message of each metric that measures only other tasks than those of the config.

    A metric belongs to the tasks whose ``save_best`` contains a measure with its prefix. A metric whose prefix belongs
    to no task fits all of them.
    """
    for path, metric, tasks in _metrics(tree):
        known = {prefix for prefixes in _prefixes_by_task(tasks).values() for prefix in prefixes}
        part = find_part(metric["type"], ("METRICS",))
        prefix = getattr(part, "default_prefix", None)
        if not known or prefix is None or prefix in known:  # the other tasks are imported for a wrong metric only
            continue
        others = [task for task, prefixes in _prefixes_by_task().items() if prefix in prefixes]
        if others:
            measured = f"{metric['type']} measures {' and '.join(others)}, not {' and '.join(tasks)}"
            yield join(path, "type"), f"{measured}; choose one of {', '.join(_names(known))}"


def _metrics(tree: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], list[str]]]:
    """Yield path and config of each metric, and the tasks that it may measure."""
    tasks = [task for task in tasks_of(tree) if isinstance(task, str)]
    for key in ("val_evaluator", "test_evaluator"):
        given = tree.get(key)
        if by_task := metrics_by_task(given):
            for task, own in by_task.items():
                yield from ((path, metric, [task]) for path, metric in _listed(own, join(join(key, "metrics"), task)))
        elif isinstance(given, Mapping) and "metrics" in given:
            yield from ((path, metric, tasks) for path, metric in _listed(given["metrics"], join(key, "metrics")))
        else:
            yield from ((path, metric, tasks) for path, metric in _listed(given, key))


def _listed(given: Any, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    listed = enumerate(given) if isinstance(given, (list, tuple)) else [(None, given)]
    for index, metric in listed:
        if isinstance(metric, Mapping) and isinstance(metric.get("type"), str):
            yield path if index is None else join(path, index), metric


def _prefixes_by_task(tasks: Collection[str] | None = None) -> dict[str, set[str]]:
    """Return the prefixes of the measures of some tasks, by default of all. This imports these tasks."""
    from visionzoo.registry import task_names

    task_of = import_module("visionzoo.tasks").task_of  # imported by name: tasks are above this layer
    names = [name for name in task_names() if tasks is None or name in tasks]
    return {name: {measure.partition("/")[0] for measure in task_of(name).save_best} for name in names}


def _names(prefixes: set[str]) -> list[str]:
    registry = all_registries()["METRICS"]
    own = [(name, registry.get(name)) for name in registry.own_names()]
    return [name for name, part in own if getattr(part, "default_prefix", None) in prefixes]
