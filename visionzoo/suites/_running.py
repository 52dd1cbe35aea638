"""A run of a suite: open the data, judge model after model, keep results on disk, report."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from visionzoo.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    InputError,
    MissingExtra,
    RunFailed,
    UnknownName,
)
from visionzoo.suites._base import Record, Results, Suite, SuiteData, SuiteModel, SuiteReport
from visionzoo.suites._finding import readme_of
from visionzoo.suites._models import Named
from visionzoo.suites._store import ResultFile, read_results, result_path
from visionzoo.suites._writing import write_report
from visionzoo.system.atomic import write_text
from visionzoo.system.locks import locked
from visionzoo.system.versions import versions

FACTS = "suite.json"
PREDICTED = "predictions"  # instead of a digest of weights
Note = Callable[[str], None]
Watch = Callable[[Sequence[Any], str], Iterable[Any]]


def _silent(text: str) -> None:
    """Print nothing."""


def _unwatched(items: Sequence[Any], title: str) -> Iterable[Any]:
    return items


def run_suite(
    name: str,
    suite: Suite,
    models: Sequence[Named],
    *,
    predictions: Sequence[Path] = (),
    batch_size: int = 32,
    note: Note = _silent,
    watch: Watch = _unwatched,
) -> SuiteReport:
    """Judge models, and write results and report into the folder of the settings.

    A data set that is not there, and a model that cannot be used, is one line; the others continue. A run with the same
    folder continues where an earlier one ended, and its report covers all models of the folder.

    Args:
        name: name of the suite.
        suite: the suite.
        models: models to judge.
        predictions: folders with predictions of any origin; the name of the folder is the name of the model.
        batch_size: number of images per batch, >= 1.
        note: function that prints a line.
        watch: shows the progress of a list under a title.

    Returns:
        The report. Its notes have the lines on missing data and unusable models.

    Raises:
        InputError: the folder has results of another protocol, or ``batch_size`` is below 1.
        DataError: no data set is there, or predictions do not fit the data.
        RunFailed: no model has results.
    """
    if batch_size < 1:
        raise InputError(f"batch size {batch_size}", expected="1 or more", advice="use 1", found="less")
    out = suite.settings.out
    with locked(out, "a suite"):
        _require_protocol(out, name, suite)
        data, lines = _open_all(suite, note)
        for folder in predictions:
            _store_predictions(folder, suite, data, out)
        for named in models:
            lines += _judge(named, suite, data, batch_size, note, watch, alone=len(models) == 1 and not predictions)
        results, unfinished = _all_results(out, data)
        lines += unfinished
        if not any(results.values()):
            raise RunFailed(f"{out}: no model has results" + (f": {lines[-1]}" if lines else ""))
        report = suite.report(data, results)
        report.notes = [*lines, *(text for each in data.values() for text in each.notes), *report.notes]
        facts = {"suite": name, **suite.protocol(), "limit": suite.settings.limit, "seed": suite.settings.seed}
        facts["versions"] = ", ".join(f"{key} {value}" for key, value in versions().items())
        write_report(out, report, f"Suite {name}", readme_of(name).read_text(encoding="utf-8"), facts)
    return report


def _require_protocol(out: Path, name: str, suite: Suite) -> None:
    """Write the protocol into a folder without results; raise an error if it has results of another one."""
    wanted = json.loads(json.dumps({"suite": name, **suite.protocol()}))
    path = out / FACTS
    if not path.exists() or not any((out / "results").rglob("*.jsonl")):
        write_text(path, json.dumps(wanted, indent=1) + "\n")
        return
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(path, expected="the protocol of a suite", but=f"it cannot be read ({error})") from error
    differing = [key for key in {**wanted, **there} if wanted.get(key) != there.get(key)]
    if differing:
        key = differing[0]
        raise InputError(
            out,
            expected=f"results with {key} {there.get(key)!r}, as in {FACTS}",
            found=f"{key} {wanted.get(key)!r}",
            advice="results of different protocols are never mixed: choose another folder with -o",
        )


def _open_all(suite: Suite, note: Note) -> tuple[dict[str, SuiteData], list[str]]:
    data: dict[str, SuiteData] = {}
    missing: list[str] = []
    for name, open_data in suite.data_sets().items():
        try:
            data[name] = open_data().first(suite.settings.limit)
        except DataError as error:
            missing.append(f"{name}: not measured: {error.sentence}")
    if not data:
        expected, advice = "a data set of the suite", "try --tiny, or get one:"
        raise DataError(suite.settings.data, missing, expected=expected, found="none", advice=advice)
    for line in missing:
        note(line)
    return data, missing


def _judge(
    named: Named, suite: Suite, data: Mapping[str, SuiteData], batch_size: int, note: Note, watch: Watch, *, alone: bool
) -> list[str]:
    """Judge one model on all data sets. Return lines on what was not measured; a model without others is an error."""
    try:
        model = suite.open_model(named.name, named.weights)
        lines = [line for each in data.values() if (line := _measure(model, suite, each, batch_size, note, watch))]
        suite.extras(model, data)
    except (ConfigError, CheckpointError, UnknownName, MissingExtra) as error:
        if alone:
            raise
        lines = [f"{named.name}: not measured: {error.sentence}"]
        note(lines[0])
    return lines


def _measure(model: SuiteModel, suite: Suite, data: SuiteData, batch_size: int, note: Note, watch: Watch) -> str | None:
    """Predict what is missing on one data set, or return a line on why the model is not measured on it."""
    refused = suite.refusal(model, data)
    if refused:
        line = f"{model.name} on {data.name}: not measured: {refused}"
        note(line)
        return line
    _predict(model, suite, data, batch_size, watch)
    return None


def _predict(model: SuiteModel, suite: Suite, data: SuiteData, batch_size: int, watch: Watch) -> None:
    header = {"model": model.name, "digest": model.digest, "data": data.name, "about": dict(model.about)}
    file = ResultFile(result_path(suite.settings.out, data.name, model.name, model.digest), header)
    title = f"{model.name} on {data.name}"
    file.fill(data.ids, lambda numbers: model.predict(data, numbers), batch_size, lambda items: watch(items, title))


def _store_predictions(folder: Path, suite: Suite, data: Mapping[str, SuiteData], out: Path) -> None:
    """Store predictions of any origin as results of a model."""
    if not folder.is_dir():
        raise InputError(folder, expected="a folder of predictions", found="no such folder", advice="correct it")
    found = False
    for each in data.values():
        records = suite.read_predictions(folder, each)
        if records is None:
            continue
        found = True
        header = {"model": folder.name, "digest": PREDICTED, "data": each.name, "about": {"from": str(folder)}}
        path = result_path(out, each.name, folder.name, PREDICTED)
        path.unlink(missing_ok=True)  # the files of predictions may have changed
        ResultFile(path, header).fill(each.ids, partial(_taken, records), len(each.ids))
    if not found:
        raise InputError(
            folder,
            expected=f"files of predictions for {', '.join(data)}",
            found="none",
            advice="name each file after its data set, such as geode.jsonl",
        )


def _taken(records: Sequence[Record], numbers: Sequence[int]) -> list[Record]:
    return [records[number] for number in numbers]


def _all_results(out: Path, data: Mapping[str, SuiteData]) -> tuple[dict[str, list[Results]], list[str]]:
    """Return the complete results in the folder by data set, and lines on incomplete ones."""
    results: dict[str, list[Results]] = {name: [] for name in data}
    lines = []
    for name, each in data.items():
        ids = each.ids
        for path in sorted((out / "results" / name).glob("*.jsonl")):
            header, records = read_results(path)
            if [record.get("id") for record in records[: len(ids)]] != ids:
                lines.append(f"{path.name} on {name}: not in the tables: {len(records)} of {len(ids)} images")
                continue
            results[name].append(
                Results(header["model"], header["digest"], records[: len(ids)], header.get("about", {}))
            )
    return results, lines
