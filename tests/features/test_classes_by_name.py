"""Classes are matched by name in train, val, test and weights: the same numbers, or one sentence and exit code 2."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from visionzoo.cli import main
from visionzoo.datasets.tiny import resolve_data_root

SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = resolve_data_root("tiny://coco?train=4&val=2&size=64")
    return Path(shutil.copytree(source, tmp_path_factory.mktemp("data") / "coco"))


@pytest.fixture(scope="module")
def renumbered(coco: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the same data with other category ids in the validation file."""
    folder = Path(shutil.copytree(coco, tmp_path_factory.mktemp("data") / "coco"))
    path = folder / "annotations" / "instances_val2017.json"
    content = json.loads(path.read_text())
    ids = {category["id"]: 90 - category["id"] for category in content["categories"]}
    for category in content["categories"]:
        category["id"] = ids[category["id"]]
    for annotation in content["annotations"]:
        annotation["category_id"] = ids[annotation["category_id"]]
    path.write_text(json.dumps(content))
    return folder


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    def run(command: str, config: str, data: Path, *options: str, where: str = "out") -> tuple[int, str]:
        roots = [f"{split}_dataloader.dataset.data_root={data}" for split in SPLITS]
        argv = [command, config, "--tiny", "--no-progress", "-o", str(tmp_path / where), "--cfg-options", *roots]
        code = main([*argv, *options])
        return code, capsys.readouterr().err

    return run


def numbers(folder: Path) -> dict[str, float]:
    return json.loads((folder / "metrics.json").read_text())["metrics"]


def test_val_and_test_follow_the_classes_of_training(
    run: Callable, coco: Path, renumbered: Path, tmp_path: Path
) -> None:
    """A validation file that numbers the same classes otherwise gives the same numbers, to the bit."""
    brief = ("train_cfg.max_epochs=1", "train_cfg.val_interval=1")
    for where, data in (("one", coco), ("two", renumbered)):
        assert run("train", "rcnet_retinanet", data, *brief, where=where)[0] == 0
    assert numbers(tmp_path / "two") == numbers(tmp_path / "one")
    code, said = run("test", "rcnet_retinanet", renumbered, "--weights", str(tmp_path / "one"), where="tested")
    assert code == 0
    assert said.count("classes are numbered as in the weights") == 1
    assert numbers(tmp_path / "tested") == numbers(tmp_path / "one")


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_another_class_in_val_is_one_sentence_before_anything_is_built(
    run: Callable, tmp_path: Path, options: tuple[str, ...]
) -> None:
    from PIL import Image

    for path in ("train/ant", "train/bee", "other/bee", "other/dog"):
        (tmp_path / path).mkdir(parents=True)
        Image.new("RGB", (32, 32)).save(tmp_path / path / "0.png")
    sets = [f"{split}_dataloader.dataset.{key}=other" for split in ("val", "test") for key in ("split", "classes_from")]
    code, said = run("train", "dinat_mini_imagenet", tmp_path, *sets, *options)
    assert code == 2
    assert said.startswith("error: val_dataloader.dataset")
    assert "(ant, bee), found 'dog'; " in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "out").exists()
