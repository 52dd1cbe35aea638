"""A stopped and resumed run ends with the same bits as an uninterrupted one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from visionzoo.config import load_config
from visionzoo.engine import checkpoints
from visionzoo.engine.training import train
from visionzoo.engine.workdir import folder_to_resume
from visionzoo.errors import CheckpointError, ConfigError

ROOT = Path(__file__).resolve().parents[2]
ITERATIONS = {"train_cfg": dict(type="IterBasedTrainLoop", max_iters=11, val_interval=4)}
MID_EPOCH = {"default_hooks.checkpoint": dict(type="CheckpointHook", interval=3, by_epoch=False)}
INFINITE = {"train_dataloader.sampler": dict(type="InfiniteSampler", shuffle=True)}
BY_SHAPE = {"train_dataloader.batch_sampler": dict(type="mmdet.AspectRatioBatchSampler")}
FORKED = {"env_cfg.mp_cfg.mp_start_method": "fork"}
TWO_WORKERS = {"train_dataloader.num_workers": 2, "train_dataloader.persistent_workers": True}

# name -> options, and the iteration at which the process is killed
KILLED = {
    "epochs": ({}, 7),
    "epochs, checkpoint in mid-epoch": (MID_EPOCH, 8),
    "epochs by shape": ({**BY_SHAPE, **MID_EPOCH}, 6),
    "iterations": ({**ITERATIONS, **MID_EPOCH}, 8),
    "iterations of an endless stream": ({**ITERATIONS, **MID_EPOCH, **INFINITE}, 8),
    "unfinished accumulation": ({**MID_EPOCH, "optim_wrapper.accumulative_counts": 2}, 8),
    "averaged weights": ({"ema": True, **MID_EPOCH}, 8),
    "mixed precision": (MID_EPOCH, 5),
    "two workers": ({**TWO_WORKERS, **MID_EPOCH}, 8),
    "iterations, two forked workers": ({**FORKED, **TWO_WORKERS, **ITERATIONS, **MID_EPOCH, **INFINITE}, 8),
}


def as_flags(options: dict[str, Any]) -> list[str]:
    return [f"{key}={value!r}" for key, value in options.items()]


# The other cases repeat parts of these.
FAST = ("epochs, checkpoint in mid-epoch", "mixed precision", "iterations, two forked workers")


@pytest.mark.parametrize(
    "case", [case if case in FAST else pytest.param(case, marks=pytest.mark.slow) for case in KILLED]
)
def test_a_killed_run_resumes_to_the_same_bits(
    case: str, train_toy: Callable, train_apart: Callable, tmp_path: Path
) -> None:
    options, iteration = KILLED[case]
    amp = case == "mixed precision"
    whole = train_toy("whole", options, amp=amp, seed=3)
    death = {"model.die_at": iteration, "model.marker": str(tmp_path / "died")}
    folder = tmp_path / "killed"
    assert train_apart("killed", {**options, **death}, amp=amp, seed=3) == -9
    resumed = train_toy("unused", options, amp=amp, resume=folder)
    assert resumed["work_dir"] == str(folder)
    assert resumed["seed"] == 3  # the second command does not repeat the options
    assert_same_run(Path(whole["checkpoint"]), Path(resumed["checkpoint"]))
    assert resumed["metrics"] == whole["metrics"]
    assert Path(resumed["best"]).name == Path(whole["best"]).name


def assert_same_run(first: Path, second: Path) -> None:
    """Weights, averaged weights, optimizer, schedulers, random states and histories are equal bit for bit."""
    a, b = torch.load(first, weights_only=True), torch.load(second, weights_only=True)
    for key in ("state_dict", "ema_state_dict", "optimizer", "param_schedulers", "loop", "ranks", "hooks"):
        assert_equal(a.get(key), b.get(key), key)
    for name, history in a["message_hub"]["log_scalars"].items():
        if not name.endswith("time"):
            assert_equal(history, b["message_hub"]["log_scalars"][name], name)


def assert_equal(a: Any, b: Any, where: str) -> None:
    assert type(a) is type(b), where
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_equal(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b)):
            assert_equal(x, y, f"{where}[{i}]")
    else:
        assert a == b, where


def test_workers_change_nothing(train_toy: Callable) -> None:
    single = train_toy("alone")
    helped = train_toy("helped", {**TWO_WORKERS, **FORKED})
    assert_equal(weights(single), weights(helped), "state_dict")


def weights(outcome: dict[str, Any]) -> dict[str, torch.Tensor]:
    return torch.load(outcome["checkpoint"], weights_only=True)["state_dict"]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_killed_detector_resumes_to_the_same_bits(workers: int, tmp_path: Path) -> None:
    """The command is killed from outside in the middle of an epoch."""
    options = ["train_cfg.max_epochs=4", "train_cfg.val_interval=2", "default_hooks.checkpoint.interval=1"]
    options += [f"train_dataloader.num_workers={workers}", f"train_dataloader.persistent_workers={workers > 0}"]
    line = [
        sys.executable,
        str(ROOT / "tools" / "train.py"),
        "rcnet_retinanet",
        "--tiny",
        "-q",
        "--cfg-options",
        *options,
    ]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run([*line, "-o", whole], check=True)
    running = subprocess.Popen([*line, "-o", killed])
    while not (killed / "epoch_2.pth").exists() and running.poll() is None:
        time.sleep(0.02)
    time.sleep(0.5)
    running.kill()
    assert running.wait() == -9
    assert not (killed / "epoch_4.pth").exists()
    subprocess.run([*line, "--resume", killed], check=True)
    assert_same_run(whole / "epoch_4.pth", killed / "epoch_4.pth")


def test_another_seed_changes_the_weights(train_toy: Callable) -> None:
    first, second = weights(train_toy("first", seed=1)), weights(train_toy("second", seed=2))
    assert not torch.equal(first["stem.weight"], second["stem.weight"])


def test_validation_does_not_affect_training(train_toy: Callable) -> None:
    often = train_toy("often", {"train_cfg.val_interval": 1})
    once = train_toy("once", {"train_cfg.val_interval": 3})
    assert_equal(weights(often), weights(once), "state_dict")


@pytest.mark.parametrize(
    ("options", "signal_name"),
    [
        pytest.param({}, "SIGINT", id="epochs, SIGINT"),
        pytest.param({}, "SIGTERM", id="epochs, SIGTERM", marks=pytest.mark.slow),
        pytest.param(ITERATIONS, "SIGINT", id="iterations, SIGINT", marks=pytest.mark.slow),
        pytest.param(ITERATIONS, "SIGTERM", id="iterations, SIGTERM"),
    ],
)
def test_a_signal_saves_between_two_iterations(
    signal_name: str, options: dict, train_toy: Callable, train_apart: Callable, tmp_path: Path
) -> None:
    stop = {"model.die_at": 6, "model.signal_name": signal_name, "model.marker": str(tmp_path / "asked")}
    folder = tmp_path / "stopped"
    assert train_apart("stopped", {**options, **stop}) == 130
    assert (folder / "last_checkpoint").read_text().strip() == "iter_6.pth"
    resumed = train_toy("unused", options, resume=folder / "iter_6.pth")
    whole = train_toy("whole", options)
    assert_equal(weights(resumed), weights(whole), "state_dict")


def test_a_stopped_command_shows_how_to_resume(toy_config: Path, command: Callable, tmp_path: Path) -> None:
    stop = {"model.die_at": 6, "model.signal_name": "SIGINT", "model.marker": str(tmp_path / "asked")}
    folder = tmp_path / "stopped"
    flags = ["--allow-new", "--cfg-options", *as_flags(stop)]
    stopped = command("train.py", toy_config, "--work-dir", folder, *flags)
    assert stopped.returncode == 130, stopped.stderr
    assert f"visionzoo train --resume {folder}" in stopped.stderr


@pytest.mark.slow
def test_the_saved_config_repeats_the_run(train_toy: Callable, command: Callable, tmp_path: Path) -> None:
    first = train_toy("first", {"model.width": 6}, seed=3, accumulate=2)
    workers = ["--cfg-options", "train_dataloader.num_workers=2", "--allow-new"]
    again = command("train.py", tmp_path / "first" / "config.py", "--work-dir", tmp_path / "again", "-q", *workers)
    assert again.returncode == 0, again.stderr
    assert_same_run(Path(first["checkpoint"]), tmp_path / "again" / "epoch_3.pth")


def test_a_finished_run_can_be_made_longer(train_toy: Callable, tmp_path: Path) -> None:
    no_schedule = {"param_scheduler": None}
    train_toy("short", {**no_schedule, "train_cfg.max_epochs": 2})
    longer = train_toy("unused", {**no_schedule, "train_cfg.max_epochs": 3}, resume=tmp_path / "short")
    whole = train_toy("whole", {**no_schedule, "train_cfg.max_epochs": 3})
    assert_equal(weights(longer), weights(whole), "state_dict")


def test_nothing_to_resume_is_an_error(train_toy: Callable, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="found nothing; check the path"):
        train_toy("unused", resume=tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="expected a checkpoint to resume"):
        train_toy("unused", resume=tmp_path / "empty")
    with pytest.raises(CheckpointError, match="expected a run to resume, found none"):
        train_toy("unused", {"work_dir": str(tmp_path / "never")}, resume=True)


def test_resume_without_a_path_takes_the_newest_run(train_toy: Callable, tmp_path: Path) -> None:
    home = {"work_dir": str(tmp_path / "runs" / "toy")}
    first = train_toy("unused", home, work_dir=None)
    second = train_toy("unused", home, work_dir=None)
    assert [Path(run["work_dir"]).name for run in (first, second)] == ["toy", "toy-2"]
    assert train_toy("unused", home, resume=True)["work_dir"] == second["work_dir"]


def test_resume_without_a_run_lists_the_newest_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"write resume='FOLDER'; work_dirs has no run \(in "):
        folder_to_resume(True, None, None)
    for age, name in enumerate(["c", "my run", "a", "e", "d", "b"]):
        pointer = tmp_path / "work_dirs" / name / "last_checkpoint"
        pointer.parent.mkdir(parents=True)
        pointer.write_text("x")
        os.utime(pointer, (1_000 - age, 1_000 - age))
    newest = r"resume='work_dirs/c' \(the newest run\), or 'work_dirs/my run', work_dirs/a, work_dirs/e and 2 more"
    with pytest.raises(ConfigError, match=newest):
        folder_to_resume(True, None, None)


def test_resume_of_weights_or_of_another_model_is_an_error(train_toy: Callable) -> None:
    done = train_toy("done")
    with pytest.raises(CheckpointError, match=r"expected a checkpoint of a run.*: weights"):
        train_toy("unused", resume=done["best"])
    with pytest.raises(CheckpointError, match="expected the weights of this config's model"):
        train_toy("unused", {"model.width": 6}, resume=done["checkpoint"])
    with pytest.raises(CheckpointError, match="expected the state of this config's optimizer"):
        train_toy("unused", {"optim_wrapper.paramwise_cfg": dict(bias_lr_mult=2.0)}, resume=done["checkpoint"])
    with pytest.raises(ConfigError, match="leave it out"):
        train_toy("unused", resume=done["checkpoint"], work_dir="elsewhere")


def test_averaged_weights_are_not_dropped(train_toy: Callable) -> None:
    with_ema, without = train_toy("with", ema=True), train_toy("without")
    with pytest.raises(CheckpointError, match="expected a run with ema, found one without it"):
        train_toy("unused", resume=Path(with_ema["work_dir"]))
    saved = checkpoints.read_resumable(Path(without["checkpoint"]))
    note = checkpoints.require_same_averaging(saved, Path("a.pth"), has_ema=True)
    assert note == "a.pth: saved without ema, so the average begins with these weights"


CHANGES = [
    (["meta"], 3, "meta: expected facts by name, found 3"),
    (["meta", "epoch"], "1", "meta.epoch: expected a number of epochs, found '1'"),
    (["meta", "iter"], -1, "meta.iter: expected a number of iterations"),
    (["state_dict"], {}, "state_dict: expected tensors by name"),
    (["message_hub"], [], "message_hub: expected histories"),
    (["loop", "batch"], 0.5, "loop.batch: expected a number of batches, found 0.5"),
    (["loop", "stopped"], "x", "loop.stopped: expected True or False"),
    (["ranks"], [], "ranks: expected the state of each process"),
    (["ranks"], [{"random": {}, "gradients": {}}], "expected the state of this run, found a changed one"),
    (["optimizer"], {"state": 3}, "optimizer"),
]


def test_changed_checkpoints_are_refused(train_toy: Callable) -> None:
    whole = Path(train_toy("whole")["checkpoint"])
    changed = whole.with_name("changed.pth")
    for place, value, message in CHANGES:
        inner = saved = torch.load(whole, weights_only=True)
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = value
        torch.save(saved, changed)
        with pytest.raises(CheckpointError) as error:
            train_toy("unused", resume=changed)
        assert message in error.value.sentence


# --- options on top of a resumed run ---


def rates(folder: Path) -> dict[int, float]:
    lines = [json.loads(line) for line in (folder / "logs" / "scalars.json").read_text().splitlines()]
    return {line["step"]: line["lr"] for line in lines if "lr" in line and "loss" in line}


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"train_cfg.max_epochs": 6}, id="length", marks=pytest.mark.slow),
        pytest.param({"optim_wrapper.optimizer.lr": 0.02}, id="learning rate", marks=pytest.mark.slow),
        pytest.param({"train_cfg.max_epochs": 5, "train_dataloader.batch_size": 2}, id="length and batch size"),
        pytest.param({"train_dataloader.dataset.count": 26}, id="data"),
    ],
)
def test_a_resumed_run_continues_with_the_changed_schedule(
    train_toy: Callable, tmp_path: Path, options: dict[str, Any]
) -> None:
    """From the checkpoint on, the learning rates are those of a whole run with these options."""
    short = {"default_hooks.logger.interval": 1, "default_hooks.checkpoint.interval": 1}
    stopped = {**short, "train_cfg.max_epochs": 4, "param_scheduler": [dict(type="MultiStepLR", milestones=[1, 3])]}
    train_toy("run", stopped)
    for name in ("epoch_4.pth", "epoch_3.pth", "last_checkpoint"):
        (tmp_path / "run" / name).unlink()
    (tmp_path / "run" / "logs" / "scalars.json").unlink()
    loaded = load_config(tmp_path / "run", options=options)
    train(loaded, resume=tmp_path / "run" / "epoch_2.pth", quiet=True)
    train(load_config(tmp_path / "run"), work_dir=tmp_path / "whole", quiet=True)
    resumed, whole = rates(tmp_path / "run"), rates(tmp_path / "whole")
    assert set(resumed) < set(whole)
    length = 7 if any(path.startswith("train_dataloader") for path in options) else 4
    for step, rate in resumed.items():
        epoch = 2 + (step - 9) // length
        assert rate == pytest.approx(whole[epoch * length + 1 + (step - 9) % length]), step


def test_a_complete_run_is_stated_and_a_shorter_one_is_refused(train_toy: Callable, tmp_path: Path, capsys) -> None:
    train_toy("run")
    train(load_config(tmp_path / "run"), resume=tmp_path / "run")
    assert "all 3 epochs are done; a larger number of epochs continues" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="expected more than the 3 epochs that are done, found 2"):
        train(load_config(tmp_path / "run", options={"train_cfg.max_epochs": 2}), resume=tmp_path / "run", quiet=True)


def test_a_resume_that_fails_changes_no_file(train_toy: Callable, tmp_path: Path) -> None:
    train_toy("run")
    before = (tmp_path / "run" / "config.py").read_text()
    with pytest.raises(CheckpointError):
        train(load_config(tmp_path / "run", options={"model.width": 6}), resume=tmp_path / "run", quiet=True)
    assert (tmp_path / "run" / "config.py").read_text() == before
