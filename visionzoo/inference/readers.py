"""What makes predictions of a model's samples: one reader for each of its tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from visionzoo.errors import ConfigError, UnknownName, require_known
from visionzoo.inference.backends import TaskClasses
from visionzoo.inference.selecting import Selection, require_option, selection_of, separated
from visionzoo.registry import task_names
from visionzoo.tasks import Result, Task, task_of
from visionzoo.tasks.inputs.base import Input


@dataclass(frozen=True)
class Reader:
    """Reads the samples of a model as results of one task.

    Attributes:
        name: name of the task.
        task: the task.
        classes: class names by label and category ids.
        selection: the results that are kept.
    """

    name: str
    task: Task
    classes: TaskClasses
    selection: Selection

    @property
    def names(self) -> tuple[str, ...] | None:
        """Class names by label; None if they are unknown."""
        return self.classes.names

    def read(self, sample: Any, size: tuple[int, ...]) -> tuple[Result, float | None]:
        """Return the result of a predicted sample, and its best score before the selection; None without a score.

        Args:
            sample: sample with the predictions of this task.
            size: see :meth:`visionzoo.tasks.Task.read`.

        Raises:
            InputError: the sample has no result for this input.
        """
        return self.selection.of(self.task.read(sample, size, self.names), self.task.counted is not None)

    def above(self, threshold: float) -> Reader:
        """Return the reader with another score threshold; a task without scores keeps its own."""
        if "threshold" not in self.task.selections:
            return self
        chosen = selection_of(self.task, None, threshold=threshold).threshold
        return replace(self, selection=replace(self.selection, threshold=chosen))

    def categories(self) -> list[dict[str, Any]]:
        """Return the classes with the ids that files of results have."""
        ids = self.classes.category_ids
        return [{"id": ids[label] if ids else label + 1, "name": name} for label, name in enumerate(self.names or ())]


def readers_of(
    classes: Mapping[str, TaskClasses],
    *,
    threshold: float | None = None,
    thresholds: Mapping[str, float] | None = None,
    names: Sequence[str] | str | None = None,
    limit: int | None = None,
) -> dict[str, Reader]:
    """Check what the user selects, and return a reader for each task.

    Of several tasks, an option changes those that have it. ``thresholds`` may also name a task. A class changes the
    tasks that have a class of this name.

    Args:
        classes: classes by task.
        threshold, thresholds, limit: see :func:`visionzoo.inference.selecting.selection_of`.
        names: names of the classes to keep, in a list or separated by commas; None for all.

    Raises:
        ConfigError: a value is out of range, or no task has this option.
        UnknownName: no task has a class of this name.

    Example:
        >>> two = {"lanes": TaskClasses(), "detection": TaskClasses(("cat", "dog"))}
        >>> found = readers_of(two, thresholds={"lanes": 0.2, "dog": 0.5})
        >>> found["lanes"].selection.threshold, found["detection"].selection.thresholds
        (0.2, {1: 0.5})
    """
    known = [*classes, *(each for own in classes.values() for each in own.names or ())]
    kept = separated(names, known) if isinstance(names, str) else names
    chosen = dict(threshold=threshold, thresholds=thresholds, classes=kept, limit=limit)
    if len(classes) == 1:
        ((name, own),) = classes.items()
        task = task_of(name)
        return {name: Reader(name, task, own, selection_of(task, own.names, **chosen))}  # type: ignore[arg-type]
    found, used = {}, set()
    for name, own in classes.items():
        task, given = task_of(name), _given_to(name, own, chosen)
        used |= {key for key, value in given.items() if value is not None}
        found[name] = Reader(name, task, own, selection_of(task, own.names, **given))
    _require_used(list(classes), known, chosen, used)
    return found


def _given_to(name: str, own: TaskClasses, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of one of several tasks."""
    task, by_name = task_of(name), dict(chosen["thresholds"] or {})
    named = by_name.pop(name, None)
    if "threshold" not in task.selections and named is not None:
        require_option(task, "threshold", f"threshold of {name}")
    has = {key: key in task.selections for key in ("threshold", "limit", "classes")}
    kept = [each for each in chosen["classes"] or () if has["classes"] and each in (own.names or ())]
    by_class = {each: score for each, score in by_name.items() if has["classes"] and each in (own.names or ())}
    return {
        "threshold": named if named is not None else chosen["threshold"] if has["threshold"] else None,
        "thresholds": by_class or None,
        "classes": kept or None,
        "limit": chosen["limit"] if has["limit"] else None,
    }


def _require_used(tasks: Sequence[str], known: Sequence[str], chosen: Mapping[str, Any], used: set[str]) -> None:
    """Raise the error of the first task about an option that no task has, and about a name that no task has."""
    scored = [name for name in tasks if "threshold" in task_of(name).selections]
    for name in chosen["thresholds"] or ():
        if name not in known:
            raise UnknownName(name, kind="task or class of this model", known=[*scored, *known[len(tasks) :]])
    for name in chosen["classes"] or ():
        if name not in known[len(tasks) :]:
            hint = "" if known[len(tasks) :] else "its results have no names of classes; leave it out"
            raise UnknownName(name, kind="class of this model", known=known[len(tasks) :], hint=hint)
    for key in ("threshold", "limit"):
        if chosen[key] is not None and key not in used:
            require_option(task_of(tasks[0]), key, key)
    if chosen["classes"] is not None and "classes" not in used:
        raise ConfigError("classes", expected="at least one class", found="none", advice="name one, or leave it out")


def chosen_tasks(given: Any, wanted: str | Iterable[str] | None, source: str) -> tuple[str, ...]:
    """Return the tasks to predict, in the order of the model.

    Args:
        given: ``task`` of a config: a name, or several.
        wanted: names of some of these tasks, in a list or separated by commas; None for all.
        source: name of the config in messages.

    Raises:
        ConfigError: no task is named, one is named twice, or the tasks have different kinds of inputs.
        UnknownName: the model has no such task.

    Example:
        >>> chosen_tasks(("lanes", "counting", "saliency"), "saliency,lanes", "my.py")
        ('lanes', 'saliency')
    """
    tasks = (given,) if isinstance(given, str) else tuple(given or ())
    if not tasks:
        advice = f"add one or several of {', '.join(task_names())}"
        raise ConfigError(f"{source}: task", expected="the name of a task", found="none", advice=advice)
    names = tasks if wanted is None else tuple(separated(wanted, tasks) if isinstance(wanted, str) else wanted)
    for name in names:
        require_known(name, tasks, f"task of {source}")
    if not names or len(set(names)) < len(names):
        found = ", ".join(names) or "none"
        raise ConfigError(f"{source}: task", expected="each task once", found=found, advice=f"use {', '.join(tasks)}")
    chosen = tuple(name for name in tasks if name in names)
    shared_inputs(chosen, source)
    return chosen


def shared_inputs(tasks: Sequence[str], source: str) -> Input:
    """Return the kind of inputs that all tasks have.

    Raises:
        ConfigError: the tasks have different kinds of inputs.
    """
    inputs = {name: task_of(name).inputs for name in tasks}
    first = inputs[tasks[0]]
    if any(type(each) is not type(first) for each in inputs.values()):
        raise ConfigError(
            f"{source}: task",
            expected="tasks with one kind of inputs",
            found=", ".join(f"{name} ({each.nouns})" for name, each in inputs.items()),
            advice=f"choose tasks of one kind, such as --task {tasks[0]}",
        )
    return first
