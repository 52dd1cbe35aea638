"""Train the model of a config: start a new run, or resume one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from visionzoo.config import LoadedConfig
from visionzoo.engine.building import make_runner, training_parts
from visionzoo.engine.checkpoints import LAST
from visionzoo.engine.dry_run import dry_run
from visionzoo.engine.environment import listening, note_to_user
from visionzoo.engine.loops import Interrupted
from visionzoo.engine.measures import as_text, per_class_tables, scalars, write_measures
from visionzoo.engine.plan import RunPlan, planned
from visionzoo.engine.run_options import RunOptions, strategy_of
from visionzoo.engine.runner import ZooRunner
from visionzoo.engine.workdir import kept_if_it_works, remove_old_run, write_run
from visionzoo.engine.workers import explained
from visionzoo.system import distributed
from visionzoo.system.atomic import write_text


def train(loaded: LoadedConfig, **options: Any) -> dict[str, Any]:
    """Train the model of a config.

    Args:
        loaded: a config from :func:`visionzoo.config.load_config`. Missing values in its ``cfg`` are filled in.
        **options: fields of :class:`visionzoo.engine.RunOptions`.

    Returns:
        A dict with the keys ``work_dir``, ``checkpoint`` (path of the last one, or None), ``best`` (path of the best
        one, or None), ``epoch``, ``iter``, ``seed`` and ``metrics`` (of the last validation). With ``dry_run``, the
        result of one batch: see :func:`visionzoo.engine.dry_run.dry_run`.

    Raises:
        ConfigError: the config or an option is wrong.
        DataError: a data set cannot be read.
        OutputError: the work dir cannot be written.
        CheckpointError: there is nothing to resume, or the weights do not fit.
        RunFailed: the loss is NaN or infinite.
        Interrupted: the user or the system requested a stop. To continue, pass the ``checkpoint`` of this exception as
            ``resume``.
    """
    settings = RunOptions(**options)
    with planned(loaded, settings, "dry run" if settings.dry_run else "train") as plan:
        for text in plan.notes:
            note_to_user(settings)(text)
        return dry_run(plan) if plan.folder is None else _train(plan, plan.folder)


def _train(plan: RunPlan, folder: Path) -> dict[str, Any]:
    """Train in this process.

    This is a separate function so that its objects are deleted before the process group is destroyed.
    """
    load_from = None if plan.checkpoint is None else str(plan.checkpoint)
    with kept_if_it_works(folder):
        runner = make_runner(plan, folder, resume=load_from is not None, load_from=load_from, **training_parts(plan))
    distributed.from_first(lambda: _write_first(plan, folder))
    return _run(runner, plan)


def _write_first(plan: RunPlan, folder: Path) -> None:
    """Write ``run.json`` and ``config.py``. A new run with ``overwrite`` first removes old files."""
    if plan.checkpoint is None and plan.options.overwrite:
        remove_old_run(folder)
    write_text(folder / "config.py", plan.config_text)
    facts = {
        "name": plan.name,
        "config": str(plan.path),
        "tiny": plan.tiny,
        "seed": plan.seed,
        "deterministic": plan.cfg.randomness.deterministic,
        "device": str(plan.device),
        "processes": distributed.world_size(),
        "strategy": strategy_of(plan.cfg) if distributed.world_size() > 1 else None,
        "weights": None if plan.options.weights is None else str(plan.options.weights),
        "resumed_from": None if plan.checkpoint is None else str(plan.checkpoint),
    }
    write_run(folder, facts, plan.options.command)


def _run(runner: ZooRunner, plan: RunPlan) -> dict[str, Any]:
    note = note_to_user(plan.options)
    note(f"training {plan.name} on {runner.device} with seed {runner.seed}; output: {runner.work_dir}")
    try:
        with listening(runner), explained():
            runner.train()
        if distributed.is_first():
            _write_last(runner, plan.name, note)
        return _outcome(runner)
    finally:
        runner.close()


def _write_last(runner: ZooRunner, name: str, note: Callable[[str], None]) -> None:
    if not runner.metrics:
        return
    tables = per_class_tables(runner.val_evaluator)
    facts = {"name": name, "weights": _last(runner), "samples": len(runner.val_dataloader.dataset)}
    write_measures(Path(runner.work_dir), facts, runner.metrics, tables)
    note(as_text(runner.metrics, tables))


def _outcome(runner: ZooRunner) -> dict[str, Any]:
    best = next((v for k, v in runner.message_hub.runtime_info.items() if k.startswith("best_ckpt")), None)
    return {
        "work_dir": runner.work_dir,
        "checkpoint": _last(runner),
        "best": None if best is None else str(Path(runner.work_dir) / best),
        "epoch": runner.epoch,
        "iter": runner.iter,
        "seed": runner.seed,
        "metrics": scalars(runner.metrics),
    }


def _last(runner: ZooRunner) -> str | None:
    pointer = Path(runner.work_dir) / LAST
    return str(pointer.parent / pointer.read_text(encoding="utf-8").strip()) if pointer.is_file() else None


__all__ = ["Interrupted", "train"]
