"""Config of a model that joins the heads of several runs: its model, its tasks, and their data and metrics."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from math import lcm
from typing import Any, NamedTuple

from visionzoo.config.data_parts import config_of_task
from visionzoo.config.joint_checks import metrics_by_task
from visionzoo.config.showing import diff_configs
from visionzoo.config.tree import plain
from visionzoo.datasets.transforms.cropping import cropping_steps
from visionzoo.engine.pipelines import changing_steps, inference_notes, pipeline_of_task
from visionzoo.errors import ConfigError, some_of

# Settings of a trunk on which its feature maps do not depend.
_OF_TRAINING = ("init_cfg", "frozen_stages", "norm_eval", "with_cp", "requires_grad")

# Settings of a preprocessor that may differ: the padding is the common multiple, and augmentations only train.
_MAY_DIFFER = ("pad_size_divisor", "batch_augments", "non_blocking")

_TRUNK = ("backbone", "neck", "text_encoder")
_PARTS = (*_TRUNK, "data_preprocessor", "heads", "type", "init_cfg")


class Source(NamedTuple):
    """One run.

    Attributes:
        name: its folder, for messages.
        cfg: its config.
        model: its model as a task model of several heads.
    """

    name: str
    cfg: Mapping[str, Any]
    model: Mapping[str, Any]


def merged_config(sources: Sequence[Source], pipeline_of: Source | None = None) -> tuple[dict[str, Any], list[str]]:
    """Return the config of the joined model, and notes for the user.

    Args:
        sources: the runs.
        pipeline_of: the run whose test pipeline inference uses if they differ; None for the first one that crops
            nothing, else the first one.

    Raises:
        ConfigError: two runs have a head of one name, another trunk or another preprocessing, or the chosen one has no
            test pipeline.
    """
    _require_one_trunk(sources)
    heads = _joined_heads(sources)
    preprocessor, notes = _joined_preprocessor(sources)
    trunk = {name: sources[0].model[name] for name in _TRUNK if sources[0].model.get(name) is not None}
    model = {"type": "TaskModel", **preprocessor, **trunk, "heads": heads}
    for source in sources:
        omitted = [name for name, value in source.model.items() if name not in _PARTS and value is not None]
        notes += [f"{source.name}: left out model.{name}" for name in omitted]
    cfg: dict[str, Any] = {"task": list(heads), "model": model, **_shared_settings(sources)}
    for split in ("val", "test"):
        tested, said = _tested(sources, split)
        cfg |= tested
        notes += said
    chosen, said = _infer_pipeline(sources, pipeline_of)
    cfg |= chosen
    return copy.deepcopy(cfg), [*notes, *said, *inference_notes(cfg, heads)]


def _joined_heads(sources: Sequence[Source]) -> dict[str, Any]:
    heads: dict[str, Any] = {}
    owners: dict[str, str] = {}
    for source in sources:
        for name, head in source.model["heads"].items():
            if name in heads:
                raise ConfigError(
                    source.name,
                    expected="heads of other names than those of the other runs",
                    found=f"{name}, which {owners[name]} also has",
                    advice="leave out one of both runs",
                )
            heads[name], owners[name] = head, source.name
    return heads


# --------------------------------------------------------------------------- trunk and preprocessing


def _require_one_trunk(sources: Sequence[Source]) -> None:
    first = sources[0]
    for other in sources[1:]:
        pair = [{name: _without(each.model.get(name), _OF_TRAINING) for name in _TRUNK} for each in (first, other)]
        _require_equal(pair, first, other, "the trunk", "join runs whose backbone and neck are the same")
        pair = [_without(each.model.get("data_preprocessor") or {}, _MAY_DIFFER) for each in (first, other)]
        for each in pair:
            each.setdefault("pad_value", 0)
        _require_equal(pair, first, other, "the preprocessing", "train with the same data_preprocessor")


def _require_equal(pair: Sequence[Any], first: Source, other: Source, what: str, advice: str) -> None:
    difference = diff_configs({"model": _comparable(pair[0])}, {"model": _comparable(pair[1])})
    if difference:
        paths = {**difference.changed, **difference.only_first, **difference.only_second}
        raise ConfigError(
            other.name,
            expected=f"{what} of {first.name}",
            found=f"another one (different: {some_of(paths, most=3)})",
            advice=advice,
        )


def _comparable(value: Any) -> Any:
    """Return a value without the differences of lists to tuples, and of whole numbers to real ones."""
    if isinstance(value, Mapping):
        return {key: _comparable(item) for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [_comparable(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _without(value: Any, keys: tuple[str, ...]) -> Any:
    if isinstance(value, Mapping):
        return {key: _without(item, keys) for key, item in value.items() if key not in keys}
    if isinstance(value, (list, tuple)):
        return [_without(item, keys) for item in value]
    return value


def _joined_preprocessor(sources: Sequence[Source]) -> tuple[dict[str, Any], list[str]]:
    """Return the preprocessor, which pads to the common multiple of the runs, and a note if they differ."""
    given = sources[0].model.get("data_preprocessor")
    if given is None:
        return {}, []
    divisors = [(each.model.get("data_preprocessor") or {}).get("pad_size_divisor", 1) for each in sources]
    joined = {"data_preprocessor": _without(given, ("batch_augments",)) | {"pad_size_divisor": lcm(*divisors)}}
    if len(set(divisors)) == 1:
        return joined, []
    stated = ", ".join(f"{source.name} {divisor}" for source, divisor in zip(sources, divisors, strict=True))
    return joined, [f"pad_size_divisor: {lcm(*divisors)} ({stated}); results near the edges of an image may change"]


# --------------------------------------------------------------------------- data and metrics


def _shared_settings(sources: Sequence[Source]) -> dict[str, Any]:
    """Return modules to import for the parts of all runs, and the settings of the process of the first run."""
    shared = {key: plain(sources[0].cfg[key]) for key in ("default_scope", "env_cfg") if sources[0].cfg.get(key)}
    named = [(source.cfg.get("custom_imports") or {}).get("imports") or [] for source in sources]
    modules = list(dict.fromkeys(module for each in named for module in ([each] if isinstance(each, str) else each)))
    return shared | ({"custom_imports": {"imports": modules, "allow_failed_imports": False}} if modules else {})


def _tested(sources: Sequence[Source], split: str) -> tuple[dict[str, Any], list[str]]:
    """Return loader, evaluator and loop of a split; only a note if a task has no data or no metric."""
    datasets, metrics, loaders = {}, {}, []
    for source in sources:
        for task in source.model["heads"]:
            loader = config_of_task(source.cfg, task).get(f"{split}_dataloader") or {}
            own = _metrics_of(source.cfg.get(f"{split}_evaluator"), task)
            if not loader.get("dataset") or not own:
                missing = "metric" if loader.get("dataset") else "data set"
                return {}, [f"{split}: left out, because {source.name} has no {missing} for {task}"]
            datasets[task], metrics[task] = plain(loader["dataset"]), plain(own)
            loaders.append(loader)
    joint = {
        "batch_size": min(loader.get("batch_size", 1) for loader in loaders),
        "num_workers": max(loader.get("num_workers", 0) for loader in loaders),
        "sampler": {"type": "JointSampler", "mode": "in_order"},
        "dataset": {"type": "JointDataset", "datasets": datasets},
    }
    evaluator = {"type": "JointEvaluator", "metrics": metrics}
    return {f"{split}_dataloader": joint, f"{split}_evaluator": evaluator, f"{split}_cfg": {}}, []


def _infer_pipeline(sources: Sequence[Source], chosen: Source | None) -> tuple[dict[str, Any], list[str]]:
    """Return the pipeline of inference and a note, if the runs differ in more than the loading of ground truth.

    By default, it is that of the first run that keeps the whole image, because results have places in it.
    """
    found = [(source, pipeline) for source in sources if (pipeline := _test_pipeline(source))]
    changing = [changing_steps(pipeline) for _, pipeline in found]
    if chosen is None and all(each == changing[0] for each in changing):
        return {}, []
    if chosen is not None and not _test_pipeline(chosen):
        raise ConfigError(chosen.name, expected="a test pipeline for infer", found="none", advice="name another run")
    whole = [each for each in found if not cropping_steps(each[1])]
    owner, pipeline = next((each for each in found if each[0] == chosen), (whole or found)[0])
    others = "" if chosen else "; --pipeline RUN chooses another"
    return {"infer_pipeline": pipeline}, [f"infer uses the test pipeline of {owner.name}{others}"]


def _test_pipeline(source: Source) -> list[Any]:
    """Return the pipeline of a run of one task, or of several tasks with one pipeline."""
    if source.cfg.get("infer_pipeline"):
        return list(plain(source.cfg["infer_pipeline"]))
    return next(filter(None, (pipeline_of_task(source.cfg, head) for head in source.model["heads"])), [])


def _metrics_of(evaluator: Any, task: str) -> Any:
    by_task = metrics_by_task(evaluator)
    if by_task:
        return by_task.get(task)
    if isinstance(evaluator, Mapping) and "metrics" in evaluator:
        return evaluator["metrics"]
    return list(evaluator) if isinstance(evaluator, Iterable) and not isinstance(evaluator, Mapping) else evaluator
