"""User errors: the first line of the message is clear, and no partial output is left.

Each row is a mistake: a command, words that its one-sentence answer must contain, and its exit code.
"""

import json
import pickle
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from visionzoo.cli import main
from visionzoo.datasets.tiny import resolve_data_root

FAST = ["--cfg-options", "train_cfg.max_epochs=1", "train_cfg.val_interval=1"]


@pytest.fixture(scope="session")
def twin(tmp_path_factory):
    """Return a COCO folder; tests damage copies of it."""
    source = resolve_data_root("tiny://coco?train=4&val=2")
    return Path(shutil.copytree(source, tmp_path_factory.mktemp("coco") / "coco"))


@pytest.fixture
def coco(twin, tmp_path):
    return Path(shutil.copytree(twin, tmp_path / "coco"))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")


@pytest.fixture
def answer(capsys):
    """Run a command, and return its exit code and its stderr after ``error: ``."""

    def run(*argv):
        code = main([str(word) for word in argv])
        output = capsys.readouterr().err
        start = output.rfind("error: ")
        return code, output[start:] if start >= 0 else output

    return run


def on(coco, *options):
    """Return the command of a tiny training on the data in ``coco``."""
    roots = [f"{split}_dataloader.dataset.data_root={coco}" for split in ("train", "val", "test")]
    return ["train", "rcnet_retinanet", "--tiny", *FAST, *roots, *options]


def spoil_annotations(coco, change):
    path = coco / "annotations" / "instances_train2017.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def check(result, code, *words):
    got, output = result
    first = output.splitlines()[0] if output else ""
    assert got == code, output
    assert first.startswith("error: "), output
    for word in words:
        assert word in output, output
    assert "Traceback" not in output


# --------------------------------------------------------------------------- the command and the config

CONFIG_MISTAKES = {
    "misspelt config": (["train", "rcnet_retinnet"], ["did you mean", "rcnet_retinanet"]),
    "config file that is not there": (["train", "configs/nothing.py"], ["nothing.py"]),
    "misspelt key": ([*FAST, "model.neck.out_chanels=32"], ["model.neck.out_chanels", "out_channels"]),
    "unknown part": ([*FAST, "model.neck.type=RCNett"], ["RCNett", "RCNet"]),
    "another library's part without its scope": ([*FAST, "model.neck.type=PAFPN"], ["mmdet.PAFPN"]),
    "option without a value": ([*FAST, "model.neck"], ["model.neck", "="]),
    "unknown top-level key": ([*FAST, "train_dataloadr.batch_size=2"], ["train_dataloadr", "train_dataloader"]),
    "channels that the neck cannot shift": ([*FAST, "model.neck.out_channels=40"], ["40", "16"]),
    "a backbone without a pyramid": (
        [*FAST, "model.backbone.type=timm.vit_tiny_patch16_224"],
        ["timm.vit_tiny_patch16_224", "(16,)", "(4, 8, 16, 32)"],
    ),
    "a class count that the data does not have": ([*FAST, "model.bbox_head.num_classes=7"], ["7", "3"]),
    "a device that is not there": (["--device", "cuda:77"], ["cuda:77"]),
    "an option that no command has": (["--epochz", "3"], ["--epochz"]),
    "freezing what is not there": ([*FAST, "freeze=['backbon.*']"], ["backbon"]),
}


@pytest.mark.parametrize("mistake", CONFIG_MISTAKES)
def test_mistakes_in_the_command_and_the_config(mistake, answer):
    argv, words = CONFIG_MISTAKES[mistake]
    if argv[0] != "train":
        argv = ["train", "rcnet_retinanet", "--tiny", *argv]
    check(answer(*argv), 2, *words)
    assert not list(Path.cwd().rglob("*.pth"))


JOINT_MISTAKES = {
    "a task twice": (
        'task = ("lanes", "lanes", "counting", "detection")',
        "task: lanes is listed twice; a task has one head",
    ),
    "two heads of one name": (
        "model = dict(heads=dict(lanes=dict(), lanes=dict()))",
        "found SyntaxError (keyword argument repeated: lanes (joint.py, line 2))",
    ),
    "two heads of one name in a literal dict": (
        'model = dict(heads={"lanes": dict(), "lanes": dict()})',
        "joint.py:2: expected each key of a dict once, found 'lanes' twice; remove one",
    ),
    "a head without data": (
        'model = dict(heads=dict(saliency=dict(type="ConnectivityHead")))',
        "model.heads.saliency: train_dataloader.dataset.datasets has no data set for it",
    ),
    "data without a head": (
        'train_dataloader = dict(dataset=dict(datasets=dict(saliency=dict(type="SaliencyDataset", data_root="tiny://msra_b"))))',
        "train_dataloader.dataset.datasets.saliency: no head in model.heads is called saliency; add the head",
    ),
}


@pytest.mark.parametrize("mistake", JOINT_MISTAKES)
def test_mistakes_in_the_config_of_several_tasks(mistake, answer, tmp_path):
    line, words = JOINT_MISTAKES[mistake]
    base = Path(__file__).parents[2] / "configs" / "road_scene_lite.py"
    (tmp_path / "joint.py").write_text(f'_base_ = ["{base}"]\n{line}\n')
    check(answer("train", tmp_path / "joint.py", "--tiny"), 2, words)
    assert not list(Path.cwd().iterdir())


def test_a_syntax_error_in_the_config_names_file_and_line(answer, tmp_path):
    (tmp_path / "mine.py").write_text("model = dict(\n  type='RCNet'\n  variant='tiny')\n")
    check(answer("train", tmp_path / "mine.py"), 2, "mine.py", "2")


