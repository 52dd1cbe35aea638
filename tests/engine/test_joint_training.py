"""Training of several heads on one trunk: every weighting, resuming to the same bits, two processes, tests by task."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from joint_run import TASKS, joint_config, joint_train, write_config
from test_engine_resume import assert_same_run

from visionzoo.config import load_config
from visionzoo.engine.testing import test as measure
from visionzoo.engine.training import train
from visionzoo.errors import ConfigError

HERE = Path(__file__).resolve().parent
TWO = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
FIXED = dict(type="FixedWeights", weights=dict(counting=0.1))
UNCERTAIN = dict(type="UncertaintyWeighting", regression=["counting"])
GRADNORM, PCGRAD = dict(type="GradNorm", alpha=0.5), dict(type="PCGrad", seed=3)
RUNS: dict[str, tuple[dict[str, Any] | None, str]] = {
    "sum, in turn": (None, "in_turn"),
    "by hand, mixed": (FIXED, "mixed"),
    "uncertainty, in turn": (UNCERTAIN, "in_turn"),
    "uncertainty, mixed": (UNCERTAIN, "mixed"),
    "GradNorm, mixed": (GRADNORM, "mixed"),
    "PCGrad, mixed": (PCGRAD, "mixed"),
}


def resumed_copy(outcome: dict[str, Any], iteration: int, folder: Path) -> dict[str, Any]:
    """Resume a copy of a run from one of its checkpoints."""
    shutil.copytree(outcome["work_dir"], folder)
    for path in folder.glob("*.pth"):
        if path.name != f"iter_{iteration}.pth":
            path.unlink()
    return train(load_config(folder), resume=str(folder / f"iter_{iteration}.pth"), device="cpu", quiet=True)


@pytest.fixture(scope="module")
def in_turn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return joint_train(tmp_path_factory.mktemp("joint") / "in_turn", UNCERTAIN)


def test_validation_measures_every_task_and_one_selects_the_best_weights(in_turn: dict[str, Any]) -> None:
    assert {name.partition("/")[0] for name in in_turn["metrics"]} == set(TASKS)
    assert Path(in_turn["best"]).name == "best_saliency_MAE_iter_8.safetensors"
    assert {"losses.png", "metrics.png"} <= {path.name for path in Path(in_turn["work_dir"]).iterdir()}


def test_progress_names_the_task_of_each_number(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    joint_train(tmp_path / "run", options={"train_cfg.max_epochs": 2}, only=TASKS[:2], quiet=False)
    said = capsys.readouterr().err
    first = next(line for line in said.splitlines() if "validated" in line)
    assert re.findall(r"([a-z]+/\S+) [\d.]+", first)[:2] == ["saliency/MAE", "counting/MAE"]
    assert re.search(r"loss [\d.]+  saliency/MAE [\d.]+  lr", said)


def test_a_checkpoint_states_the_classes_of_each_task(in_turn: dict[str, Any]) -> None:
    meta = torch.load(in_turn["checkpoint"], weights_only=True)["meta"]["dataset_meta"]
    assert set(meta["tasks"]) == set(TASKS)
    assert len(meta["tasks"]["classification"]["classes"]) == 10


def test_the_learned_variances_differ_and_are_saved(in_turn: dict[str, Any]) -> None:
    state = torch.load(in_turn["checkpoint"], weights_only=True)["state_dict"]
    values = {state[f"loss_weighting.log_variances.{task}"].item() for task in TASKS}
    assert len(values) == 3
    assert 0.0 not in values


def test_a_run_resumes_in_mid_epoch_to_the_same_bits(in_turn: dict[str, Any], tmp_path: Path) -> None:
    again = resumed_copy(in_turn, 4, tmp_path / "again")
    assert_same_run(Path(in_turn["checkpoint"]), Path(again["checkpoint"]))
    assert again["metrics"] == in_turn["metrics"]


def test_a_test_measures_reports_and_draws_each_task(in_turn: dict[str, Any], tmp_path: Path) -> None:
    outcome = measure(load_config(in_turn["work_dir"]), work_dir=tmp_path / "test", quiet=True, report=True)
    assert outcome["metrics"] == pytest.approx(in_turn["metrics"])
    report = (tmp_path / "test" / "report.md").read_text()
    assert all(f"- data of {task}: tiny://" in report for task in TASKS)
    drawn = {path.name.partition("_")[0] for path in (tmp_path / "test" / "report").glob("*_worst_01_prediction.jpg")}
    assert drawn == set(TASKS)
    assert json.loads((tmp_path / "test" / "metrics.json").read_text())["samples"] == 12


@pytest.mark.parametrize("weighting", [UNCERTAIN, GRADNORM, PCGRAD], ids=lambda cfg: cfg["type"])
def test_mixed_precision_accumulation_and_clipping(weighting: dict[str, Any], tmp_path: Path) -> None:
    options = {"optim_wrapper.accumulative_counts": 2, "train_cfg.val_interval": 5, "val_dataloader": None}
    options |= {"val_evaluator": None, "val_cfg": None, "default_hooks.checkpoint.save_best": None}
    outcome = joint_train(tmp_path / "run", weighting, "mixed", options, amp=True)
    state = torch.load(outcome["checkpoint"], weights_only=True)["state_dict"]
    assert all(value.isfinite().all() for value in state.values())
    assert outcome["iter"] == 8
    other = torch.load(Path(outcome["work_dir"]) / "iter_2.pth", weights_only=True)["state_dict"]
    trained = {name.partition(".")[0] for name, value in state.items() if not torch.equal(value, other[name])}
    assert trained >= {"backbone", "heads", "loss_weighting"}


def test_a_dry_run_runs_a_batch_of_each_task(tmp_path: Path) -> None:
    path = write_config(tmp_path / "config.py", weighting=UNCERTAIN)
    outcome = train(load_config(path), dry_run=True, device="cpu", quiet=True)
    assert outcome["without_gradient"] == []
    assert len(outcome["inputs"]) == 3
    losses = outcome["losses"]
    assert {name.partition(".")[0] for name in losses} == {"loss", "weight", *TASKS}
    parts = {name: name.partition(".")[0] for name in losses if ".loss" in name}
    assert set(parts.values()) == set(TASKS)
    total = sum(losses[f"weight.{task}"] * losses[name] for name, task in parts.items())
    assert losses["loss"] == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize(("batch_size", "absent"), [(2, "counting, saliency, classification"), (1, "saliency")])
def test_a_batch_too_small_for_all_tasks_is_an_error_before_training(
    batch_size: int, absent: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="a batch with samples of all tasks") as error:
        joint_train(tmp_path / "run", PCGRAD, "mixed", {"train_dataloader.batch_size": batch_size})
    assert set(absent.split(", ")) <= set(str(error.value).replace(",", " ").replace(";", " ").split())
    assert not (tmp_path / "run").exists()


def test_a_sharded_model_refuses_gradients_of_the_trunk() -> None:
    from visionzoo.engine.wrappers import shard
    from visionzoo.models.wiring import build_model

    model = build_model(joint_config(GRADNORM)["model"])
    with pytest.raises(ConfigError, match="UncertaintyWeighting"):
        shard(model, torch.device("cpu"))


# --- slow: killed processes, two processes ---


def run_apart(folder: Path, settings: dict[str, Any], *launcher: str) -> subprocess.CompletedProcess:
    env = {**os.environ, "PYTHONPATH": str(HERE.parents[1]), "OMP_NUM_THREADS": "1"}
    line = [sys.executable, *launcher, str(HERE / "joint_run.py"), str(folder), json.dumps(settings)]
    return subprocess.run(line, capture_output=True, text=True, env=env, timeout=500)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_a_killed_run_resumes_to_the_same_bits(name: str, tmp_path: Path) -> None:
    weighting, mode = RUNS[name]
    whole = joint_train(tmp_path / "whole", weighting, mode)
    settings = dict(weighting=weighting, mode=mode)
    killed = run_apart(tmp_path / "killed", {**settings, "kill_at": 6})
    assert killed.returncode == -9, killed.stderr
    assert (tmp_path / "killed" / "iter_4.pth").exists()
    resumed = run_apart(tmp_path / "killed", {**settings, "resume": True})
    assert resumed.returncode == 0, resumed.stderr
    assert_same_run(Path(whole["checkpoint"]), tmp_path / "killed" / Path(whole["checkpoint"]).name)
    assert json.loads(resumed.stdout)["metrics"] == whole["metrics"]


# Batch statistics depend on the samples of a process, so the trunk has groups instead, and no head has statistics. All
# images have one size, because the statistics of groups depend on the padding of the batch of a process.
GROUPS = dict(
    type="mmdet.ResNet",
    depth=18,
    base_channels=16,
    out_indices=(0, 1, 2, 3),
    norm_cfg=dict(type="GN", num_groups=8),
    norm_eval=False,
)
WITHOUT_STATISTICS = {
    "model.backbone": GROUPS,
    "model.data_preprocessor.pad_size_divisor": 160,
    "train_cfg.max_epochs": 2,
    "optim_wrapper.optimizer": dict(type="SGD", lr=0.01),
    "default_hooks.checkpoint.save_best": None,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_two_processes_train_like_one_with_the_joined_batch(name: str, tmp_path: Path) -> None:
    weighting, mode = RUNS[name]
    settings = dict(weighting=weighting, mode=mode, only=["counting", "classification"])
    one = run_apart(tmp_path / "one", {**settings, "options": {**WITHOUT_STATISTICS, "train_dataloader.batch_size": 8}})
    assert one.returncode == 0, one.stderr
    options = {**WITHOUT_STATISTICS, "train_dataloader.batch_size": 4}
    two = run_apart(tmp_path / "two", {**settings, "options": options}, *TWO)
    assert two.returncode == 0, two.stderr
    first, second = (json.loads(each.stdout) for each in (one, two))
    states = [torch.load(each["checkpoint"], weights_only=True)["state_dict"] for each in (first, second)]
    for key, tensor in states[0].items():
        torch.testing.assert_close(
            tensor, states[1][key], rtol=2e-4, atol=2e-5, msg=lambda text, key=key: f"{key}: {text}"
        )
    assert second["metrics"] == pytest.approx(first["metrics"], abs=1e-3)


@pytest.mark.slow
def test_two_processes_resume_an_accumulation_whose_last_batch_lacks_a_task(tmp_path: Path) -> None:
    """Gradients of a head that the resumed iterations do not use are averaged too."""
    options = {"optim_wrapper.accumulative_counts": 2, "default_hooks.checkpoint.interval": 3}
    whole = run_apart(tmp_path / "whole", {"options": options}, *TWO)
    assert whole.returncode == 0, whole.stderr
    assert run_apart(tmp_path / "killed", {"options": options, "kill_at": 4}, *TWO).returncode != 0
    assert [path.name for path in (tmp_path / "killed").glob("iter_*.pth")] == ["iter_3.pth"]
    resumed = run_apart(tmp_path / "killed", {"options": options, "resume": True}, *TWO)
    assert resumed.returncode == 0, resumed.stderr
    name = Path(json.loads(whole.stdout)["checkpoint"]).name
    assert_same_run(tmp_path / "whole" / name, tmp_path / "killed" / name)
