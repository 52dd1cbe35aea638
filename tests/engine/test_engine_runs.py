"""Everything in a run except learning: its folder, its options, its messages."""

from __future__ import annotations

import json
import multiprocessing
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from visionzoo.config import load_config
from visionzoo.engine.testing import test as measure
from visionzoo.engine.training import train
from visionzoo.errors import CheckpointError, ConfigError, DataError, OutputError, RunFailed


def state(outcome: dict) -> dict:
    return torch.load(outcome["checkpoint"], weights_only=True)


# --- the folder ---


def test_everything_is_in_the_work_dir(train_toy: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    done = train_toy("run", {"default_hooks.checkpoint.max_keep_ckpts": 2}, command=["visionzoo", "train", "toy"])
    assert list(elsewhere.iterdir()) == []
    folder = Path(done["work_dir"])
    best = Path(done["best"]).name
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [
            best,
            "config.py",
            "epoch_2.pth",
            "epoch_3.pth",
            "last_checkpoint",
            "logs",
            "losses.png",
            "metrics.json",
            "metrics.png",
            "report.md",
            "run.json",
        ]
    )
    assert sorted(path.name for path in (folder / "logs").iterdir()) == ["scalars.json", "train.log"]
    run = json.loads((folder / "run.json").read_text())
    assert run["seed"] == 0
    assert run["command"] == ["visionzoo", "train", "toy"]
    assert {"python", "torch", "visionzoo", "onedl-mmengine"} <= set(run["versions"])
    lines = [json.loads(line) for line in (folder / "logs" / "scalars.json").read_text().splitlines()]
    assert any("loss" in line for line in lines)
    assert any("toy/acc" in line for line in lines)


