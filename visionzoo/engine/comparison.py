"""Compare recorded runs: all metrics, classes and configs. Runs that differ only in their seed are one entry."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import fmean, stdev
from typing import Any

from visionzoo.config import diff_configs
from visionzoo.engine.recorded_runs import RecordedRun
from visionzoo.errors import InputError, counted
from visionzoo.registry import task_names
from visionzoo.system.paths import shown_path
from visionzoo.tasks import task_of

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# Settings that name a run or its seed, and do not belong to what is compared.
_OWN = (("randomness", "seed"), ("work_dir",), ("experiment_name",))


@dataclass(frozen=True)
class Value:
    """A metric of one entry.

    Attributes:
        mean: the value, the mean of several runs; None if no run has it.
        spread: standard deviation of several runs; None for one run.
        values: the value of each run.
    """

    mean: float | None
    spread: float | None
    values: Sequence[float | None]


@dataclass(frozen=True)
class Entry:
    """Runs of one config, which differ at most in their seed.

    Attributes:
        label: ``A``, ``B``, ...
        runs: at least one.
    """

    label: str
    runs: Sequence[RecordedRun]

    @property
    def first(self) -> RecordedRun:
        return self.runs[0]

    @property
    def what(self) -> str:
        """Return a text about the runs: name, kind, seeds and paths."""
        run, number = self.first, len(self.runs)
        seeds = [str(each.seed) for each in self.runs if each.seed is not None]
        kind = "test" if run.is_test else "training"
        facts = [run.name, kind if number == 1 else f"{number} {kind}s"]
        facts += [f"seed{'s' if len(seeds) > 1 else ''} {', '.join(seeds)}"] if seeds else []
        facts += [counted(run.facts["samples"], "sample")] if run.facts.get("samples") is not None else []
        facts += [str(run.facts["step"])] if number == 1 and run.facts.get("step") else []
        return ", ".join(facts)

    def value(self, metric: str) -> Value:
        """Return a metric of the entry."""
        values = [run.metrics.get(metric) for run in self.runs]
        return value_of(values)


def value_of(values: Sequence[float | None]) -> Value:
    """Return mean and spread of the numbers among the values.

    Example:
        >>> value_of([0.5, None, 1.0])
        Value(mean=0.75, spread=0.3535533905932738, values=[0.5, None, 1.0])
    """
    known = [value for value in values if value is not None]
    return Value(fmean(known) if known else None, stdev(known) if len(known) > 1 else None, values)


@dataclass(frozen=True)
class ClassRow:
    """One class of a table by class: the number that is compared, of each entry."""

    name: str
    values: Sequence[Value]

    @property
    def change(self) -> float:
        """The largest difference to the first entry; nan without one."""
        first = self.values[0].mean
        rest = [value.mean - first for value in self.values[1:] if value.mean is not None and first is not None]
        return max(map(abs, rest), default=math.nan)


@dataclass(frozen=True)
class ClassTable:
    """A table by class that entries have in common.

    Attributes:
        name: name of the table, such as ``bbox``.
        number: name of the column that is compared, the first one of measures; numbers of objects are whole.
        rows: a row for each class, in the order of the first entry.
    """

    name: str
    number: str
    rows: Sequence[ClassRow]


@dataclass(frozen=True)
class Comparison:
    """Entries with their differences.

    Attributes:
        entries: in the order in which the user names their first runs.
        notes: what makes the numbers of entries differ besides the models, such as other data.
    """

    entries: Sequence[Entry]
    notes: Sequence[str] = field(default_factory=list)

    @cached_property
    def metrics(self) -> list[str]:
        """The names of all metrics, those that all entries have first."""
        names = dict.fromkeys(name for entry in self.entries for run in entry.runs for name in run.metrics)
        return sorted(names, key=lambda name: not all(self._has(entry, name) for entry in self.entries))

    @staticmethod
    def _has(entry: Entry, metric: str) -> bool:
        return any(metric in run.metrics for run in entry.runs)

    def direction(self, metric: str) -> str | None:
        """Return ``greater`` or ``less``, whichever is better; None for a number that is neither good nor bad."""
        return self._directions.get(metric)

    @cached_property
    def _directions(self) -> dict[str, str | None]:
        known = {name for entry in self.entries for name in entry.first.tasks}
        tasks = [task_of(name) for name in sorted(known & set(task_names()) or task_names())]
        found = {}
        for metric in self.metrics:
            named = metric.partition("/")[0]  # a joint evaluator puts the task in front
            of_task = [task_of(named)] if named in known and named in task_names() else tasks
            rules = {task.direction(metric) for task in of_task}
            found[metric] = None if None in rules else "less" if "less" in rules else "greater"
        return found

    def best(self, metric: str) -> list[str]:
        """Return the labels of the entries with the best value; empty if all are equal or none is better."""
        values = {entry.label: entry.value(metric).mean for entry in self.entries}
        known = {label: value for label, value in values.items() if value is not None}
        direction = self.direction(metric)
        if direction is None or len(known) < 2 or len(set(known.values())) == 1:
            return []
        best = (min if direction == "less" else max)(known.values())
        return [label for label, value in known.items() if value == best]

    @cached_property
    def classes(self) -> list[ClassTable]:
        """The tables by class that all entries have."""
        return list(_class_tables(self.entries))

    @cached_property
    def differences(self) -> dict[str, list[str] | None]:
        """For each further entry, the lines of the difference of its config to the first one; None if it is unknown."""
        first = self.entries[0].first.config
        return {
            entry.label: diff_configs(_compared(first), _compared(entry.first.config)).lines()
            if first and entry.first.config
            else None
            for entry in self.entries[1:]
        }

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "entries": [_entry_json(entry) for entry in self.entries],
            "metrics": [self._metric_json(metric) for metric in self.metrics],
            "per_class": {table.name: _table_json(table) for table in self.classes},
            "config": self.differences,
            "notes": list(self.notes),
        }

    def _metric_json(self, metric: str) -> dict[str, Any]:
        values = [entry.value(metric) for entry in self.entries]
        known = {"metric": metric, "better": self.direction(metric), "best": self.best(metric)}
        return {**known, "values": [_value_json(value) for value in values], "differences": differences_of(values)}


def differences_of(values: Sequence[Value]) -> list[float | None]:
    """Return the differences of the means to the first one; None where one of them is unknown."""
    first = values[0].mean
    return [None if first is None or value.mean is None else value.mean - first for value in values]


def compare(runs: Sequence[RecordedRun]) -> Comparison:
    """Compare runs.

    Args:
        runs: at least two.

    Raises:
        InputError: there is one run only, a run is named twice, or no metric is common to two entries.
    """
    _require_several(runs)
    groups: dict[str, list[RecordedRun]] = {}
    for run in runs:
        groups.setdefault(_key(run), []).append(run)
    entries = [Entry(_label(number), members) for number, members in enumerate(groups.values())]
    comparison = Comparison(entries, [*_problems(entries), *_other_conditions(entries)])
    if len(entries) > 1 and not any(_in_common(entries, metric) for metric in comparison.metrics):
        found = f"{', '.join(entries[0].first.metrics)} and {', '.join(entries[1].first.metrics)}"
        raise InputError("compare", expected="runs with a common metric", found=found, advice="name runs of one task")
    return comparison


def _in_common(entries: Sequence[Entry], metric: str) -> bool:
    return sum(entry.value(metric).mean is not None for entry in entries) > 1


def _require_several(runs: Sequence[RecordedRun]) -> None:
    if len(runs) < 2:
        found = "one" if runs else "none"
        raise InputError("compare", expected="two runs or more", found=found, advice="name another run")
    seen = set()
    for run in runs:
        place = run.path.resolve().parent if run.path.is_file() else run.path.resolve()
        if place in seen:
            raise InputError(run.path, expected="different runs", found="the same run twice", advice="name it once")
        seen.add(place)


def _label(number: int) -> str:
    return _LETTERS[number] if number < len(_LETTERS) else f"R{number + 1}"


def _key(run: RecordedRun) -> str:
    """Return a text that is equal for runs that differ only in their seed; without a known config, the path."""
    if not run.config:
        return str(run.path.resolve())
    start = {} if run.is_test else {key: run.start.get(key) for key in ("weights", "max_samples", "replace_head")}
    parts = [run.name, run.is_test, _compared(run.config), start, dict(run.data), run.facts.get("tta")]
    return json.dumps(parts, sort_keys=True, default=str)


def _compared(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config without its seed and names."""
    copy = {key: dict(value) if isinstance(value, Mapping) else value for key, value in config.items()}
    for *above, last in _OWN:
        part = copy.get(above[0], {}) if above else copy
        part.pop(last, None)
    return copy


