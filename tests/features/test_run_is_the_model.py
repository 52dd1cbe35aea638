"""The folder of a run is a model: test, infer, resume, fine-tune and Python use it, also renamed and from elsewhere."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import visionzoo
from visionzoo.cli import main
from visionzoo.config import load_config
from visionzoo.datasets.tiny import resolve_data_root

SPLITS = ("train", "val", "test")
MINE = ("model.neck.out_channels=48", "optim_wrapper.optimizer.lr=0.003", "train_cfg.max_epochs=1")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = resolve_data_root("tiny://coco?train=4&val=2&size=64")
    return Path(shutil.copytree(source, tmp_path_factory.mktemp("data") / "coco"))


@pytest.fixture(scope="module")
def other_data(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the same images with two classes of other names."""
    folder = Path(shutil.copytree(data, tmp_path_factory.mktemp("data") / "coco"))
    for path in folder.glob("annotations/*.json"):
        content = json.loads(path.read_text())
        content["categories"] = [{"id": 1, "name": "round"}, {"id": 2, "name": "pointed"}]
        for annotation in content["annotations"]:
            annotation["category_id"] = min(annotation["category_id"], 2)
        path.write_text(json.dumps(content))
    return folder


def roots(folder: Path) -> list[str]:
    return [f"{split}_dataloader.dataset.data_root={folder}" for split in SPLITS]


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the renamed folder of a run with changed options and own data."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    argv = ["train", "rcnet_retinanet", "--tiny", "-q", "-o", str(folder), "--cfg-options", *roots(data), *MINE]
    assert main(argv) == 0
    return folder.rename(folder.with_name("renamed"))


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def call(*argv: str | Path, code: int = 0) -> str:
        found = main([str(word) for word in argv])
        said = capsys.readouterr().err
        assert found == code, said
        return said

    return call


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "run"))


def test_saved_config_holds_the_choice_and_nothing_derived(run: Path, data: Path) -> None:
    cfg = load_config(run).cfg
    assert cfg.model.neck.out_channels == 48
    assert cfg.optim_wrapper.optimizer.lr == 0.003
    assert cfg.train_dataloader.dataset.data_root == str(data)
    text = (run / "config.py").read_text()
    assert not any(word in text for word in ("num_classes", "in_channels", "strides", "renamed", "first"))


def test_the_folder_is_tested_and_inferred(copy: Path, data: Path, call: Callable, tmp_path: Path) -> None:
    assert "exists, so" not in call("test", copy)
    assert f"{copy}/test exists, so the results go to {copy}/test-2; --overwrite replaces it\n" in call("test", copy)
    assert {path.name for path in copy.iterdir()} >= {"test", "test-2"}
    numbers = [json.loads((copy / name / "metrics.json").read_text()) for name in ("test", "test-2")]
    assert numbers[0]["metrics"] == numbers[1]["metrics"]
    call("infer", copy, data / "val2017", "-o", copy / "mine", "--overwrite")
    assert (copy / "mine" / "predictions.jsonl").is_file()
    said = call("infer", copy, data / "val2017", "-o", tmp_path / "out")
    assert "2 of 2 images done" in said
    assert len((tmp_path / "out" / "predictions.jsonl").read_text().splitlines()) == 2


def test_options_on_top_are_applied_and_stated(copy: Path, data: Path, call: Callable, tmp_path: Path) -> None:
    said = call("test", copy, "--cfg-options", "model.test_cfg.max_per_img=1")
    assert "changed: model.test_cfg.max_per_img=1" in said
    assert len(said.splitlines()) < 10


def test_the_config_of_the_run_wins_over_its_released_name(copy: Path, data: Path, call: Callable) -> None:
    said = call("train", "rcnet_retinanet", "--tiny", "--weights", copy, "--dry-run", code=2)
    assert f"expected the model of {copy}" in said
    assert "model.neck.out_channels" in said
    assert f"`visionzoo train --weights {copy}`" in said
    same = ("--cfg-options", "model.neck.out_channels=48")
    said = call("train", "rcnet_retinanet", "--tiny", "--weights", copy, "--dry-run", *same)
    assert f"{copy}/config.py is used instead of configs/rcnet_retinanet.py" in said
    assert "train_cfg.max_epochs" in said or "more" in said


