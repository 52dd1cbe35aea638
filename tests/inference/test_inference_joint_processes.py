"""Several processes share the inputs of a model with several tasks, and a run with several parts continues."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from inference_scenes import save_video, scene
from joint_models import joint_config
from PIL import Image

from visionzoo.cli.infer import main
from visionzoo.inference import joint_writing, merging
from visionzoo.inference.inferencer import Inferencer

ROOT = Path(__file__).resolve().parents[2]
TASKS = ["lanes", "counting"]
TIMES = ("seconds", "inputs_per_second", "started", "command", "out")
FIXED = ["--weights", "none", "--device", "cpu", "--no-progress", "--vis", "overlay,side", "--gallery"]


@pytest.fixture(scope="module")
def inferencer(tmp_path_factory):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return Inferencer(joint_config(tmp_path_factory.mktemp("joint"), TASKS), "none", device="cpu")


@pytest.fixture
def run(inferencer, monkeypatch, tmp_path):
    """Return a function that runs the command with a model that is built once."""
    monkeypatch.setattr("visionzoo.inference.inferencer.Inferencer", lambda *args, **options: inferencer)
    monkeypatch.setattr("os.fsync", lambda _: None)
    config = joint_config(tmp_path / "config", TASKS)
    return lambda *args: main([str(config), *map(str, args), *FIXED])


@pytest.fixture
def images(tmp_path):
    """Return a folder with names that clash, a file without an image, and a video."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number, name in enumerate(("a.jpg", "a.png", "b.png")):
        Image.fromarray(scene(61, 83 + number, number)).save(folder / name)
    (folder / "ab.jpg").write_bytes(b"not an image")
    save_video(folder / "c.mp4", frames=2)
    Image.fromarray(scene(50, 70, 4)).save(folder / "d.png")
    return folder


def content(out):
    """Return all files of a folder with their bytes, without times and the journals."""
    found = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for name in found:
        if name.endswith("run.json"):
            found[name] = {key: value for key, value in json.loads(found[name]).items() if key not in TIMES}
        if name.endswith("tusimple.json"):
            found[name] = [{**json.loads(line), "run_time": 0} for line in found[name].splitlines()]
        if name.endswith(".infer.jsonl"):
            found[name] = b""
    return found


def require_equal(out, whole):
    """Check that two folders have the same files with the same bytes, and no file of a part."""
    found, expected = content(out), content(whole)
    assert sorted(found) == sorted(expected)
    assert [name for name in expected if expected[name] != found[name]] == []
    assert {"lanes/predictions.csv", "counting/raw/a-2.npy", "vis/a-2.png", "gallery/entries.js"} <= set(found)


def test_parts_of_a_joint_run_continue_to_the_same_files(run, images, tmp_path, in_parts, monkeypatch, capsys):
    """A part ends while one task is an input ahead of the others, and then the merging ends after the first task."""
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert run(images, "-o", whole) == 1
    in_parts(2)
    before = joint_writing.JointWriter._write_one

    def ended(self, prediction, number):
        if self._part.number == 1 and self.done == 1:
            self._parts["lanes"]._write_one(prediction.by_task()["lanes"], number)
            raise KeyError("the process ended")
        before(self, prediction, number)

    with monkeypatch.context() as patch:
        patch.setattr(joint_writing.JointWriter, "_write_one", ended)
        with pytest.raises(KeyError, match="the process ended"):
            run(images, "-o", out)
    part = out / ".parts" / "00001"
    assert [(part / name / "predictions.jsonl").read_bytes().count(b"\n") for name in ("", *TASKS)] == [1, 2, 1]
    capsys.readouterr()
    merge = merging._merge

    def half_merged(writer, folders):
        if writer.out.name == "counting":
            raise KeyError("the merging ended")
        merge(writer, folders)

    with monkeypatch.context() as patch:
        patch.setattr(merging, "_merge", half_merged)
        with pytest.raises(KeyError, match="the merging ended"):
            run(images, "-o", out, "--resume")
    assert "00001: continues after 1 inputs" in capsys.readouterr().err
    assert run(images / "a.jpg", "-o", out) == 0  # a new folder, and a sentence about this one
    assert "out has the results of 7 " in capsys.readouterr().err
    assert run(images, "-o", out, "--resume") == 1
    require_equal(out, whole)
    assert "lanes: " in capsys.readouterr().err


def test_overwriting_removes_the_results_of_all_tasks_of_all_parts(run, images, tmp_path, in_parts, monkeypatch):
    in_parts(2)
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(merging, "_merge", lambda writer, folders: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(images, "-o", out)
    assert (out / "counting" / "raw" / "d.npy").is_file()
    (out / "counting" / "notes.txt").write_text("mine")
    assert run(images / "a.jpg", "-o", out, "--overwrite") == 0
    found = content(out)
    assert found["counting/notes.txt"] == b"mine"
    assert [name for name in found if Path(name).stem in ("a-2", "b", "d")] == []
    assert not (out / ".parts").exists()


def test_other_inputs_leave_an_interrupted_joint_run_as_it_is(run, images, tmp_path, monkeypatch, capsys):
    out, whole = tmp_path / "out", tmp_path / "whole"
    inputs = [images / name for name in ("a.jpg", "a.png", "b.png")]
    assert run(*inputs, "-o", whole) == 0
    before = joint_writing.JointWriter._write_one

    def ended(self, prediction, number):
        before(self, prediction, number)
        if number == 2:
            raise KeyError("the process ended")

    with monkeypatch.context() as patch:
        patch.setattr(joint_writing.JointWriter, "_write_one", ended)
        with pytest.raises(KeyError, match="the process ended"):
            run(*inputs, "-o", out)
    left = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert run(inputs[0], inputs[2], "-o", out, "--resume") == 2
    assert "a.png as input 2, as in the run to continue, found" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == left
    assert run(*inputs, "-o", out, "--resume") == 0
    require_equal(out, whole)


def test_two_processes_give_the_files_of_one(images, tmp_path):
    config = joint_config(tmp_path / "config", TASKS)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    torchrun = "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"
    running = [
        subprocess.Popen(
            [sys.executable, *launcher, str(ROOT / "tools" / "infer.py"), str(config), str(images), *FIXED, "-o", out],
            stderr=subprocess.PIPE, text=True, env=env,
        )
        for launcher, out in (((), tmp_path / "one"), (torchrun, tmp_path / "two"))
    ]  # fmt: skip
    said = [each.communicate()[1] for each in running]
    assert [each.returncode for each in running] == [1, 1], said
    assert "2 parts in 2 processes" in said[1]
    require_equal(tmp_path / "two", tmp_path / "one")