def _problems(entries: Sequence[Entry]) -> list[str]:
    runs = [run for entry in entries for run in entry.runs if run.problem]
    return [f"{shown_path(run.path)}: {run.problem}; neither its config nor its data are compared" for run in runs]


def _other_conditions(entries: Sequence[Entry]) -> Iterable[str]:
    """Yield sentences about entries that are not measured in the way of the first one."""
    first = entries[0]
    for entry in entries[1:]:
        one, other, both = first.first, entry.first, f"{first.label} and {entry.label}"
        if one.is_test != other.is_test:
            kinds = ["a test" if run.is_test else "the best validation of a training" for run in (one, other)]
            yield f"{both} are not measured alike: {kinds[0]}, and {kinds[1]}"
        if one.data and other.data and one.data != other.data:
            changes = diff_configs(dict(one.data), dict(other.data)).lines()
            yield f"{both} are measured on different data: {'; '.join(changes)}"
        for name, what in (("samples", "numbers of samples"), ("protocols", "protocols"), ("tta", "augmentation")):
            values = [run.facts.get(name) or None for run in (one, other)]
            if values[0] != values[1]:
                yield f"{both} have different {what}: {_text(values[0])} and {_text(values[1])}"
        tasks = [", ".join(run.tasks) for run in (one, other)]
        if all(tasks) and tasks[0] != tasks[1]:
            yield f"{both} are of different tasks: {tasks[0]} and {tasks[1]}"


