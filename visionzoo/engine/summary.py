"""End of a training: the numbers of the best weights, the files of the run, and the next commands."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.runner import EpochBasedTrainLoop

from visionzoo.config.data_parts import tasks_of
from visionzoo.config.files import display_path
from visionzoo.config.image_size import size_in_use
from visionzoo.engine.checkpoints import last_checkpoint
from visionzoo.engine.curves import FILES
from visionzoo.engine.early_stopping import ENDED
from visionzoo.engine.hooks import BEST, record, step_of
from visionzoo.engine.measures import as_text, shown, write_measures
from visionzoo.engine.recorded_runs import settings_of_data
from visionzoo.engine.runner import ZooRunner
from visionzoo.errors import counted
from visionzoo.tasks import task_of


def conclude(runner: ZooRunner, name: str, note: Callable[[str], None]) -> None:
    """Write ``metrics.json`` and ``report.md`` of a training and print its end.

    The numbers are those of the best weights. A run that selected none has those of its last validation.

    Args:
        runner: a runner after its training.
        name: name of the model.
        note: prints a text.
    """
    folder, best = Path(runner.work_dir), best_of(runner)
    last = last_checkpoint(folder)
    numbers = best or _last_validation(runner, last)
    if numbers:
        facts = {key: numbers.get(key) for key in ("selected_by", "step", "samples", "protocols")}
        data = settings_of_data(runner.cfg.to_dict(), "val")
        facts = {"name": name, "weights": str(folder / numbers["weights"]), **facts, "data": data}
        write_measures(folder, facts, numbers["metrics"], numbers["tables"])
        note(f"\n{_title(runner, numbers)}\n{as_text(_selected_first(numbers), numbers['tables'])}")
    ended = runner.message_hub.get_info(ENDED, None)
    if ended:
        note(f"\n{ended}")
    near = Path(display_path(folder))
    note(f"\n{_places(near, last, best, _reason(runner))}")
    note(f"\nnext:\n{next_commands(near, _usage(tasks_of(runner.cfg)))}")


def best_of(runner: ZooRunner) -> dict[str, Any] | None:
    """Return what :func:`visionzoo.engine.hooks.record` returned for the best weights, or None."""
    return runner.message_hub.get_info(BEST, None)


def _last_validation(runner: ZooRunner, last: Path | None) -> dict[str, Any] | None:
    if not runner.metrics or last is None:
        return None
    step = step_of(runner, by_epoch=runner.max_epochs > 1)
    return record(runner, None, step, runner.metrics, last)


def _title(runner: ZooRunner, numbers: Mapping[str, Any]) -> str:
    by = numbers["selected_by"]
    total = runner.max_epochs if numbers["step"].startswith("epoch") else runner.max_iters
    value = f" by {by} {shown(numbers['metrics'][by])}" if by else ""
    which = "best" if by else "last validation"
    return f"{which}: {numbers['step']} of {total}{value}, measured on {counted(numbers['samples'], 'val sample')}"


def _selected_first(numbers: Mapping[str, Any]) -> Mapping[str, Any]:
    by, metrics = numbers["selected_by"], numbers["metrics"]
    return {by: metrics[by], **metrics} if by else metrics


def _reason(runner: ZooRunner) -> str:
    """Return why a run has no best weights."""
    if runner.val_loop is None:
        return "none, because the config has no val_dataloader"
    if not runner.metrics:
        return "none, because no validation was due"
    return "none, because default_hooks.checkpoint.save_best is off or its metric was never a number"


def _places(folder: Path, last: Path | None, best: Mapping[str, Any] | None, reason: str) -> str:
    files: dict[str, object] = {
        "best weights": reason if best is None else folder / best["weights"],
        "last checkpoint": "none" if last is None else folder / last.name,
        "config": folder / "config.py",
        "log": folder / "logs" / "train.log",
    }
    if (folder / "metrics.json").is_file():
        files["numbers"] = f"{folder / 'metrics.json'}, report.md"
    if (folder / FILES[0]).is_file():
        files["curves"] = f"{folder / FILES[0]}, {FILES[1]}"
    return "\n".join(f"{what:<16} {where}" for what, where in files.items())


def next_commands(folder: Path, inputs: str = "IMAGES") -> str:
    """Return the commands that use a run, ready to paste.

    Args:
        folder: the run.
        inputs: inputs of ``visionzoo infer``, see :attr:`visionzoo.tasks.inputs.base.Input.usage`.

    Example:
        >>> print(next_commands(Path("work_dirs/my run")))
          visionzoo infer 'work_dirs/my run' IMAGES
          visionzoo test 'work_dirs/my run'
    """
    run = shlex.quote(str(folder))
    return f"  visionzoo infer {run} {inputs}\n  visionzoo test {run}"


def _usage(tasks: Sequence[str]) -> str:
    """Return the inputs of ``visionzoo infer`` for a task, or for the first one of several."""
    return task_of(tasks[0]).inputs.usage if tasks else "INPUTS"


def beginning(runner: ZooRunner, what: str) -> str:
    """Return what a training uses: model, device, seed, data, image size, batch size and length.

    Args:
        runner: a runner before its training.
        what: ``training NAME`` or ``dry run of NAME``.
    """
    loader = runner.train_dataloader
    val = runner.val_dataloader if runner.val_loop is not None else None
    data = counted(len(loader.dataset), "train sample") + (
        "" if val is None else f", {counted(len(val.dataset), 'val sample')}"
    )
    processes = f" x {runner.world_size} processes" if runner.world_size > 1 else ""
    batch = f"batch size {loader.batch_sampler.batch_size}{processes}"
    facts = [data, size_in_use(runner.cfg.to_dict()), batch, _length(runner.train_loop, len(loader))]
    return f"{what} on {runner.device} with seed {runner.seed}: {', '.join(filter(None, facts))}"


def _length(loop: Any, per_epoch: int) -> str:
    if isinstance(loop, EpochBasedTrainLoop):
        return f"{counted(loop.max_epochs, 'epoch')} of {counted(per_epoch, 'iteration')}"
    return f"{counted(loop.max_iters, 'iteration')} ({per_epoch:,} per epoch)"
