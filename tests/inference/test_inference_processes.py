"""Several processes share the inputs, and their merged files equal those of one process, byte for byte."""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from inference_scenes import save_video, scene
from PIL import Image

from visionzoo.cli.infer import main
from visionzoo.cli.infer_parts import Processes, joined
from visionzoo.inference import merging, writing
from visionzoo.inference.inferencer import Inferencer

ROOT = Path(__file__).resolve().parents[2]
TIMES = ("seconds", "inputs_per_second", "started", "command", "out")
FIXED = ["--tiny", "--weights", "none", "--device", "cpu"]
TASKS = {
    "detection": [
        "rcnet_retinanet", "--threshold", "0", "--save", "txt", "--save-crops", "--vis", "overlay,side", "--gallery",
        "--cfg-options", "model.test_cfg.score_thr=0.0", "model.test_cfg.max_per_img=4",
    ],
    "classification": ["bossnet_t0_imagenet"],
    "panoptic": [
        "mask2former_r50_coconut", "--cfg-options", "model.test_cfg.object_mask_thr=0.0", "model.test_cfg.iou_thr=0.0",
    ],
    "lanes": ["scnn_tusimple", "--cfg-options", "model.head.exist_threshold=0.0"],
    "groups": ["gconet_plus", "--gallery"],
}  # fmt: skip


@pytest.fixture(scope="module")
def inferencers():
    torch.set_num_threads(1)
    return {}


@pytest.fixture
def run(inferencers, monkeypatch):
    """Return a function that runs the command on a task with a model that is built once."""

    def built(loaded, weights, **options):
        key = json.dumps([loaded.cfg.to_dict(), options], sort_keys=True, default=str)
        if key not in inferencers:
            torch.manual_seed(0)
            inferencers[key] = Inferencer(loaded, weights, **options)
        return inferencers[key]

    monkeypatch.setattr("visionzoo.inference.inferencer.Inferencer", built)
    monkeypatch.setattr("os.fsync", lambda _: None)
    return lambda task, *args: main([TASKS[task][0], *map(str, args), *FIXED, *TASKS[task][1:]])


@pytest.fixture
def images(tmp_path):
    """Return a folder with names that clash, also with an unusable file, and folders for groups."""
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    for number, name in enumerate(("a.jpg", "a.png", "b.png", "sub/a.jpg", "sub/c.png")):
        Image.fromarray(scene(60, 90, number)).save(folder / name)
    (folder / "ab.jpg").write_bytes(b"not an image")
    (folder / "b.bmp").write_bytes(b"not an image")
    return folder


def content(out):
    """Return all files of a folder with their bytes, without times and the journal."""
    found = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    run = json.loads(found["run.json"])
    found["run.json"] = {key: value for key, value in run.items() if key not in TIMES}
    if "tusimple.json" in found:
        records = [json.loads(line) for line in found["tusimple.json"].splitlines()]
        found["tusimple.json"] = [{**record, "run_time": 0} for record in records]
    del found[".infer.jsonl"]
    return found


@pytest.mark.parametrize("task", TASKS)
def test_parts_give_the_files_of_one_process(run, images, tmp_path, in_parts, task):
    inputs = [images, "-r"] if task == "groups" else [images, save_video(tmp_path / "clip.mp4", frames=3), images]
    code = run(task, *inputs, "-o", tmp_path / "one")
    assert code == 1
    in_parts(3)
    assert run(task, *inputs, "-o", tmp_path / "parts") == code
    whole, parts = content(tmp_path / "one"), content(tmp_path / "parts")
    assert sorted(whole) == sorted(parts)
    assert [name for name in whole if whole[name] != parts[name]] == []


def test_more_parts_than_inputs(run, images, tmp_path, in_parts, capsys):
    inputs = [images / "a.jpg", images / "a.png"]
    run("detection", *inputs, "-o", tmp_path / "one")
    in_parts(5)
    assert run("detection", *inputs, "-o", tmp_path / "parts") == 0
    assert "2 of 2 images done" in capsys.readouterr().err
    assert content(tmp_path / "parts") == content(tmp_path / "one")


@pytest.mark.parametrize("owner", ["writer", "merged"])
def test_a_part_that_ended_continues_in_one_process(run, images, tmp_path, in_parts, monkeypatch, owner, capsys):
    code = run("detection", images, "-o", tmp_path / "one")
    in_parts(2)

    def ended(self, *args, **options):
        if (self.done == 2) if owner == "merged" else (self.done == 1 and self._part.number == 1):
            raise RuntimeError("the process ended")
        return before(self, *args, **options)

    where, name = writing.PredictionWriter, "take" if owner == "merged" else "write"
    before = getattr(where, name)
    with monkeypatch.context() as patch:
        patch.setattr(where, name, ended)
        with pytest.raises(RuntimeError, match="the process ended"):
            run("detection", images, "-o", tmp_path / "parts")
    other = (tmp_path / "parts" / ".parts" / "00000" / "predictions.jsonl").read_bytes()
    assert other.count(b"\n") == 3  # the results of the other part are whole
    run("detection", images, "-o", tmp_path / "parts")
    assert f"parts has the results of {4 if owner == 'writer' else 5} of 5 inputs" in capsys.readouterr().err
    assert run("detection", images, "-o", tmp_path / "parts", "--resume") == code
    assert content(tmp_path / "parts") == content(tmp_path / "one")


