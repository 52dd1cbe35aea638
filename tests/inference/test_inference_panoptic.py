"""Panoptic, instance and semantic models from training to files. Files evaluated again give the numbers of the test."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from visionzoo.cli.eval import main as evaluate
from visionzoo.cli.infer import main as infer
from visionzoo.cli.test import main as run_test
from visionzoo.cli.train import main as train
from visionzoo.datasets.panoptic.id_png import read_id_png
from visionzoo.datasets.tiny import resolve_data_root

STEPS = 80


def trained(name: str, folder: Path, steps: int) -> Path:
    """Train the tiny variant and return the folder of the run."""
    run = folder / name
    options = [f"train_cfg.max_iters={steps}", f"train_cfg.val_interval={steps}"]
    assert train([name, "--tiny", "-q", "--work-dir", str(run), "--cfg-options", *options]) == 0
    return run


@pytest.fixture(scope="module")
def panoptic_run(tmp_path_factory):
    return trained("mask2former_r50_coconut", tmp_path_factory.mktemp("runs"), STEPS)


def numbers_in(folder: Path) -> dict[str, float]:
    """Return the numbers that a command wrote into a folder."""
    return json.loads((folder / "metrics.json").read_text())["metrics"]


def numbers_and_files(run: Path, folder: Path, images: Path) -> tuple[dict[str, float], Path]:
    """Test a run and predict the images of its data set. Return the numbers and the folder of the files."""
    assert run_test([str(run), "-q", "--work-dir", str(folder / "test")]) == 0
    assert infer([str(run), str(images), "-o", str(folder / "out"), "--vis", "overlay", "-q"]) == 0
    assert len(list((folder / "out" / "vis").iterdir())) == 8
    return numbers_in(folder / "test"), folder / "out"


def test_panoptic_files_evaluated_again_give_the_numbers_of_the_test(panoptic_run, tmp_path):
    root = resolve_data_root("tiny://coconut?train=64&val=8&seed=0")
    tested, out = numbers_and_files(panoptic_run, tmp_path, root / "val2017")
    paths = ["--gt", str(root / "relabeled_coco_val.json"), "--pred", str(out / "panoptic.json")]
    assert evaluate(["panoptic", "-q", *paths, "-o", str(tmp_path / "scores")]) == 0
    assert numbers_in(tmp_path / "scores") == tested
    assert tested["pq/PQ_stuff"] > 0.3


def test_semantic_files_evaluated_again_give_the_numbers_of_the_test(tmp_path):
    root = resolve_data_root("tiny://ade20k?train=64&val=8&seed=0")
    run = trained("dinat_upernet_ade20k", tmp_path, STEPS)
    tested, out = numbers_and_files(run, tmp_path, root / "images" / "validation")
    names = out / "semantic" / "classes.txt"
    assert names.read_text().split() == ["disc", "square", "triangle", "sky", "grass"]
    paths = ["--gt", str(root / "annotations/validation"), "--pred", str(out / "semantic"), "--classes", str(names)]
    options = ["--reduce-zero-label", "--definition", "mmseg"]
    assert evaluate(["semantic", "-q", *paths, *options, "-o", str(tmp_path / "scores")]) == 0
    assert numbers_in(tmp_path / "scores") == tested
    assert tested["sem/pACC"] > 0.5


def test_the_document_describes_the_id_maps(panoptic_run, tmp_path):
    root = resolve_data_root("tiny://coconut?train=64&val=8&seed=0")
    grey = tmp_path / "in" / "sub" / "dog.png"
    grey.parent.mkdir(parents=True)
    Image.open(next((root / "val2017").iterdir())).convert("L").save(grey)
    (tmp_path / "in" / "broken.jpg").write_bytes(b"no image")
    out = tmp_path / "out"
    assert infer([str(panoptic_run), str(tmp_path / "in"), "-r", "-o", str(out), "-q", "--vis", "none"]) == 1
    document = json.loads((out / "panoptic.json").read_text())
    assert [each["isthing"] for each in document["categories"]] == [1, 1, 1, 0, 0]
    (entry,) = document["annotations"]
    assert (entry["image_id"], entry["image"], entry["file_name"]) == ("dog", "sub/dog.png", "sub/dog.png")
    ids = read_id_png(out / "panoptic" / entry["file_name"])
    assert {each["id"]: each["area"] for each in entry["segments_info"]} == {
        int(number): int(count) for number, count in zip(*np.unique(ids[ids > 0], return_counts=True), strict=True)
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dinat_mask2former_coco", "bossnet_mask2former_coconut", "rcnet_mask2former_coconut"])
def test_panoptic_models_learn_drawn_scenes(name, tmp_path):
    run = trained(name, tmp_path, 300)
    found = numbers_in(run)
    assert found["pq/PQ"] > 0.5
    assert found["pq/PQ_things"] > 0.3
