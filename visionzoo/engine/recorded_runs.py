"""Read what trainings and tests have recorded: numbers, config, seed, data and history. No model is built."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from visionzoo.config import load_config
from visionzoo.config.data_parts import tasks_of
from visionzoo.config.files import SAVED
from visionzoo.config.runs import facts_of, run_of
from visionzoo.errors import InputError, ZooError
from visionzoo.structures.undefined import UNDEFINED
from visionzoo.system.paths import shown_path

MEASURED = "metrics.json"
_SCALARS = Path("logs", "scalars.json")
_OF_DATA = ("type", "data_root", "ann_file", "data_prefix", "split", "indices")


@dataclass(frozen=True)
class RecordedRun:
    """A training or a test.

    Attributes:
        path: its folder, or its ``metrics.json``.
        name: name of the model.
        is_test: True for a test; False for a training, whose numbers are those of its best validation.
        metrics: metric name -> number; None for one that is not a number, or that has no samples.
        per_class: table name -> rows.
        facts: further values of ``metrics.json``, such as ``samples`` and ``protocols``.
        config: its config; empty if it is not known.
        start: values of ``run.json`` of a training; empty for a test.
        history: metric name -> (epoch or iteration, value) of each validation.
        unit: ``epoch`` or ``iteration``.
        problem: why the config is not known; empty if it is.
    """

    path: Path
    name: str
    is_test: bool
    metrics: Mapping[str, float | None]
    per_class: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    start: Mapping[str, Any] = field(default_factory=dict)
    history: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    unit: str = "epoch"
    problem: str = ""

    @property
    def seed(self) -> int | None:
        """The seed of a training; None if it is not known."""
        own = (self.config.get("randomness") or {}).get("seed")
        return self.start.get("seed", own)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks of the config; empty if it is not known."""
        return tasks_of(self.config)

    @property
    def data(self) -> Mapping[str, Any]:
        """Return the settings of the data that were measured, see :func:`settings_of_data`."""
        recorded = self.facts.get("data")
        return recorded or settings_of_data(self.config, "test" if self.is_test else "val")


def settings_of_data(config: Mapping[str, Any], split: str) -> dict[str, Any]:
    """Return which data a split of a config has, by the path of the setting.

    Args:
        config: the config.
        split: ``val`` or ``test``.

    Example:
        >>> settings_of_data({"val_dataloader": {"dataset": {"type": "Toy", "data_root": "a", "pipeline": []}}}, "val")
        {'dataset.type': 'Toy', 'dataset.data_root': 'a'}
    """
    found: dict[str, Any] = {}
    _collect((config.get(f"{split}_dataloader") or {}).get("dataset"), "dataset", found)
    return json.loads(json.dumps(found, default=str))  # as a file of a run holds them


def _collect(value: Any, path: str, found: dict[str, Any]) -> None:
    """Add the settings of a data set and of those inside it."""
    if isinstance(value, list | tuple):
        for number, each in enumerate(value):
            _collect(each, f"{path}.{number}", found)
    elif isinstance(value, Mapping) and path.endswith(".datasets"):  # data sets by task
        for task, each in value.items():
            _collect(each, f"{path}.{task}", found)
    elif isinstance(value, Mapping):
        found |= {f"{path}.{key}": value[key] for key in _OF_DATA if key in value}
        for key in ("dataset", "datasets"):
            _collect(value.get(key), f"{path}.{key}", found)


def read_run(given: str | Path) -> RecordedRun:
    """Return a training or a test.

    Args:
        given: its folder, or its ``metrics.json``.

    Raises:
        InputError: it is neither, it has no numbers, or its file is damaged.
    """
    path = Path(given).expanduser()
    file = path / MEASURED if path.is_dir() else path
    if not file.is_file():
        raise _no_run(path)
    document = _document(file)
    training = run_of(file)
    start = {} if training is None else facts_of(training)
    config, problem = _config_of(file, document)
    numbers = {name: _number(value) for name, value in document["metrics"].items()}
    about = {key: value for key, value in document.items() if key not in ("metrics", "per_class")}
    return RecordedRun(
        path=path,
        name=str(document.get("name") or path.name),
        is_test=training is None,
        metrics=numbers,
        per_class=document.get("per_class") or {},
        facts=about,
        config=config,
        start=start,
        history={} if training is None else _history(training / _SCALARS, set(numbers)),
        unit="epoch" if _is_by_epoch(config) else "iteration",
        problem=problem,
    )


def _no_run(path: Path) -> InputError:
    expected = f"the folder of a training or of a test, or its {MEASURED}"
    if not path.exists():
        return InputError(path, expected=expected, found="no such path", advice="check the path")
    if run_of(path) is not None:
        advice = f"`visionzoo test {shown_path(path)}` measures it"
        return InputError(path, expected="a run with numbers", found=f"a training without {MEASURED}", advice=advice)
    if (path / "predictions.jsonl").is_file():
        return InputError(path, expected=expected, found="the folder of an inference", advice="name a training")
    return InputError(path, expected=expected, found=f"a folder without {MEASURED}", advice="name the folder of a run")


def _document(file: Path) -> dict[str, Any]:
    """Return the values of a ``metrics.json``."""
    try:
        document = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(file, expected="a JSON file", but=f"{error}", advice="run the test again") from error
    numbers = document.get("metrics") if isinstance(document, Mapping) else None
    if not isinstance(numbers, Mapping):
        raise InputError(
            file, expected="an object with metrics", found="another value", advice=f"name a {MEASURED} of a run"
        )
    if not numbers:
        raise InputError(file, expected="at least one metric", found="none", advice="run the test again")
    return dict(document)


def _number(value: Any) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return None if float(value) == UNDEFINED else float(value)


def _config_of(file: Path, document: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the config of a run, or an empty dict and the reason."""
    own, named = file.parent / SAVED, document.get("config")
    path = own if own.is_file() else Path(str(named)) if named else None
    if path is None or not path.is_file():
        return {}, "its config is not known" if path is None else f"its config {shown_path(path)} is gone"
    try:
        return load_config(path).cfg.to_dict(), ""
    except ZooError as error:
        return {}, f"its config cannot be loaded ({error.sentence})"


def _is_by_epoch(config: Mapping[str, Any]) -> bool:
    length = config.get("train_cfg") or {}
    return bool(length.get("by_epoch", "max_iters" not in length))


def _history(file: Path, names: set[str]) -> dict[str, list[tuple[float, float]]]:
    """Return the values of each metric over the validations; the later one of a step that was done again."""
    found: dict[str, dict[float, float]] = {}
    if not file.is_file():
        return {}
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        record = _record(line)
        for name in names & record.keys() if "step" in record else ():
            value = _number(record[name])
            if value is not None:
                found.setdefault(name, {})[float(record["step"])] = value
    return {name: sorted(values.items()) for name, values in found.items()}


def _record(line: str) -> dict[str, Any]:
    """Return a line of numbers; empty for the incomplete last line of a run that was killed."""
    try:
        record = json.loads(line)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


__all__ = ["MEASURED", "RecordedRun", "read_run"]
