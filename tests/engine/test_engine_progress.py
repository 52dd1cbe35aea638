"""Parts that request it receive the training progress: in both loops, in two processes, and after a resume."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from visionzoo.config import load_config
from visionzoo.engine.testing import test as measure

TWO = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
TOLD = {"model.type": "ToldNet"}
ITERATIONS = {"train_cfg": dict(type="IterBasedTrainLoop", max_iters=11, val_interval=4)}
MID_EPOCH = {"default_hooks.checkpoint": dict(type="CheckpointHook", interval=3, by_epoch=False)}


def told(outcome: dict[str, Any]) -> list[float]:
    return torch.load(outcome["checkpoint"], weights_only=True)["state_dict"]["inner.0.told"].tolist()


def once_each(steps: int) -> list[float]:
    """Return the record in which every step of the run occurs once, with the total number of steps."""
    return [steps] * steps + [0] * (16 - steps)


@pytest.mark.parametrize(("options", "steps"), [({}, 12), (ITERATIONS, 11)])
def test_both_loops_report_every_step(options: dict[str, Any], steps: int, train_toy: Callable) -> None:
    assert told(train_toy("run", {**TOLD, **options})) == once_each(steps)


def test_accumulated_steps_count_as_iterations(train_toy: Callable) -> None:
    assert told(train_toy("run", {**TOLD, "optim_wrapper.accumulative_counts": 2})) == once_each(12)


@pytest.mark.parametrize(("options", "steps"), [({}, 12), (ITERATIONS, 11)])
def test_a_resumed_run_continues_counting(
    options: dict[str, Any], steps: int, train_toy: Callable, train_apart: Callable, tmp_path: Path
) -> None:
    options = {**TOLD, **MID_EPOCH, **options}
    death = {"model.die_at": 8, "model.marker": str(tmp_path / "died")}
    assert train_apart("killed", {**options, **death}) == -9
    assert told(train_toy("unused", options, resume=tmp_path / "killed")) == once_each(steps)


@pytest.mark.slow
def test_wrapped_models_receive_the_progress(toy_config: Path, command: Callable, tmp_path: Path) -> None:
    flags = ["-o", tmp_path / "two", "--json", "--cfg-options", "model.type='ToldNet'"]
    run = command("train.py", toy_config, *flags, launcher=TWO)
    assert run.returncode == 0, run.stderr
    assert told(json.loads(run.stdout)) == once_each(6)  # each process takes half of the batches


def test_measuring_reports_no_progress(toy_config: Path, train_toy: Callable, tmp_path: Path) -> None:
    done = train_toy("run", TOLD)
    options = {"quiet": True, "work_dir": tmp_path / "measured"}
    measured = measure(load_config(toy_config, options=TOLD), weights=done["checkpoint"], **options)
    assert measured["metrics"]["toy/acc"] == pytest.approx(done["metrics"]["toy/acc"], abs=1e-6)
    assert told(done) == once_each(12)
