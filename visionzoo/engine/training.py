"""Train the model of a config: start a new run, or resume one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from visionzoo.config import LoadedConfig
from visionzoo.config.files import display_path
from visionzoo.engine.building import make_runner, training_parts
from visionzoo.engine.checkpoints import last_checkpoint
from visionzoo.engine.curves import write_curves
from visionzoo.engine.dry_run import dry_run
from visionzoo.engine.environment import listening, note_to_user
from visionzoo.engine.loops import Interrupted
from visionzoo.engine.measures import scalars
from visionzoo.engine.plan import RunPlan, planned
from visionzoo.engine.run_options import RunOptions, strategy_of
from visionzoo.engine.runner import ZooRunner
from visionzoo.engine.summary import beginning, best_of, conclude
from visionzoo.engine.workdir import kept_if_it_works, remove_old_run, write_run
from visionzoo.engine.workers import explained
from visionzoo.errors import OutputError
from visionzoo.system import distributed
from visionzoo.system.atomic import write_text


def train(loaded: LoadedConfig, **options: Any) -> dict[str, Any]:
    """Train the model of a config.

    Args:
        loaded: a config from :func:`visionzoo.config.load_config`. Missing values in its ``cfg`` are filled in.
        **options: fields of :class:`visionzoo.engine.RunOptions`.

    Returns:
        A dict with the keys ``work_dir``, ``checkpoint`` (path of the last one, or None), ``best`` (path of the best
        one, or None), ``best_metrics`` (of the best one), ``epoch``, ``iter``, ``seed`` and ``metrics`` (of the last
        validation). With ``dry_run``, the
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
    resuming = dict(resume=load_from is not None, load_from=load_from, on_resume=partial(_write_facts, plan, folder))
    with kept_if_it_works(folder):
        runner = make_runner(plan, folder, **resuming, **training_parts(plan))
    if plan.checkpoint is None:
        distributed.from_first(lambda: _write_first(plan, folder))
    return _run(runner, plan)


def _write_first(plan: RunPlan, folder: Path) -> None:
    """Write the first files of a new run. With ``overwrite``, remove old files before."""
    if plan.options.overwrite:
        remove_old_run(folder)
    _write_facts(plan, folder)


def _write_facts(plan: RunPlan, folder: Path) -> None:
    """Write ``config.py`` and ``run.json``. A resumed run writes them only when its checkpoint was loaded."""
    if not distributed.is_first():
        return
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
        "max_samples": plan.options.max_samples,
        "weights": None if plan.options.weights is None else str(plan.options.weights),
        "replace_head": plan.options.replace_head,
        "resumed_from": None if plan.checkpoint is None else str(plan.checkpoint),
    }
    write_run(folder, facts, plan.options.command)


def _run(runner: ZooRunner, plan: RunPlan) -> dict[str, Any]:
    note, folder = note_to_user(plan.options), Path(runner.work_dir)
    try:
        note(f"{beginning(runner, f'training {plan.name}')}\noutput: {display_path(folder)}")
        with listening(runner), explained(), _curves_at_the_end(runner, plan.name):
            runner.train()
        if distributed.is_first():
            conclude(runner, plan.name, note)
        return _outcome(runner)
    finally:
        runner.close()


@contextmanager
def _curves_at_the_end(runner: ZooRunner, name: str) -> Iterator[None]:
    """Write the curves of a training when it ends; also when it is interrupted or fails, whose error is then raised."""
    try:
        yield
    except BaseException:
        with suppress(OutputError):
            _write_curves(runner, name)
        raise
    _write_curves(runner, name)


def _write_curves(runner: ZooRunner, name: str) -> None:
    if runner.iter > 0 and distributed.is_first():
        write_curves(runner, name)


def _outcome(runner: ZooRunner) -> dict[str, Any]:
    best = next((v for k, v in runner.message_hub.runtime_info.items() if k.startswith("best_ckpt")), None)
    last, measured = last_checkpoint(Path(runner.work_dir)), best_of(runner)
    return {
        "work_dir": runner.work_dir,
        "checkpoint": None if last is None else str(last),
        "best": None if best is None else str(Path(runner.work_dir) / best),
        "best_metrics": {} if measured is None else measured["metrics"],
        "epoch": runner.epoch,
        "iter": runner.iter,
        "seed": runner.seed,
        "metrics": scalars(runner.metrics),
    }


__all__ = ["Interrupted", "train"]