# --------------------------------------------------------------------------- data


def test_no_data_at_all(answer):
    check(answer("train", "rcnet_retinanet"), 2, "data/coco", "--tiny")


def test_a_missing_annotation_file(answer, coco):
    (coco / "annotations" / "instances_train2017.json").unlink()
    check(answer(*on(coco)), 2, "instances_train2017.json")


def test_an_empty_annotation_file(answer, coco):
    (coco / "annotations" / "instances_train2017.json").write_text("")
    check(answer(*on(coco)), 2, "instances_train2017.json", "empty")


def test_annotations_without_images(answer, coco):
    spoil_annotations(coco, lambda content: content.update(images=[], annotations=[]))
    check(answer(*on(coco)), 2, "instances_train2017.json")


def test_missing_images(answer, coco):
    for path in sorted((coco / "train2017").iterdir())[:2]:
        path.unlink()
    check(answer(*on(coco)), 2, "2 missing", "train2017/000000000001.jpg")


def test_a_truncated_image_stops_training_and_is_named(answer, coco):
    for path in (coco / "train2017").iterdir():
        path.write_bytes(path.read_bytes()[:400])
    check(answer(*on(coco)), 2, ".jpg", "truncated")


def test_other_class_names_than_the_file(answer, coco):
    options = [f"{split}_dataloader.dataset.metainfo.classes=('Circle','cat')" for split in ("train", "val", "test")]
    check(answer(*on(coco, *options), "--allow-new"), 2, "Circle")


# --------------------------------------------------------------------------- weights


class Payload:
    """A pickle that writes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.write_text, (self.path, "owned")


@pytest.fixture
def tiny_test(coco):
    roots = [f"{split}_dataloader.dataset.data_root={coco}" for split in ("train", "val", "test")]
    return ["test", "rcnet_retinanet", "--tiny", "--cfg-options", *roots, "--weights"]


def test_a_pickle_with_code_is_refused_and_not_run(answer, tiny_test, tmp_path):
    evil, owned = tmp_path / "evil.pth", tmp_path / "owned.txt"
    evil.write_bytes(pickle.dumps({"state_dict": Payload(owned)}))
    check(answer(*tiny_test, evil), 2, "evil.pth")
    torch.save({"state_dict": Payload(owned)}, evil)
    check(answer(*tiny_test, evil), 2, "evil.pth")
    assert not owned.exists()


def test_weights_of_another_model(answer, tiny_test, tmp_path):
    torch.save({"state_dict": {"conv.weight": torch.zeros(3, 3)}}, tmp_path / "other.pth")
    check(answer(*tiny_test, tmp_path / "other.pth"), 2, "other.pth", "conv.weight", "backbone.conv1.weight")


def test_weights_that_are_not_there(answer, tiny_test, tmp_path):
    check(answer(*tiny_test, tmp_path / "nothing.pth"), 2, "nothing.pth")


def test_a_truncated_checkpoint(answer, tiny_test, tmp_path):
    path = tmp_path / "half.pth"
    torch.save({"state_dict": {"a": torch.zeros(1000)}}, path)
    path.write_bytes(path.read_bytes()[:500])
    check(answer(*tiny_test, path), 2, "half.pth")


def test_nothing_to_resume(answer, tmp_path):
    (tmp_path / "empty").mkdir()
    check(answer("train", "rcnet_retinanet", "--tiny", "--resume", tmp_path / "empty"), 2, "empty")


# --------------------------------------------------------------------------- output folders


def test_a_work_dir_that_cannot_be_written(answer, tmp_path):
    (tmp_path / "file").write_text("x")
    check(answer("train", "rcnet_retinanet", "--tiny", "--work-dir", tmp_path / "file" / "run"), 2, "file")


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
from visionzoo.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_full_disk_leaves_no_half_checkpoint(coco, tmp_path):
    argv = [*on(coco), "--work-dir", str(tmp_path / "run")]
    done = subprocess.run([sys.executable, "-c", LIMITED, *argv], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "error: " in done.stderr
    assert "Traceback" not in done.stderr
    for left in tmp_path.joinpath("run").rglob("*"):
        assert left.suffix not in (".pth", ".safetensors", ".tmp"), left


def test_the_limit_of_the_test_above_can_be_set():
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY


# --------------------------------------------------------------------------- images


@pytest.fixture
def weights(tmp_path):
    from visionzoo import get_model

    path = tmp_path / "seeded.pth"
    torch.save(
        {
            "state_dict": get_model("rcnet_retinanet", tiny=True, num_classes=3).state_dict(),
            "meta": {"dataset_meta": {"classes": ("disc", "triangle", "star")}},
        },
        path,
    )
    return path


def test_a_broken_image_is_reported_and_the_others_are_processed(answer, weights, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    cv2.imwrite(str(images / "a.png"), np.full((61, 83, 3), 127, np.uint8))
    (images / "b.jpg").write_bytes(b"not an image")
    (images / "c.png").write_bytes(b"")
    out = tmp_path / "out"
    code, output = answer("infer", "rcnet_retinanet", images, "--tiny", "--weights", weights, "--out", out)
    assert code == 1, output
    rows = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    assert ["error" in row for row in rows] == [False, True, True]


def test_inputs_that_match_nothing(answer, weights, tmp_path):
    argv = ["infer", "rcnet_retinanet", tmp_path / "no" / "such.jpg", "--tiny", "--weights", weights]
    check(answer(*argv), 2, "such.jpg")


def test_inference_without_weights(answer, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((9, 9, 3), np.uint8))
    check(answer("infer", "rcnet_retinanet", tmp_path / "a.png", "--tiny"), 2, "--weights")
