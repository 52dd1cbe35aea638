"""The end of a training shows the best weights, their numbers and the next commands, also after a resume."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from visionzoo.errors import RunFailed

# The value halves with every validation, so the first one is the greatest.
FIRST_IS_BEST = {
    "val_evaluator": [dict(type="ToyMetric"), dict(type="FallingMetric")],
    "default_hooks.checkpoint.save_best": "fall/MAE",
    "default_hooks.checkpoint.rule": "greater",
}
ITERATIONS = {
    "train_cfg": dict(type="IterBasedTrainLoop", max_iters=6, val_interval=2),
    "default_hooks.checkpoint": dict(
        type="CheckpointHook", interval=2, by_epoch=False, save_best="fall/MAE", rule="greater"
    ),
}

# A number of the toy config that stands for the side of its images.
SIZE = {"image_size": dict(size=(9, 9), paths=["train_dataloader.batch_size"])}


def written(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text())


@pytest.mark.parametrize(("options", "step", "total"), [({}, "epoch 1", 3), (ITERATIONS, "iteration 2", 6)])
def test_the_numbers_are_those_of_the_best_weights(
    options: dict, step: str, total: int, train_toy: Callable, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    done = train_toy("my run", {**FIRST_IS_BEST, **options}, quiet=False)
    shown = capsys.readouterr().err
    numbers = written(tmp_path / "my run")
    assert numbers["metrics"] == done["best_metrics"] != done["metrics"]
    assert (numbers["metrics"]["fall/MAE"], numbers["step"], numbers["weights"]) == (4.0, step, done["best"])
    assert len(numbers["per_class"]["score"]) == 3
    assert f"best: {step} of {total} by fall/MAE 4.0000, measured on 7 val samples\nfall/MAE " in shown
    assert shown.count("score by class") == 1
    assert f"visionzoo infer '{tmp_path}/my run' IMAGES\n  visionzoo test '{tmp_path}/my run'\n" in shown
    assert f"last checkpoint  {done['checkpoint']}" in shown
    assert "- selected by: fall/MAE" in (tmp_path / "my run" / "report.md").read_text()


def test_a_resumed_run_keeps_the_best_numbers(
    train_toy: Callable, train_apart: Callable, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    stop = {"model.die_at": 6, "model.signal_name": "SIGINT", "model.marker": str(tmp_path / "stopped")}
    assert train_apart("run", {**FIRST_IS_BEST, **stop}) == 130
    lower = {"val_evaluator": [dict(type="ToyMetric"), dict(type="FallingMetric", value=6.0)]}
    train_toy("unused", {**FIRST_IS_BEST, **lower}, resume=tmp_path / "run", quiet=False)
    numbers = written(tmp_path / "run")
    assert (numbers["metrics"]["fall/MAE"], numbers["step"]) == (4.0, "epoch 1")
    assert Path(numbers["weights"]).is_file()
    assert "best: epoch 1 of 3 by fall/MAE 4.0000" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"val_dataloader": None, "val_evaluator": None, "val_cfg": None}, "the config has no val_dataloader"),
        ({"default_hooks.checkpoint.save_best": None}, "save_best is off"),
    ],
)
def test_a_run_without_best_weights_states_the_reason(
    options: dict, reason: str, train_toy: Callable, capsys: pytest.CaptureFixture
) -> None:
    done = train_toy("run", options, quiet=False)
    shown = capsys.readouterr().err
    assert reason in shown.partition("best weights")[2].splitlines()[0]
    assert f"last checkpoint  {done['checkpoint']}" in shown
    assert done["best"] is None


def test_metrics_that_are_nan_are_reported(train_toy: Callable, capsys: pytest.CaptureFixture) -> None:
    nan = dict(type="FallingMetric", is_nan=True)
    save = {"default_hooks.checkpoint.save_best": "fall/MAE", "default_hooks.checkpoint.rule": "less"}
    done = train_toy("run", {"val_evaluator": nan, **save, "train_cfg.max_epochs": 1}, quiet=False)
    assert "expected finite metrics, found fall/MAE = nan" in capsys.readouterr().err
    assert done["best"] is None


def test_a_dry_run_with_a_nan_loss_fails(train_toy: Callable) -> None:
    broken = {"train_dataloader.dataset.broken": tuple(range(14))}
    with pytest.raises(RunFailed, match=r"dry run: expected a finite loss, found loss_cls = nan.*\.jpg") as failure:
        train_toy("run", broken, dry_run=True)
    assert failure.value.exit_code == 1


@pytest.mark.parametrize(
    ("dry", "options", "start", "facts"),
    [
        (True, {}, "dry run of toy", "batch size 4, 3 epochs of 4 iterations"),
        (False, {"train_cfg.max_epochs": 1}, "training toy", "batch size 4, 1 epoch of 4 iterations"),
        (True, {"train_cfg": ITERATIONS["train_cfg"]}, "dry run of toy", "batch size 4, 6 iterations (4 per epoch)"),
        (True, SIZE, "dry run of toy", "image size 4 x 4 (height x width), batch size 4, 3 epochs of 4 iterations"),
    ],
)
def test_the_first_line_states_what_is_used(
    dry: bool, options: dict, start: str, facts: str, train_toy: Callable, capsys: pytest.CaptureFixture
) -> None:
    train_toy("run", options, dry_run=dry, quiet=False)
    line = next(line for line in capsys.readouterr().err.splitlines() if line.startswith(start))
    data = "14 train samples, 7 val samples, "
    assert line == f"{start} on cpu with seed 0: {data}{facts}"


def test_paths_are_relative_to_the_current_folder(
    train_toy: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    train_toy("run", {"train_cfg.max_epochs": 1}, quiet=False)
    shown = capsys.readouterr().err
    assert "output: run\n" in shown
    assert "last checkpoint  run/epoch_1.pth\n" in shown
    assert "  visionzoo test run\n" in shown
    assert str(tmp_path) not in shown


def test_of_equal_scores_the_last_is_kept(train_toy: Callable) -> None:
    """A short run scores 0 in every epoch; the weights that learned longest are kept."""
    save = {"default_hooks.checkpoint.save_best": "toy/count", "default_hooks.checkpoint.rule": "greater"}
    assert "epoch_3" in Path(train_toy("run", save)["best"]).name
