"""Numbers of a model's card beside those of a test, where metric, data set and split are the same."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from visionzoo.config import load_config
from visionzoo.config.data_parts import joint_data_sets
from visionzoo.engine.plan import RunPlan
from visionzoo.errors import ZooError, counted
from visionzoo.front_matter import card_files, card_text, parsed_front_matter, split_front_matter
from visionzoo.metrics.meaning import meaning_of
from visionzoo.reports.run_report import Stated
from visionzoo.system.paths import shared_path

_TINY = "tiny://"
_SPLITS = re.compile(r"train|val|test|every|fold", re.IGNORECASE)
_OF_LOADING = ("pipeline", "test_mode", "lazy_init", "serialize_data")


def card_numbers(plan: RunPlan, metrics: Mapping[str, float], evaluator: Any) -> tuple[list[Stated], str]:
    """Return the numbers of the card of the tested config, and a sentence about them.

    Args:
        plan: plan of the test.
        metrics: numbers of this test by name.
        evaluator: the evaluator that measured them.
    """
    path = card_files().get(plan.name)
    if path is None:
        return [], f"No model card is called {plan.name}, so there are no stated numbers."
    try:
        card = parsed_front_matter(split_front_matter(card_text(path), path)[0], path)
        tested = _tested_by_task(plan, metrics, evaluator)
        stated = [each for result in _results(card) for each in _of_result(tested, result).beside(result, card)]
    except ZooError as error:
        return [], f"The numbers of the model card cannot be read: {error}"
    compared = sum(each.now is not None for each in stated)
    if compared == len(stated):
        return stated, ""
    how_many = f"{compared} of {len(stated)} numbers of the card are" if compared else "No number of the card is"
    data = " and ".join(dict.fromkeys(each.data for each in tested.values()))
    return stated, f"{how_many} of the same metric, data set and split as this test of {data}."


def _results(card: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for entry in card.get("model-index") or ():
        yield from entry.get("results") or ()


def _tested_by_task(plan: RunPlan, metrics: Mapping[str, float], evaluator: Any) -> dict[str, _Tested]:
    """Return what was tested of each task; of one task under an empty name."""
    tasks = list(joint_data_sets(plan.cfg.test_dataloader.dataset)) or [""]
    return {task: _Tested(plan, metrics, evaluator, task) for task in tasks}


def _of_result(tested: Mapping[str, _Tested], result: Mapping[str, Any]) -> _Tested:
    """Return the test of the task that a result of the card names."""
    first = next(iter(tested.values()))
    return tested.get(str((result.get("task") or {}).get("name")), first)


class _Tested:
    """What was tested, and why it is or is not the same as a result of the card.

    Args:
        plan, metrics, evaluator: see :func:`card_numbers`.
        task: the task, for data sets by task; else empty.
    """

    def __init__(self, plan: RunPlan, metrics: Mapping[str, float], evaluator: Any, task: str = ""):
        self.metrics, self.evaluator, self.task = metrics, evaluator, task
        self.settings = _settings(_own_data(plan.cfg.test_dataloader.dataset, task))
        self.root = str(self.settings.get("data_root") or self.settings.get("type"))
        self.data = f"{shared_path(self.root)} ({'drawn data' if self.is_tiny else self.settings.get('type')})"
        self.change = self._change(plan)

    @property
    def is_tiny(self) -> bool:
        return self.root.startswith(_TINY)

    def _change(self, plan: RunPlan) -> str:
        """Return how the test differs from that of the released config; empty if it does not."""
        if plan.options.tta:
            return "this test augments the images (--tta)"
        if plan.options.max_samples is not None:
            return f"this test uses only {counted(plan.options.max_samples, 'sample')}"
        released = load_config(plan.name, tiny=self.is_tiny).cfg
        for key, value in _settings(_own_data(released.test_dataloader.dataset, self.task)).items():
            if self.settings.get(key) != value:
                return f"this test has other data ({key} {_stated(self.settings.get(key))}, not {_stated(value)})"
        if _as_plain(released.test_evaluator) != _as_plain(plan.cfg.test_evaluator):
            return "the metric of this test has other settings"
        return ""

    def beside(self, result: Mapping[str, Any], card: Mapping[str, Any]) -> Iterator[Stated]:
        """Yield the numbers of one result of the card."""
        data = result["dataset"]
        for metric in result["metrics"]:
            args, name = metric.get("args") or {}, metric["type"]
            reason = self._why_not(data, name)
            now = None if reason else self._in_unit(name, args.get("unit", ""))
            source, link = _source(result, args, card)
            yield Stated(
                metric=f"{name}: {metric['name']}" if metric.get("name") else name,
                data=f"{data['name']}, {data['split']}",
                value=f"{metric['value']:g} {args.get('unit', '')}".strip(),
                source=source,
                link=link,
                is_paper=args.get("origin") == "paper",
                now=None if now is None else f"{now:.4g} {args.get('unit', '')}".strip(),
                remark=f"not compared: {reason}" if now is None else _difference(now, metric["value"]),
            )

    def _why_not(self, data: Mapping[str, Any], metric: str) -> str:
        kind, split = str(data["type"]), str(data["split"])
        if kind.startswith(_TINY) != self.is_tiny:
            return f"this test is on {'drawn data' if self.is_tiny else 'other data'}"
        if self.change:
            return self.change
        if not _names(self.settings, kind, tiny=self.is_tiny):
            return "this test is on another data set"
        first = _plain(re.split(r"[\s,]", split)[0])
        values = [_plain(str(value)) for value in self.settings.values()]
        names_one = any(_SPLITS.search(f"{key} {value}") for key, value in _parts(self.settings))
        if not any(first in value for value in values) and (names_one and not self._draws_only_it(split)):
            return "this test is on another split"
        return "" if metric in self.metrics else "this test does not measure it"

    def _draws_only_it(self, split: str) -> bool:
        """Return True if drawn data have no other split by name: the settings leave out every N-th sample."""
        return self.is_tiny and split == "val" and "every" in self.settings and "split" not in self.settings

    def _in_unit(self, name: str, unit: str) -> float:
        is_share = meaning_of(name, self.evaluator.metrics).unit == "share"
        return self.metrics[name] * (100 if unit == "percent" and is_share else 1)


def _own_data(dataset: Mapping[str, Any], task: str) -> Mapping[str, Any]:
    """Return the config of the data set of a task."""
    return joint_data_sets(dataset).get(task, dataset)


def _stated(value: Any) -> str:
    return repr(shared_path(value) if isinstance(value, str) else value)


def _settings(dataset: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _as_plain(value) for key, value in dataset.items() if key not in _OF_LOADING}


def _parts(settings: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    return ((key, value) for key, value in settings.items() if key not in ("type", "data_root"))


def _as_plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _as_plain(each) for key, each in value.items()}
    return [_as_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _names(settings: Mapping[str, Any], kind: str, *, tiny: bool) -> bool:
    """Return True if the settings are of the card's data set: of the same drawing, or without another name."""
    root, name = str(settings.get("data_root")), settings.get("name")
    if tiny:
        return root.split("?")[0] == kind.split("?")[0]
    return name is None or _plain(str(name)) == _plain(kind) or _plain(kind).startswith(_plain(str(name)))


def _difference(now: float, stated: float) -> str:
    difference = now - stated
    if abs(difference) < 0.5 * 10 ** -_decimals(stated):
        return "equal in the digits of the card"
    return f"{abs(difference):.3g} {'above' if difference > 0 else 'below'} the card"


def _decimals(value: float) -> int:
    text = f"{value:g}"
    return len(text.partition(".")[2])


def _source(result: Mapping[str, Any], args: Mapping[str, Any], card: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return the source of a number as text, and its address."""
    zoo = card.get("visionzoo") or {}
    if args.get("origin") == "paper":
        source = result.get("source") or {"name": zoo["paper"]["title"], "url": zoo["paper"]["url"]}
        return f"paper: {source['name']}", source.get("url")
    run = (zoo.get("runs") or {}).get(args.get("run")) or {}
    return f"measured {run.get('date', 'without a date')}: {run.get('command', 'no command stated')}", None
