"""Selection of results: by score, by class and by number. A task refuses what its results cannot be selected by."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from visionzoo.config.tree import MISSING, lookup
from visionzoo.errors import ConfigError, InputError, UnknownName
from visionzoo.option_names import option
from visionzoo.registry import task_names
from visionzoo.tasks import Task, options_of, task_of

_WORDS = {
    "threshold": "a score threshold",
    "limit": "a limit of results",
    "classes": "a choice of classes",
    "crops": "crops of results",
}


@dataclass(frozen=True)
class Selection:
    """The results of an input that are kept.

    Attributes:
        threshold: results with a lower score are dropped.
        thresholds: by label, thresholds that replace ``threshold``.
        labels: labels of the classes that are kept; None for all.
        limit: largest number of results; the best ones are kept. None for all.
    """

    threshold: float
    thresholds: Mapping[int, float]
    labels: tuple[int, ...] | None = None
    limit: int | None = None

    def of(self, result: Any, counted: bool) -> tuple[Any, float | None]:
        """Return the results that are kept, and the best score before the thresholds.

        Args:
            result: the result of a model for one input.
            counted: True if the result has the property ``best_score``.
        """
        if self.labels is not None:
            result = result.of_classes(self.labels)
        best = result.best_score if counted else None
        result = result.above(self.threshold, self.thresholds) if self.thresholds else result.above(self.threshold)
        return (result if self.limit is None else result.best(self.limit)), best


def selection_of(
    task: Task,
    names: Sequence[str] | None,
    *,
    threshold: float | None = None,
    thresholds: Mapping[str, float] | None = None,
    classes: Iterable[str] | None = None,
    limit: int | None = None,
) -> Selection:
    """Check what the user selects, and return the selection.

    Args:
        task: task of the model.
        names: class names by label; None if they are unknown. A label is then its own name.
        threshold: None for the threshold of the task.
        thresholds: by class name, thresholds that replace ``threshold``.
        classes: names of the classes to keep; None for all.
        limit: largest number of results, >= 1; None for the number of the task.

    Raises:
        ConfigError: a value is out of range, or results of the task cannot be selected in this way.
        UnknownName: the model has no class of this name.

    Example:
        >>> selection_of(task_of("detection"), ("cat", "dog"), thresholds={"dog": 0.5}, limit=3)
        Selection(threshold=0.3, thresholds={1: 0.5}, labels=None, limit=3)
    """
    if threshold is not None:
        require_option(task, "threshold", option("threshold"))
        _require_score(threshold, option("threshold"))
    if thresholds or classes is not None:
        require_option(task, "classes", option("classes"))
    if limit is not None:
        require_option(task, "limit", option("limit"))
        if not isinstance(limit, int) or limit < 1:
            raise ConfigError(
                option("limit"), expected="1 or more", found=f"{limit}", advice="leave it out to keep all"
            )
    by_label: dict[int, float] = {}
    for name, score in (thresholds or {}).items():
        _require_score(score, f"{option('threshold')} of {name}")
        by_label |= dict.fromkeys(_labels_of(name, names), float(score))
    chosen = None if classes is None else [label for name in classes for label in _labels_of(name, names)]
    if chosen == []:
        raise ConfigError(
            option("classes"), expected="at least one class", found="none", advice="name one, or leave it out"
        )
    return Selection(
        task.threshold if threshold is None else float(threshold),
        by_label,
        None if chosen is None else tuple(dict.fromkeys(chosen)),
        task.most if limit is None else limit,
    )


def require_option(task: Task, name: str, where: str) -> None:
    """Raise an error if the task has no such option for its results.

    Args:
        task: task of the model.
        name: an entry of ``Task.selections``, or ``crops``.
        where: the option in the message.

    Raises:
        ConfigError: the message names the tasks that have it.
    """
    if not _has_option(task, name):
        having = [other for other in task_names() if _has_option(task_of(other), name)]
        raise _missing(task, where, _WORDS[name], having)


def require_format(task: Task, name: str) -> None:
    """Raise an error if the task has no files of this format, a key of ``Task.saves``.

    Raises:
        ConfigError: the message names the tasks that have it.
        UnknownName: no task has it.
    """
    if name in task.saves:
        return
    by_task = {other: task_of(other).saves for other in task_names()}
    having = [other for other, formats in by_task.items() if name in formats]
    if not having:
        known = task.saves or sorted({each for formats in by_task.values() for each in formats})
        raise UnknownName(name, kind="file format of results", known=known)
    raise _missing(task, f"--save {name}", f"files of the format {name}", having)


def _missing(task: Task, where: str, what: str, having: Sequence[str]) -> ConfigError:
    """Return the error that results of a task do not have something, which those of other tasks have."""
    return ConfigError(
        where,
        expected=f"a task whose results have {what}",
        found=_name_of(task),
        advice=f"leave it out, or use a model of {', '.join(having)}",
    )


def model_thresholds(name: str, cfg: Mapping[str, Any], model: object) -> dict[str, float]:
    """Return the score thresholds above 0 that a model applies itself, by the path of their setting in the config.

    Args:
        name: a task of the model; its ``options`` name the settings.
        cfg: the config of the model, which has the key ``model``.
        model: the model, whose attributes have the values that the config leaves out.

    Example:
        >>> cfg = {"model": {"test_cfg": {"score_thr": 0.05}}}
        >>> model_thresholds("detection", cfg, None)
        {'model.test_cfg.score_thr': 0.05}
    """
    found = {}
    for setting in options_of(name, task_of(name), cfg["model"]):
        path = setting.partition("=")[0]
        _, *keys = path.split(".")
        value = lookup(cfg["model"], tuple(keys))
        if value is MISSING:
            value = reduce(lambda part, key: getattr(part, key, None), keys, model)
        if isinstance(value, (int, float)) and value > 0:
            found[path] = value
    return found


def _has_option(task: Task, name: str) -> bool:
    return name in task.selections or (name == "crops" and task.crops is not None)


def _name_of(task: Task) -> str:
    return type(task).__module__.rpartition(".")[2]


def _require_score(score: Any, where: str) -> None:
    is_number = isinstance(score, int | float) and not isinstance(score, bool)
    if not is_number or not math.isfinite(score) or not 0 <= score <= 1:
        raise ConfigError(where, expected="a score from 0 to 1", found=f"{score}", advice="use 0.3, for example")


def separated(text: str, names: Sequence[str]) -> list[str]:
    """Split names at commas. A name of the model may have commas itself.

    Example:
        >>> separated("cat,tench, Tinca tinca,dog", ["cat", "tench, Tinca tinca"])
        ['cat', 'tench, Tinca tinca', 'dog']
    """
    parts, found = text.split(","), []
    while parts:
        joined = [",".join(parts[:end]).strip() for end in range(len(parts), 0, -1)]
        name = next((each for each in joined if each in names), joined[-1])
        found.append(name)
        parts = parts[len(parts) - joined.index(name) :]
    return [name for name in found if name]


def _labels_of(name: str, names: Sequence[str] | None) -> list[int]:
    """Return the labels of a class. Two classes of a model may have one name."""
    if names is None:
        if not f"{name}".isdecimal():
            raise InputError(
                f"class {name}",
                expected="the number of a class",
                but="the weights have no class names",
                advice="use 0",
            )
        return [int(name)]
    labels = [label for label, known in enumerate(names) if known == name]
    if not labels:
        raise UnknownName(name, kind="class of this model", known=names)
    return labels