def test_a_folder_that_changes_between_the_processes_is_said(run, images, tmp_path, in_parts, monkeypatch, capsys):
    in_parts(2)
    before = writing.PredictionWriter.__exit__

    def changed(self, *args):
        Image.fromarray(scene(60, 90)).save(images / "z.jpg")
        return before(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(writing.PredictionWriter, "__exit__", changed)
        assert run("classification", images, "-o", tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert "expected the 5 inputs of part 0 in all parts, found 6 inputs in part 1; the inputs changed" in said


def test_parts_of_another_model_are_refused(run, images, tmp_path, in_parts, monkeypatch, capsys):
    in_parts(2)
    with monkeypatch.context() as patch:
        patch.setattr(merging, "_merge", lambda writer, folders: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run("classification", images, "-o", tmp_path / "out")
    assert run("lanes", images, "-o", tmp_path / "out", "--resume") == 2
    assert '--resume: expected model "bossnet_t0_imagenet" as in ' in capsys.readouterr().err
    assert run("classification", images, "-o", tmp_path / "out", "--resume") == 1


def test_overwriting_removes_the_files_of_all_parts(run, images, tmp_path, in_parts, monkeypatch):
    in_parts(2)
    with monkeypatch.context() as patch:
        patch.setattr(merging, "_merge", lambda writer, folders: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run("detection", images, "-o", tmp_path / "out")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    run("detection", images / "a.jpg", "-o", tmp_path / "out", "--overwrite")
    found = content(tmp_path / "out")
    assert "notes.txt" in found
    assert "vis/a-2.png" not in found


def shell(*args, launcher=()):
    """Return a running command with inference in processes of ``launcher``."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    line = [sys.executable, *launcher, str(ROOT / "tools" / "infer.py"), *map(str, args)]
    return subprocess.Popen(line, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)


def torchrun(count):
    return "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"


def test_two_gloo_processes(images, tmp_path):
    """Three ranks would leave one without an input; here the second rank has two images, one of them unusable."""
    args = ["bossnet_t0_imagenet", images / "a.jpg", images / "ab.jpg", images / "a.png", *FIXED]
    one = shell(*args, "-o", tmp_path / "one")
    two = shell(*args, "-o", tmp_path / "two", "--json", launcher=torchrun(2))
    assert one.communicate()[1].count("ab.jpg") == 1
    said = two.communicate()
    assert (one.returncode, two.returncode) == (1, 1), said
    assert json.loads(said[0])["inputs"] == 3
    assert said[1].count("2 of 3 images done") == 1
    assert content(tmp_path / "two") == content(tmp_path / "one")


def pretend_two_processes(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("visionzoo.system.distributed.start", lambda *args, **options: None)
    monkeypatch.setattr("visionzoo.system.distributed.world_size", lambda: 2)


@pytest.mark.parametrize(("needs_torch", "device"), [(True, "cuda:1"), (False, "auto")])
def test_only_torch_gets_the_gpu_of_a_process(monkeypatch, needs_torch, device):
    pretend_two_processes(monkeypatch)
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr("visionzoo.system.devices.choose_device", lambda name, rank: torch.device("cuda", rank))
    args = argparse.Namespace(device="auto", quiet=False, json=False)
    with joined(args, needs_torch=needs_torch) as processes:
        assert (processes.count, args.device) == (2, device)


@pytest.mark.parametrize("of_srun", [{}, {"SLURM_STEP_NUM_TASKS": "1"}])
def test_one_task_of_slurm_joins_nobody(monkeypatch, of_srun):
    """An exported file then runs without torch, which would join the processes."""
    of_launchers = {"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "RANK": "0", "WORLD_SIZE": "1"}
    for name, value in (of_launchers | of_srun).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("visionzoo.system.distributed.find_launcher", lambda: pytest.fail("torch is asked"))
    with joined(argparse.Namespace(), needs_torch=False) as processes:
        assert processes == Processes()


def test_stdin_cannot_be_shared(tmp_path, monkeypatch, capsys):
    pretend_two_processes(monkeypatch)
    assert main(["bossnet_t0_imagenet", "-", *FIXED, "-o", str(tmp_path / "out")]) == 2
    assert "-: expected inputs that every process can read, found stdin; write the paths" in capsys.readouterr().err


@pytest.mark.slow
def test_a_rank_that_is_killed(images, tmp_path):
    """Kill one of three ranks. Two ranks, of which one is killed too, and then one process do what is missing."""
    for number in range(24):
        Image.fromarray(scene(60, 90, number)).save(images / f"more {number:02}.jpg")
    args = [TASKS["detection"][0], images, *FIXED, *TASKS["detection"][1:]]
    assert shell(*args, "-o", tmp_path / "whole").wait() == 1
    out = tmp_path / "out"
    for count, least in ((3, 2), (2, 6)):
        running = shell(*args, "-o", out, "--resume", launcher=torchrun(count))
        lines = out / ".parts" / "00001" / "predictions.jsonl"
        while not (lines.exists() and lines.read_bytes().count(b"\n") >= least):
            assert running.poll() is None
            time.sleep(0.01)
        lock = json.loads((out / ".parts" / "00001" / ".lock").read_text())
        os.kill(lock["process"], signal.SIGKILL)
        assert running.wait() != 0
        assert json.loads((out / "run.json").read_text())["complete"] is False
    done = shell(*args, "-o", out, "--resume")
    said = done.communicate()[1]
    assert done.returncode == 1, said
    assert "3 parts in 1 processes" in said
    assert content(out) == content(tmp_path / "whole")
