"""Dry run: everything that training does before its second iteration, without writing a file."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, cast

from mmengine.model import BaseModel
from torch import Tensor

from visionzoo.engine.building import make_runner, training_parts
from visionzoo.engine.environment import note_to_user
from visionzoo.engine.hooks import loss_message
from visionzoo.engine.loaders import sample_names
from visionzoo.engine.model_errors import model_explained
from visionzoo.engine.plan import RunPlan
from visionzoo.engine.rates import rates_of_run
from visionzoo.engine.runner import ZooRunner
from visionzoo.engine.summary import beginning
from visionzoo.engine.workers import explained
from visionzoo.errors import RunFailed
from visionzoo.system.devices import peak_memory


def dry_run(plan: RunPlan) -> dict[str, Any]:
    """Build everything, load one batch, and run forward and backward. Leave no file and use no network.

    If each batch has one of several tasks, one batch of each task is run.

    Returns:
        ``samples`` (names), ``inputs`` (shapes; a list for several batches), ``losses`` (``loss`` is the sum of
        all batches), numbers of ``parameters`` and ``trainable`` parameters, names of trainable parameters
        ``without_gradient``, ``iterations`` of a full run, and peak ``memory_bytes``.

    Raises:
        RunFailed: the loss is NaN or infinite. The message names the losses and the samples of the batch.
    """
    with tempfile.TemporaryDirectory(prefix="visionzoo-dry-run-") as folder:
        runner = make_runner(plan, Path(folder), **training_parts(plan))
        try:
            note = note_to_user(plan.options)
            note(beginning(runner, f"dry run of {plan.name}"))
            with explained():
                outcome = _one_step(runner)
            if rates := rates_of_run(runner):
                note(rates)
        finally:
            runner.close()
    _tell(outcome, note)
    return outcome


def _one_step(runner: ZooRunner) -> dict[str, Any]:
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.scale_lr(runner.optim_wrapper, runner.auto_scale_lr)
    if runner.param_schedulers is not None:
        runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)
    if runner._val_loop is not None:
        runner._val_loop = runner.build_val_loop(runner._val_loop)
    for hook in runner.hooks:
        if hasattr(hook, "require_measured"):
            hook.require_measured(runner)
    loader = runner.train_dataloader
    loader.batch_sampler.start_at(0)
    bare = cast(BaseModel, runner.bare_model)
    names: list[str] = []
    inputs: list[Any] = []
    losses: dict[str, float] = {}
    for batch in islice(loader, _batches_of(runner)):
        data, logged = _backward(runner, batch)
        names += sample_names(batch)
        inputs.append(shapes(data))
        found = {name: float(value.detach()) for name, value in logged.items()}
        losses |= found | {"loss": losses.get("loss", 0.0) + found["loss"]}
    return {
        "samples": names,
        "inputs": inputs[0] if len(inputs) == 1 else inputs,
        "losses": losses,
        "parameters": sum(p.numel() for p in bare.parameters()),
        "trainable": sum(p.numel() for p in bare.parameters() if p.requires_grad),
        "without_gradient": [n for n, p in bare.named_parameters() if p.requires_grad and p.grad is None],
        "iterations": runner.max_iters,
        "memory_bytes": peak_memory(runner.device),
    }


def _batches_of(runner: ZooRunner) -> int:
    """Return the number of batches of a step: 1, or a round of batches if each of them has one task."""
    return int(getattr(runner.train_dataloader.batch_sampler.batches, "round", 1))


def _backward(runner: ZooRunner, batch: Any) -> tuple[Any, dict[str, Tensor]]:
    """Run one batch forward and backward, and return the inputs of the model and its losses.

    Raises:
        RunFailed: the loss is NaN or infinite.
    """
    model, bare = runner.model.train(), cast(BaseModel, runner.bare_model)
    with runner.optim_wrapper.optim_context(model), model_explained(batch):
        data = bare.data_preprocessor(batch, training=True)
        losses = model(**data, mode="loss") if isinstance(data, Mapping) else model(*data, mode="loss")
    loss, logged = bare.parse_losses(losses)
    if not math.isfinite(float(loss.detach())):
        raise RunFailed(loss_message("dry run", logged, sample_names(batch)))
    runner.optim_wrapper.backward(loss)
    return data, logged


def shapes(value: Any) -> Any:
    """Return nested lists and dicts with each tensor replaced by its shape, and other values by their type's name.

    Example:
        >>> import torch
        >>> shapes({"inputs": [torch.zeros(3, 4, 5)], "scale": 2.0})
        {'inputs': [[3, 4, 5]], 'scale': 'float'}
    """
    if isinstance(value, Tensor):
        return list(value.shape)
    if isinstance(value, Mapping):
        return {str(key): shapes(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [shapes(item) for item in value]
    return type(value).__name__


def _tell(found: dict[str, Any], note: Callable[[str], None]) -> None:
    losses = "  ".join(f"{name} {value:.4f}" for name, value in found["losses"].items())
    note(f"inputs      {found['inputs']}")
    note(f"losses      {losses}")
    note(f"parameters  {found['parameters']:,} ({found['trainable']:,} trainable)")
    if found["without_gradient"]:
        note(f"no gradient {', '.join(found['without_gradient'])}")
    note(f"iterations  {found['iterations']}")
    note(f"memory      {found['memory_bytes'] / 2**20:.0f} MiB")
    note("dry run: nothing was written")