def test_another_config_with_the_same_model_keeps_its_own_settings(copy: Path, call: Callable, tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(f"_base_ = ['{copy}']\nval_evaluator = dict(iou_thrs=[0.5])\n")
    said = call("train", mine, "--weights", copy, "--dry-run")
    assert f"is used with the weights of {copy}" in said
    unused = f"{copy}: its config is used, not its weights; --weights {copy} starts from them"
    assert unused not in said
    assert unused in call("train", mine, "--dry-run")


def test_a_resumed_run_keeps_its_settings(copy: Path, data: Path, call: Callable) -> None:
    said = call("train", "--resume", copy, "--cfg-options", "train_cfg.max_epochs=2")
    assert "changed: train_cfg.max_epochs=2" in said
    cfg = load_config(copy).cfg
    assert (cfg.train_cfg.max_epochs, cfg.optim_wrapper.optimizer.lr) == (2, 0.003)
    assert (copy / "epoch_2.pth").is_file()


def test_fine_tuning_on_other_classes_needs_no_more_than_weights_and_data(
    copy: Path, other_data: Path, call: Callable, tmp_path: Path
) -> None:
    new = tmp_path / "new"
    said = call("train", "--weights", copy, "-o", new, "--cfg-options", *roots(other_data))
    assert "expected the classes of the data (round, pointed), found disc, triangle, star; 2 tensors start" in said
    model = visionzoo.get_model(new)
    assert model.dataset_meta["classes"] == ("round", "pointed")
    assert model.bbox_head.num_classes == 2


def test_a_resumed_run_on_other_classes_is_refused_with_the_command_that_works(
    copy: Path, other_data: Path, call: Callable
) -> None:
    said = call("train", "--resume", copy, "--data", other_data, code=2)
    assert f"start from the weights of the run: visionzoo train --weights {copy} --data DIR" in said


def test_python_takes_the_folder(run: Path) -> None:
    trained, untrained = visionzoo.get_model(run), visionzoo.get_model(run, weights="none")
    state = trained.state_dict()
    name = next(key for key in state if key.startswith("neck") and state[key].ndim == 4)
    assert trained.dataset_meta["classes"] == ("disc", "triangle", "star")
    assert not np.array_equal(state[name], untrained.state_dict()[name])
    (prediction,) = visionzoo.Inferencer(run, device="cpu")([np.zeros((40, 56, 3), np.uint8)])
    assert prediction.size == (56, 40)


def test_the_folder_works_from_another_place(copy: Path, call: Callable, monkeypatch, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    call("test", os.path.relpath(copy))
    assert (copy / "test" / "metrics.json").is_file()


def test_a_folder_that_is_in_use_is_not_touched(copy: Path, call: Callable) -> None:
    from visionzoo.system.locks import locked

    before = {path: path.stat().st_mtime_ns for path in copy.rglob("*")}
    with locked(copy, "a training"):
        said = call("train", "--resume", copy, "--cfg-options", "train_cfg.max_epochs=2", code=2)
        assert "expected a folder that no other run uses, found a training on" in said
        call("train", copy, "-o", copy, "--overwrite", code=2)
    assert {path: path.stat().st_mtime_ns for path in copy.rglob("*")} == before


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("train",), "config: expected a config's name, a file or the folder of a run, found none"),
        (("train", "--resume"), "--resume: expected the folder of a run, found none"),
        (("train", "--resume", "work_dirs/none"), "work_dirs/none: expected"),
        (("test", "EMPTY"), "expected the folder of a run, with a config.py, found a folder without it"),
        (("test", "rcnet_retinanet", "--tiny"), "--weights: expected a checkpoint or the folder of a run, found none"),
    ],
)
def test_a_missing_run_is_one_sentence(argv: tuple[str, ...], says: str, call: Callable, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    said = call(*(tmp_path / "empty" if word == "EMPTY" else word for word in argv), code=2)
    assert says in said
    assert len(said.splitlines()) == 1