def test_best_weights_are_safetensors_with_their_classes(train_toy: Callable) -> None:
    done = train_toy("run", {"train_cfg.val_interval": 3})
    with safe_open(done["best"], framework="pt") as file:
        meta = json.loads(file.metadata()["meta"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    assert meta["dataset_meta"]["classes"] == ["a", "b", "c"]
    assert meta["epoch"] == 3
    assert meta["toy/acc"] == done["metrics"]["toy/acc"]
    for name, tensor in state(done)["state_dict"].items():
        assert torch.equal(tensor, tensors[name]), name


def test_a_used_folder_gets_a_number_or_is_cleaned(train_toy: Callable, tmp_path: Path) -> None:
    first = train_toy("run")
    mine = tmp_path / "run" / "notes.txt"
    mine.write_text("keep me")
    assert Path(train_toy("run")["work_dir"]).name == "run-2"
    again = train_toy("run", {"train_cfg.max_epochs": 1}, overwrite=True)
    assert again["work_dir"] == first["work_dir"]
    assert sorted(path.name for path in (tmp_path / "run").glob("epoch_*")) == ["epoch_1.pth"]
    assert len(list((tmp_path / "run").glob("best_*"))) == 1
    assert mine.read_text() == "keep me"


def test_an_unwritable_folder_is_an_error_before_training(train_toy: Callable, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="file/run: expected a place that can be written"):
        train_toy("run", work_dir=tmp_path / "file" / "run")


# --- options ---


def test_averaged_weights_are_saved_and_measured(train_toy: Callable) -> None:
    done = train_toy("run", ema=True)
    saved = state(done)
    averaged, trained = saved["state_dict"]["stem.weight"], saved["ema_state_dict"]["module.stem.weight"]
    assert not torch.equal(averaged, trained)
    with safe_open(train_toy("again", ema=True)["best"], framework="pt") as file:
        assert set(file.keys()) == set(saved["state_dict"])


def test_accumulating_two_batches_steps_half_as_often(train_toy: Callable, capsys: pytest.CaptureFixture) -> None:
    done = train_toy("run", accumulate=2, quiet=False)
    assert "for 8 samples per step" in capsys.readouterr().err
    assert done["iter"] == 12


def test_mixed_precision_casts_on_a_cpu(train_toy: Callable) -> None:
    plain, mixed = train_toy("plain"), train_toy("mixed", amp=True)
    difference = (state(plain)["state_dict"]["stem.weight"] - state(mixed)["state_dict"]["stem.weight"]).abs().max()
    assert 0 < difference < 0.1
    assert state(mixed)["state_dict"]["stem.weight"].dtype == torch.float32


def test_frozen_parts_stay_and_the_rest_learns(train_toy: Callable) -> None:
    start = state(train_toy("start", {"train_cfg.max_epochs": 1, "optim_wrapper.optimizer.lr": 0.0}))["state_dict"]
    done = state(train_toy("run", {"freeze": ["stem", "norm.*"]}))["state_dict"]
    for name in ("stem.weight", "stem.bias", "norm.weight"):
        assert torch.equal(start[name], done[name]), name
    assert torch.equal(done["norm.running_mean"], torch.zeros(4))
    assert not torch.equal(start["bbox_head.weight"], done["bbox_head.weight"])


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (["stam"], "found 'stam'; did you mean stem"),
        (["xyz*"], "parts are"),
        (["stem", "norm", "bbox_head"], "found every parameter frozen"),
    ],
)
def test_freezing_nothing_or_everything_is_an_error(train_toy: Callable, patterns: list, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        train_toy("run", {"freeze": patterns})


def test_the_learning_rate_follows_the_batch(train_toy: Callable, capsys: pytest.CaptureFixture) -> None:
    done = train_toy("run", {"auto_scale_lr.enable": True, "param_scheduler": None}, quiet=False)
    assert "learning rate 0.0125 for 4 samples per step = 0.1 x 0.125, written for 32" in capsys.readouterr().err
    assert state(done)["optimizer"]["param_groups"][0]["lr"] == pytest.approx(0.0125)


def test_early_stopping_stops(train_toy: Callable) -> None:
    stop = dict(monitor="toy/acc", rule="greater", patience=1, min_delta=2.0)
    done = train_toy("run", {"early_stopping": stop, "train_cfg.max_epochs": 9})
    assert done["epoch"] == 2
    assert (
        train_toy("unused", {"early_stopping": stop, "train_cfg.max_epochs": 9}, resume=done["work_dir"])["epoch"] == 2
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"early_stopping": dict(monitor="toy/none", rule="greater")}, "choose one of toy/acc, toy/count"),
        ({"early_stopping": dict(patience=2)}, "found no monitor"),
        ({"early_stopping": dict(monitor="toy/acc", pateince=2)}, "pateince"),
        ({"ema": dict(momentom=0.1)}, "momentom"),
        ({"default_hooks.checkpoint.save_best": "toy/none", "default_hooks.checkpoint.rule": "less"}, "save_best"),
        (
            {"train_dataloader.drop_last": True, "train_dataloader.batch_size": 20},
            "use batch_size=1",
        ),
    ],
)
def test_settings_that_cannot_work_are_named(train_toy: Callable, options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        train_toy("run", options)


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ({"device": "cuda:9"}, "device"),
        ({"device": "gpu"}, "device"),
        ({"accumulate": 0}, "accumulate"),
        ({"max_samples": 0}, "max_samples"),
        ({"strategy": "fsdp", "ema": True}, "averaged weights"),
    ],
)
def test_flags_that_cannot_work_are_named(train_toy: Callable, run: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        train_toy("run", **run)


@pytest.mark.parametrize("batch_size", [8, 15, 20])
def test_a_batch_is_not_larger_than_the_data(
    toy_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture, batch_size: int
) -> None:
    own = tmp_path / "own.py"
    loader = f"train_dataloader = dict(batch_size={batch_size}, drop_last=True)"
    own.write_text(f"_base_ = ['{toy_config}']\n{loader}\ntrain_cfg = dict(max_epochs=2)\n")
    assert train(load_config(own), work_dir=tmp_path / "run")["iter"] == 2
    told = f"batch size {batch_size} -> 14 (all samples)" in capsys.readouterr().err
    assert told == (batch_size > 14)
    assert f"batch_size={batch_size}" in (tmp_path / "run" / "config.py").read_text()


def test_one_process_has_nothing_to_shard(train_toy: Callable) -> None:
    assert train_toy("run", strategy="fsdp")["iter"] == 12


def test_max_samples_limits_every_split(train_toy: Callable) -> None:
    done = train_toy("run", max_samples=5)
    assert done["iter"] == 6
    assert done["metrics"]["toy/count"] == 5
    assert train_toy("more", max_samples=500)["iter"] == 12


def test_the_limit_of_samples_is_not_part_of_the_saved_config(train_toy: Callable) -> None:
    folder = train_toy("run", {"train_cfg.max_epochs": 1}, max_samples=5)["work_dir"]
    assert "indices" not in Path(folder, "config.py").read_text()
    assert train(load_config(folder), quiet=True, work_dir=f"{folder}-again")["iter"] == 4


@pytest.mark.parametrize(("limit", "iterations"), [(None, 6), (9, 8)])
def test_a_resumed_run_keeps_its_limit_of_samples(
    train_toy: Callable, capsys: pytest.CaptureFixture, limit: int | None, iterations: int
) -> None:
    folder = Path(train_toy("run", {"train_cfg.max_epochs": 1}, max_samples=5)["work_dir"])
    train_toy("", {"train_cfg.max_epochs": 2}, resume=folder, max_samples=limit)
    capsys.readouterr()
    assert train_toy("", resume=folder, quiet=False)["iter"] == iterations
    assert f"max_samples={limit or 5}: as before in this run" in capsys.readouterr().err


def test_a_disagreeing_class_count_is_an_error() -> None:
    loaded = load_config("rcnet_retinanet", tiny=True, options={"model.bbox_head.num_classes": 7})
    with pytest.raises(ConfigError, match="expected the data set's 3 classes, found 7"):
        train(loaded, dry_run=True, quiet=True)


def test_an_empty_data_set_is_an_error(train_toy: Callable) -> None:
    with pytest.raises(DataError, match=r"train_dataloader\.dataset: expected at least one sample"):
        train_toy("run", {"train_dataloader.dataset.count": 0})


# --- weights to start from ---


def test_training_starts_from_weights(train_toy: Callable) -> None:
    first = train_toy("first")
    second = train_toy("second", {"optim_wrapper.optimizer.lr": 0.0}, weights=first["work_dir"])
    assert torch.equal(state(first)["state_dict"]["stem.weight"], state(second)["state_dict"]["stem.weight"])


def test_weights_that_fail_leave_no_folder_and_spare_an_old_run(train_toy: Callable, tmp_path: Path) -> None:
    for weights in (tmp_path / "absent.pth", tmp_path):
        with pytest.raises(CheckpointError):
            train_toy("new", weights=weights)
    assert not (tmp_path / "new").exists()
    old = train_toy("old")
    with pytest.raises(CheckpointError):
        train_toy("old", weights=tmp_path / "absent.pth", overwrite=True)
    assert Path(old["checkpoint"]).is_file()
    assert Path(old["best"]).is_file()


def test_other_classes_suggest_what_to_ignore(train_toy: Callable) -> None:
    first = train_toy("first")
    with pytest.raises(CheckpointError, match="ignore="):
        train_toy("second", {"model.num_classes": 5}, weights=first["best"])
    assert train_toy("third", {"model.num_classes": 5}, weights=first["best"], ignore=["bbox_head.*"])["epoch"] == 3


# --- failures ---


def test_a_loss_that_is_not_a_number_stops_the_run(train_toy: Callable, tmp_path: Path) -> None:
    done = train_toy("run", {"train_cfg.max_epochs": 1})
    before = {path: path.read_bytes() for path in (tmp_path / "run").glob("*.pth")}
    broken = {"train_dataloader.dataset.broken": (2,), "train_dataloader.sampler.shuffle": False}
    with pytest.raises(RunFailed, match=r"iteration 5: expected a finite loss.*loss_cls = nan.*002\.jpg") as failure:
        train_toy("unused", {**broken, "train_cfg.max_epochs": 3}, resume=done["work_dir"])
    assert failure.value.exit_code == 1
    assert {path: path.read_bytes() for path in (tmp_path / "run").glob("*.pth")} == before


def test_a_dry_run_leaves_no_trace(train_toy: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))  # torch makes this folder when a process first trains
    outcome = train_toy("run", dry_run=True, work_dir=None)
    assert outcome["inputs"]["inputs"] == [[3, 8, 6]] * 4
    assert outcome["losses"]["loss"] > 0
    assert outcome["without_gradient"] == []
    assert list(home.iterdir()) == []
    assert list(temporary.iterdir()) == []
    assert not (tmp_path / "run").exists()