def _text(value: Any) -> str:
    return "none" if value is None else value if isinstance(value, str) else json.dumps(value)


def _class_tables(entries: Sequence[Entry]) -> Iterable[ClassTable]:
    for name, rows in entries[0].first.per_class.items():
        tables = [[run.per_class.get(name) for run in entry.runs] for entry in entries]
        if len(rows) < 2 or not all(table for entry in tables for table in entry):
            continue
        key, *others = rows[0]
        number = next((column for column in others if any(isinstance(row.get(column), float) for row in rows)), None)
        if number is None:
            continue
        by_class = [[{row[key]: row.get(number) for row in table or ()} for table in entry] for entry in tables]
        found = []
        for row in rows:
            values = [value_of([_known(run.get(row[key])) for run in entry]) for entry in by_class]
            found.append(ClassRow(str(row[key]), values))
        yield ClassTable(name, number, found)


def _known(value: Any) -> float | None:
    """Return a number; None for the official tools' -1, which stands for a class without samples."""
    return float(value) if isinstance(value, int | float) and value != -1 else None


def _entry_json(entry: Entry) -> dict[str, Any]:
    runs = [{"path": shown_path(run.path), "seed": run.seed, "metrics": dict(run.metrics)} for run in entry.runs]
    return {"label": entry.label, "name": entry.first.name, "test": entry.first.is_test, "runs": runs}


def _value_json(value: Value) -> dict[str, Any]:
    return {"value": value.mean} | ({} if value.spread is None else {"spread": value.spread})


def _table_json(table: ClassTable) -> dict[str, Any]:
    rows = [
        {"class": row.name, "values": [value.mean for value in row.values], "differences": differences_of(row.values)}
        for row in table.rows
    ]
    return {"number": table.number, "classes": rows}
