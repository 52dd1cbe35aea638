"""The report of a test: what :mod:`visionzoo.reports.run_report` writes, from a plan, its numbers and its evidence."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from visionzoo.config.data_parts import joint_data_sets
from visionzoo.engine.card_numbers import card_numbers
from visionzoo.engine.evidence import Collected
from visionzoo.engine.measures import scalars
from visionzoo.engine.plan import RunPlan
from visionzoo.errors import ZooError, counted
from visionzoo.metrics.meaning import Meaning, meaning_of
from visionzoo.reports.figure import Draft, Figure
from visionzoo.reports.run_report import Measured, RunReport, write_run_report
from visionzoo.system.paths import shared_path, shown_path
from visionzoo.tasks import task_of

_PARTS = {"evidence": "evidence for figures", "errors": "error by sample", "images": "images of samples"}


def write_report(
    folder: Path,
    plan: RunPlan,
    facts: Mapping[str, Any],
    metrics: Mapping[str, Any],
    tables: Mapping[str, Sequence[Mapping[str, Any]]],
    evaluator: Any,
    collected: Mapping[str, Collected],
    note: Callable[[str], None],
) -> Path | None:
    """Write ``report.html``, ``report.md`` and ``report/``, and note what is missing in them.

    Args:
        folder: the work dir, which has ``metrics.json`` already.
        plan: plan of the test.
        facts: description of the run, as in ``metrics.json``.
        metrics, tables: the numbers, and the rows by class.
        evaluator: the evaluator that measured them.
        collected: evidence by task.
        note: takes sentences for the terminal.

    Returns:
        Path of ``report.html``; None if it cannot be written.
    """
    notes: list[str] = []
    numbers = scalars(metrics)
    unread = "numbers of the card are"
    stated, stated_note = _tried(lambda: card_numbers(plan, numbers, evaluator), ([], ""), unread, notes)
    single = len(collected) == 1
    figures, examples, errors = {}, {}, {}
    for name, evidence in collected.items():
        key = "" if single else name
        figures[key] = _figures(name, evidence, plan, notes)
        examples[key], errors[key] = evidence.examples, task_of(name).error_text
        notes += _failed(evidence) + _about_examples(name, evidence)
    report = RunReport(
        title=str(facts.get("name")),
        facts=_facts(facts, plan),
        metrics=[_measured(name, value, evaluator, plan) for name, value in numbers.items()],
        stated=stated,
        stated_note=stated_note,
        tables=tables,
        figures=figures,
        examples=examples,
        errors=errors,
        notes=notes,
    )
    for text in notes:
        note(f"report: {text}")
    try:
        return write_run_report(folder, report)
    except Exception as error:  # the numbers are written already
        note(f"report.html is not written: {_text(error)}")
        return None


@contextmanager
def numbers_kept(folder: Path, note: Callable[[str], None]) -> Iterator[None]:
    """Note where the numbers are if the user interrupts the report."""
    try:
        yield
    except KeyboardInterrupt:
        note(f"stopped before the report was complete; the numbers are in {shown_path(folder / 'metrics.json')}")
        raise


def _tried(make: Callable[[], Any], otherwise: Any, part: str, notes: list[str]) -> Any:
    try:
        return make()
    except Exception as error:
        notes.append(f"The {part} missing: {_text(error)}.")
        return otherwise


def _text(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, ZooError) else f"{type(error).__name__}: {text}"


def _figures(task: str, evidence: Collected, plan: RunPlan, notes: list[str]) -> list[Figure]:
    """Return the figures of a task; one that cannot be drawn is missing, and a note states it."""
    records = evidence.in_order
    drafts = _tried(lambda: task_of(task).figures(records, plan.classes_of(task)), [], f"figures of {task} are", notes)
    figures = [_drawn(each, task, notes) for each in drafts]
    return [each for each in figures if each is not None]


def _drawn(figure: Figure | Draft, task: str, notes: list[str]) -> Figure | None:
    if isinstance(figure, Figure):
        return figure
    return _tried(figure.draw, None, f'figure "{figure.title}" of {task} is', notes)


def _failed(evidence: Collected) -> list[str]:
    sums: Counter[str] = Counter()
    for (part, _), number in evidence.failures.items():
        sums[part] += number
    firsts = dict(reversed(list(evidence.failures)))
    return [
        f"The {_PARTS[part]} failed for {counted(number, 'sample')}; the first error is {firsts[part]}."
        for part, number in sums.items()
    ]


def _about_examples(name: str, evidence: Collected) -> list[str]:
    """Return a sentence if there are no samples to show, or no truth beside them."""
    if not evidence.worst:
        reason = "the test pipeline loads no ground truth, or the task states no error"
        return [] if evidence.failures else [f"No error of a sample of {name} is known: {reason}."]
    if all(len(example.images) < 2 for example in evidence.examples):
        return ["The samples have no ground truth that can be drawn, so the images show the predictions only."]
    return []


def _facts(facts: Mapping[str, Any], plan: RunPlan) -> list[tuple[str, str]]:
    weights = facts.get("weights")
    rows = [
        ("model", str(facts.get("name"))),
        ("task", ", ".join(plan.tasks)),
        ("config", shared_path(str(facts.get("config")))),
        ("weights", "none: the model has no parameters" if weights is None else shared_path(weights)),
        *_data_facts(plan),
        ("samples", str(facts.get("samples"))),
        ("device", str(facts.get("device"))),
        ("date", time.strftime("%Y-%m-%d %H:%M %Z").strip()),
        *((f"protocol of {metric}", text) for metric, text in (facts.get("protocols") or {}).items()),
        ("test-time augmentation", "yes" if facts.get("tta") else "no"),
        ("versions", ", ".join(f"{name} {version}" for name, version in (facts.get("versions") or {}).items())),
    ]
    return [(label, text) for label, text in rows if text]


def _data_facts(plan: RunPlan) -> list[tuple[str, str]]:
    """Return the place of the data, or of the data of each task."""
    dataset = plan.cfg.test_dataloader.dataset
    by_task = joint_data_sets(dataset)
    named = [(f"data of {task}", own) for task, own in by_task.items()] or [("data", dataset)]
    return [(label, _place_of(own)) for label, own in named]


def _place_of(dataset: Mapping[str, Any]) -> str:
    data = shared_path(str(dataset.get("data_root") or dataset.get("type")))
    split = next((shared_path(str(dataset[key])) for key in ("ann_file", "split", "name") if dataset.get(key)), "")
    return f"{data}, {split}" if split else data


def _measured(name: str, value: float, evaluator: Any, plan: RunPlan) -> Measured:
    meaning = meaning_of(name, evaluator.metrics)
    if not meaning.better and not meaning.unit:
        known = {"greater": "higher", "less": "lower"}
        meaning = Meaning(known.get(plan.best_metric.get(name, ""), ""))
    return Measured(name, value, meaning.better, meaning.unit)