# --- measuring ---


def test_measuring_returns_the_validated_numbers(train_toy: Callable, toy_config: Path, tmp_path: Path) -> None:
    done = train_toy("run", {"train_cfg.val_interval": 3})
    outcome = measure(load_config(toy_config), weights=done["work_dir"], quiet=True)
    assert outcome["weights"] == done["best"]
    assert outcome["work_dir"] == str(Path(done["work_dir"]) / "test")
    assert outcome["metrics"] == pytest.approx(done["metrics"])
    written = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert written["metrics"] == pytest.approx(done["metrics"])
    assert len(written["per_class"]["score"]) == 3
    report = (tmp_path / "run" / "report.md").read_text()
    assert "| toy/acc |" in report
    assert "score by class" in report
    apart = measure(load_config(toy_config), weights=done["best"], work_dir=tmp_path / "apart", quiet=True)
    assert apart["work_dir"] == str(tmp_path / "apart")


def test_measuring_needs_weights_that_fit(train_toy: Callable, toy_config: Path, tmp_path: Path) -> None:
    done = train_toy("run", {"train_cfg.max_epochs": 1})
    with pytest.raises(CheckpointError):
        measure(load_config(toy_config, options={"model.width": 6}), weights=done["best"], quiet=True)
    with pytest.raises(CheckpointError, match=r"absent\.pth"):
        measure(load_config(toy_config), weights=tmp_path / "absent.pth", quiet=True)
    with pytest.raises(
        ConfigError, match=r"^weights: expected a checkpoint or the folder of a run, found none; add weights='PATH'"
    ):
        measure(load_config(toy_config), quiet=True)
    with pytest.raises(ConfigError, match=r"^tta: expected tta_model and tta_pipeline, found none; add both"):
        measure(load_config(toy_config), weights=done["best"], tta=True, quiet=True)
    half = load_config(toy_config)
    half.cfg.tta_pipeline = []
    with pytest.raises(ConfigError, match="found only tta_pipeline; add both"):
        measure(half, weights=done["best"], tta=True, quiet=True)


def test_a_run_has_one_source_of_weights(train_toy: Callable) -> None:
    with pytest.raises(ConfigError, match=r"^weights: expected only one of weights and resume, found both; remove"):
        train_toy("run", weights="a.pth", resume="b")


def test_the_commands_print_only_json_on_stdout(
    toy_config: Path, command: Callable[..., subprocess.CompletedProcess], tmp_path: Path
) -> None:
    trained = command("train.py", toy_config, "--json", "--no-progress", "-o", tmp_path / "run")
    assert trained.returncode == 0, trained.stderr
    assert json.loads(trained.stdout)["epoch"] == 3
    assert "eta" in trained.stderr
    assert "seed 0" in trained.stderr
    tested = command("test.py", toy_config, "--weights", tmp_path / "run", "--json", "-q")
    assert tested.returncode == 0
    assert tested.stderr == ""
    assert json.loads(tested.stdout)["metrics"]["toy/count"] == 7


def test_no_worker_outlives_its_run(train_toy: Callable) -> None:
    workers = {"train_dataloader.num_workers": 2, "train_dataloader.persistent_workers": True}
    before = set(multiprocessing.active_children())
    train_toy("run", workers)
    assert set(multiprocessing.active_children()) <= before
