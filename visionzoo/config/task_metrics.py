"""Check that the metrics of a config measure its task."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
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
    listed = named if isinstance(named, (list, tuple)) else [named]
    tasks = [task for task in listed if isinstance(task, str)]
    known = {prefix for prefixes in _prefixes_by_task(tasks).values() for prefix in prefixes}
    if not known:
        return
    for path, metric in _metrics(tree):
        part = find_part(metric["type"], ("METRICS",))
        prefix = getattr(part, "default_prefix", None)
        if prefix is None or prefix in known:  # the other tasks are imported for a wrong metric only
            continue
        others = [task for task, prefixes in _prefixes_by_task().items() if prefix in prefixes]
        if others:
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
