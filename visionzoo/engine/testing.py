"""Test a model with the metrics of its config."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from mmengine.config import Config
from torch import nn

from visionzoo.config import LoadedConfig
from visionzoo.engine.building import build_split, make_runner, progress_hook
from visionzoo.engine.environment import listening, note_to_user
from visionzoo.engine.evidence import EvidenceHook
from visionzoo.engine.loops import Interrupted
from visionzoo.engine.measures import per_class_tables, protocols, scalars, write_measures
from visionzoo.engine.plan import RunPlan, planned
from visionzoo.engine.recorded_runs import settings_of_data
from visionzoo.engine.reporting import numbers_kept, write_report
from visionzoo.engine.run_options import RunOptions
from visionzoo.engine.runner import ZooRunner
from visionzoo.engine.workdir import kept_if_it_works
from visionzoo.engine.workers import explained
from visionzoo.errors import counted
from visionzoo.models.fast_form import PLAIN, FastForm
from visionzoo.system import distributed
from visionzoo.system.paths import shown_path
from visionzoo.system.versions import versions
from visionzoo.weights.loading import load_weights, without_pretrained
from visionzoo.weights.normalisation import warn_of_other_normalisation


@dataclass(frozen=True)
class Predictor:
    """What predicts the samples of a test instead of the model with its weights.

    Attributes:
        prepare: makes the model ready; its arguments are the model, ``weights``, a file, and the ``classes`` of the
            data by task.
        form: the form that a run states; None for that of the model, see :mod:`visionzoo.models.fast_form`.
    """

    prepare: Callable[..., None]
    form: dict[str, Any] | None = None


def test(loaded: LoadedConfig, **options: Any) -> dict[str, Any]:
    """Test the model of a config and write ``metrics.json``, ``report.md``, ``report.html`` and its images.

    Args:
        loaded: a config from :func:`visionzoo.config.load_config`; its ``cfg`` is completed in place.
        **options: ``predictor``, which predicts instead of the model with its weights; and fields of
            :class:`visionzoo.engine.RunOptions`. ``weights`` is required, except for a run and for a model without
            parameters. If it is a work dir, its best checkpoint is used, else its last, and the results are written
            there unless ``work_dir`` is given.

    Returns:
        ``work_dir``, ``weights``, ``form`` (``fast``, ``exact`` or ``exported``), ``metrics`` (name -> number),
        ``per_class`` (table name -> rows) and ``report`` (path of ``report.html``; None with ``report=False``, or if it
        cannot be written).

    Raises:
        ConfigError: the config or an option is wrong, or the config has no test data or evaluator.
        CheckpointError: the weights are missing or do not fit.
        OutputError: the work dir cannot be written.
        Interrupted: the user or the system requested a stop.
    """
    predictor = options.pop("predictor", None) or Predictor(_load)
    with planned(loaded, RunOptions(**options), "test") as plan:
        for text in plan.notes:
            note_to_user(plan.options)(text)
        return _test(plan, cast(Path, plan.folder), predictor)  # only a dry run has no folder


def _test(plan: RunPlan, folder: Path, predictor: Predictor) -> dict[str, Any]:
    """Test in this process. All objects built here are released on return, before the process group ends."""
    evidence = EvidenceHook({task: plan.classes_of(task) for task in plan.tasks}) if plan.options.report else None
    with kept_if_it_works(folder):
        runner = make_runner(
            plan,
            folder,
            log_name="test",
            prepare=_prepared(plan, predictor),
            test_dataloader=build_split(plan, "test"),
            test_cfg=plan.cfg.get("test_cfg") or {},
            test_evaluator=plan.cfg.test_evaluator,
            default_hooks=_measuring_hooks(plan.cfg),
            custom_hooks=[progress_hook(plan), *([] if evidence is None else [evidence])],
        )
        return _run(runner, plan, evidence, predictor.form)


def _prepared(plan: RunPlan, predictor: Predictor) -> Callable[[nn.Module], None] | None:
    if plan.weights is None:
        return None
    classes = {task: plan.classes_of(task) for task in plan.tasks}
    return partial(predictor.prepare, weights=Path(plan.weights), classes=classes)


def _load(model: nn.Module, weights: Path, classes: Mapping[str, Sequence[str] | None]) -> None:
    bare = getattr(model, "module", model)
    load_weights(without_pretrained(bare), weights)
    warn_of_other_normalisation(bare, weights)


def _measuring_hooks(cfg: Config) -> dict[str, Any]:
    """Return the default hooks without those that only training needs."""
    given = dict(cfg.get("default_hooks") or {})
    logger = given.get("logger", dict(type="LoggerHook"))
    return dict(param_scheduler=None, checkpoint=None, sampler_seed=None, logger=logger)


def _run(
    runner: ZooRunner, plan: RunPlan, evidence: EvidenceHook | None, form: dict[str, Any] | None
) -> dict[str, Any]:
    weights = None if plan.weights is None else str(plan.weights)
    samples = len(runner.test_dataloader.dataset)
    source = "" if weights is None else f" with {shown_path(weights)}"
    note_to_user(plan.options)(f"testing {plan.name}{source} on {runner.device}: {counted(samples, 'sample')}")
    runner.model.eval()
    fast = None if plan.options.exact or form is not None else FastForm(runner.model)
    form = form or (PLAIN if fast is None else fast.about())
    try:
        with listening(runner), explained(), nullcontext() if fast is None else fast.applied():
            metrics = runner.test()
        tables = per_class_tables(runner.test_evaluator)
        facts = {
            "name": plan.name,
            "config": str(plan.path),
            "weights": weights,
            "samples": samples,
            "data": settings_of_data(plan.cfg.to_dict(), "test"),
            "protocols": protocols(runner.test_evaluator),
            "tta": plan.options.tta,
            "device": str(runner.device),
            "form": form,
            "versions": versions(),
        }
        folder, report = Path(runner.work_dir), None
        if distributed.is_first():
            write_measures(folder, facts, metrics, tables)
        collected = {} if evidence is None else evidence.gathered()
        if distributed.is_first() and evidence is not None:
            note = note_to_user(plan.options)
            with numbers_kept(folder, note):
                report = write_report(folder, plan, facts, metrics, tables, runner.test_evaluator, collected, note)
        return {
            "work_dir": runner.work_dir,
            "weights": weights,
            "form": form["name"],
            "metrics": scalars(metrics),
            "per_class": tables,
            "report": None if report is None else str(report),
        }
    finally:
        runner.close()


test.__test__ = False  # type: ignore[attr-defined]  # not a test for pytest

__all__ = ["Interrupted", "test"]
